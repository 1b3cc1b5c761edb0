"""Byte streams on pseudo-terminals: what comes, what is lost, and that everything foreign becomes a PortError."""

import asyncio
import contextlib
import os
import pty
import subprocess
import sys
import tty
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from drivers.port import PortError, SerialPort


class Ends:
    """What a port told: bytes, losses, and an event for each."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.losses: list[PortError] = []
        self.changed = asyncio.Event()

    def received(self, data: bytes) -> None:
        self.data += data
        self.changed.set()

    def lost(self, error: PortError) -> None:
        self.losses.append(error)
        self.changed.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()


def on_a_pty(
    test: Callable[[int, str, Ends], Coroutine[Any, Any, None]],
) -> None:
    """Run with the master's descriptor, the slave's path, and a place for what is told."""

    async def main() -> None:
        master, slave = pty.openpty()
        tty.setraw(slave)
        path = os.ttyname(slave)
        os.close(slave)
        try:
            await test(master, path, Ends())
        finally:
            with contextlib.suppress(OSError):  # the test closed it
                os.close(master)

    asyncio.run(main())


@pytest.mark.parametrize("framing", ["8N1", "8E1", "8N2", "7O1"])  # a pty refuses parity and 7 bits
def test_bytes_go_both_ways(framing: str) -> None:
    async def test(master: int, path: str, ends: Ends) -> None:
        port = SerialPort(path, 9600, framing)
        await port.open(ends.received, ends.lost)
        port.close()
        await port.open(ends.received, ends.lost)  # the second time the system refuses the parity
        port.write(bytes(range(256)))
        assert os.read(master, 1000) == bytes(range(256))
        os.write(master, b"\x00\xff\x03\x11\x13\x1a")  # nothing is taken for a control character
        await ends.until(lambda: len(ends.data) == 6)
        assert ends.data == b"\x00\xff\x03\x11\x13\x1a"
        port.close()
        port.close()
        with pytest.raises(PortError, match="not open"):
            port.write(b"x")
        assert not ends.losses

    on_a_pty(test)


def test_a_closed_port_hears_nothing_more_and_opens_again() -> None:
    async def test(master: int, path: str, ends: Ends) -> None:
        port = SerialPort(path, 9600, "8N1")
        await port.open(ends.received, ends.lost)
        port.close()
        await port.open(ends.received, ends.lost)
        os.write(master, b"again")
        await ends.until(lambda: ends.data == b"again")
        port.close()

    on_a_pty(test)


def test_an_unplugged_adapter_is_told_once_and_the_port_is_closed() -> None:
    async def test(master: int, path: str, ends: Ends) -> None:
        port = SerialPort(path, 9600, "8N1")
        await port.open(ends.received, ends.lost)
        os.close(master)
        await ends.until(lambda: bool(ends.losses))
        await asyncio.sleep(0.01)
        assert [str(error) for error in ends.losses] == [f"{path}: the adapter is gone"]
        with pytest.raises(PortError):
            port.write(b"x")
        with pytest.raises(PortError):
            await port.open(ends.received, ends.lost)  # the name is gone too

    on_a_pty(test)


def test_a_write_into_an_unplugged_adapter_raises_and_tells_once() -> None:
    async def test(master: int, path: str, ends: Ends) -> None:
        port = SerialPort(path, 9600, "8N1")
        await port.open(ends.received, ends.lost)
        os.close(master)
        with pytest.raises(PortError, match="gone"):
            port.write(b"x")
        await asyncio.sleep(0.01)
        assert len(ends.losses) == 1

    on_a_pty(test)


def test_bytes_that_the_system_does_not_take_at_once_follow_and_a_jam_is_an_error() -> None:
    async def test(master: int, path: str, ends: Ends) -> None:
        port = SerialPort(path, 9600, "8N1")
        await port.open(ends.received, ends.lost)
        block = bytes(range(256)) * 1024
        port.write(block)  # more than a terminal buffers
        os.set_blocking(master, False)
        got = bytearray()
        async with asyncio.timeout(5):
            while len(got) < len(block):
                with contextlib.suppress(BlockingIOError):
                    got += os.read(master, 65536)
                await asyncio.sleep(0)
        assert got == block
        port.write(block)  # and now nobody reads
        with pytest.raises(PortError, match="takes no bytes"):
            port.write(b"x")
        assert len(ends.losses) == 1

    on_a_pty(test)


def test_a_port_in_use_is_refused() -> None:
    async def test(master: int, path: str, ends: Ends) -> None:
        first, second = SerialPort(path, 9600, "8N1"), SerialPort(path, 9600, "8N1")
        await first.open(ends.received, ends.lost)
        with pytest.raises(PortError, match="another program uses it"):
            await second.open(ends.received, ends.lost)
        first.close()
        await second.open(ends.received, ends.lost)
        second.close()

    on_a_pty(test)


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def reason(path: Path, baud: int = 9600) -> str:
        ends = Ends()
        with pytest.raises(PortError) as error:
            await SerialPort(str(path), baud, "8N1").open(ends.received, ends.lost)
        assert not ends.losses
        return str(error.value)

    assert asyncio.run(reason(tmp_path / "none")).endswith("there is no such port")
    assert asyncio.run(reason(tmp_path / "file")).endswith("it is not a serial port")
    assert asyncio.run(reason(tmp_path))  # a folder
    assert asyncio.run(reason(Path("/dev/null")))


@pytest.mark.parametrize("baud", [-1, 1 << 31, 1 << 40])
def test_an_impossible_speed_is_a_port_error(baud: int) -> None:
    async def test(master: int, path: str, ends: Ends) -> None:
        with pytest.raises(PortError):
            await SerialPort(path, baud, "8N1").open(ends.received, ends.lost)

    on_a_pty(test)


OTHER_END = """
import os, pty, sys, time, tty
master, slave = pty.openpty()
tty.setraw(slave)
print(os.ttyname(slave), flush=True)
os.write(master, b"hello")
time.sleep(60)
"""


@pytest.mark.wire
def test_a_killed_other_end_is_a_lost_port() -> None:
    async def main() -> None:
        ends = Ends()
        port = SerialPort(path, 9600, "8E1")
        await port.open(ends.received, ends.lost)
        port.write(b"x")
        other.kill()
        await ends.until(lambda: bool(ends.losses))
        assert len(ends.losses) == 1

    with subprocess.Popen([sys.executable, "-c", OTHER_END], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            path = other.stdout.readline().strip()
            asyncio.run(main())
        finally:
            other.kill()
