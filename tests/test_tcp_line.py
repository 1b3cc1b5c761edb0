"""Modbus TCP against real sockets: scripted peers that answer in written-down bytes, and pymodbus as a stranger."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers import mbap, modbus
from drivers.line import BadReply, DeviceException, ReplyTimeout, Request
from drivers.port import PortError
from drivers.tcp import TcpPort
from drivers.tcp_line import TcpLine

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def question(unit: int = 5, address: int = 0, count: int = 1, timeout_ms: float = 500.0) -> Request:
    tx = modbus.read_request(unit, modbus.READ_INPUT, address, count)
    return Request(unit, tx, modbus.expected_length(tx), timeout_ms, 0.0, 0.0, (), None)


async def nobody(_: str) -> list[str]:
    raise AssertionError("an address needs no look-up")


@contextlib.asynccontextmanager
async def line(talk: Talk) -> AsyncIterator[tuple[TcpLine, list[int]]]:
    """A line to a peer that talks as told; the list counts connections."""
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    one = TcpLine(TcpPort("127.0.0.1", server.sockets[0].getsockname()[1], nobody))
    await one.open()
    try:
        yield one, connections
    finally:
        one.close()
        server.close()


def reply(request: bytes, *words: int) -> bytes:
    """The 12 bytes of a request answered with register values."""
    data = b"".join(word.to_bytes(2, "big") for word in words)
    body = bytes((request[6], request[7], len(data))) + data
    return request[:4] + len(body).to_bytes(2, "big") + body


def value(frame: bytes) -> int:
    return int.from_bytes(modbus.reply_data(frame), "big")


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        request = await reader.readexactly(12)
        writer.write(reply(request, int.from_bytes(request[8:10], "big")))


def test_a_doubled_reply_in_front_of_the_next_is_dropped_and_nobody_waits() -> None:
    # field case "glued": after request 00 1b was answered, both come in one read after 00 1c
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(0x1B):
            writer.write(reply(await reader.readexactly(12), 1))
        await reader.readexactly(12)
        writer.write(bytes.fromhex("001b00000005 0004020000 001c00000005 0004020002".replace(" ", "")))
        await reader.read()

    async def run() -> None:
        async with line(talk) as (one, _):
            for _ in range(0x1B):
                await one.exchange(question(unit=0))
            start = time.monotonic()
            assert value(await one.exchange(question(unit=0))) == 2
            assert time.monotonic() - start < 0.4  # the time-out is 0.5 s
            assert (one.stats.garbage_bytes, one.stats.timeouts) == (7, 0)

    asyncio.run(run())


def test_eight_questions_under_way_get_their_own_replies_in_any_order() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = [await reader.readexactly(12) for _ in range(8)]
            for request in reversed(asked):
                writer.write(reply(request, int.from_bytes(request[8:10], "big")))

    async def run() -> None:
        async with line(talk) as (one, _):
            frames = await asyncio.gather(*(one.exchange(question(address=i)) for i in range(8)))
            assert [value(frame) for frame in frames] == list(range(8))

    asyncio.run(run())


def test_a_late_reply_never_becomes_the_value_of_the_next_question() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        late = await reader.readexactly(12)
        request = await reader.readexactly(12)
        writer.write(reply(late, 111) + reply(request, 222))
        await reader.read()

    async def run() -> None:
        async with line(talk) as (one, _):
            with pytest.raises(ReplyTimeout):
                await one.exchange(question(timeout_ms=50.0))
            assert value(await one.exchange(question())) == 222
            assert (one.stats.late_replies, one.stats.timeouts) == (1, 1)

    asyncio.run(run())


def test_a_connection_that_ends_while_idle_is_opened_again_by_the_next_question() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(await reader.readexactly(12), 7))

    async def run() -> None:
        async with line(talk) as (one, connections):
            for n in range(3):
                assert value(await one.exchange(question())) == 7
                await asyncio.sleep(0.05)  # the peer's close arrives
                assert len(connections) == n + 1

    asyncio.run(run())


def test_a_connection_that_ends_under_a_question_is_a_fault_of_the_port() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(12)

    async def run() -> None:
        async with line(talk) as (one, _):
            with pytest.raises(PortError, match="closed by the other end"):
                await one.exchange(question())

    asyncio.run(run())


def test_a_black_hole_is_left_after_four_questions() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def run() -> None:
        async with line(talk) as (one, connections):
            for _ in range(8):
                with pytest.raises(ReplyTimeout):
                    await one.exchange(question(timeout_ms=20.0))
            assert len(connections) == 2

    asyncio.run(run())


def test_a_dead_unit_behind_a_live_gateway_costs_no_connection() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await reader.readexactly(12)
            if request[6] == 5:
                writer.write(reply(request, 9))

    async def run() -> None:
        async with line(talk) as (one, connections):
            for _ in range(6):
                with pytest.raises(ReplyTimeout):
                    await one.exchange(question(unit=6, timeout_ms=20.0))
                assert value(await one.exchange(question())) == 9
            assert len(connections) == 1

    asyncio.run(run())


def test_refusals_and_wrong_shapes_are_told_apart() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readexactly(12)
        writer.write(request[:4] + b"\0\3" + bytes((request[6], request[7] | 0x80, 6)))
        request = await reader.readexactly(12)
        writer.write(reply(request, 1, 2))  # two registers for one
        request = await reader.readexactly(12)
        writer.write(reply(request[:6] + b"\x07" + request[7:], 1))  # another unit
        await reader.readexactly(12)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async def run() -> None:
        async with line(talk) as (one, _):
            with pytest.raises(DeviceException) as refusal:
                await one.exchange(question())
            assert refusal.value.code == 6
            for _ in range(2):
                with pytest.raises(BadReply):
                    await one.exchange(question())
            with pytest.raises(PortError, match="no Modbus TCP"):
                await one.exchange(question())

    asyncio.run(run())


def test_a_cancelled_question_leaves_no_reply_behind() -> None:
    async def run() -> None:
        async with line(echo) as (one, _):
            task = asyncio.create_task(one.exchange(question(address=1)))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert value(await one.exchange(question(address=2))) == 2

    asyncio.run(run())


def test_a_refused_connection_and_a_name_without_address_are_port_errors() -> None:
    async def no_name(_: str) -> list[str]:
        raise OSError(-2, "Name or service not known")

    async def run() -> None:
        with pytest.raises(PortError, match=r"127\.0\.0\.1:1: Connection refused"):
            await TcpLine(TcpPort("127.0.0.1", 1, nobody)).open()
        with pytest.raises(PortError, match="Name or service not known"):
            await TcpLine(TcpPort("no-such-host.invalid", 502, no_name)).open()

    asyncio.run(run())


def test_an_address_that_is_dead_does_not_hide_the_next_one() -> None:
    async def run() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)

        async def two(_: str) -> list[str]:
            return ["127.0.0.2", "127.0.0.1"]

        one = TcpLine(TcpPort("gw.ward", server.sockets[0].getsockname()[1], two))
        await one.open()
        assert value(await one.exchange(question(address=3))) == 3
        one.close()
        server.close()

    asyncio.run(run())


def test_pymodbus_as_a_stranger_is_understood() -> None:
    async def run() -> None:
        device = SimDevice(id=5, simdata=[SimData(16, values=[1, 2, 300], datatype=DataType.REGISTERS)])
        server = ModbusTcpServer(device, address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        assert server.transport is not None
        port = server.transport.sockets[0].getsockname()[1]
        one = TcpLine(TcpPort("127.0.0.1", port, nobody))
        await one.open()
        frame = await one.exchange(question(unit=5, address=16, count=3))
        assert modbus.reply_data(frame) == bytes.fromhex("0001 0002 012c")
        with pytest.raises(DeviceException):
            await one.exchange(question(unit=5, address=999))
        one.close()
        await server.shutdown()

    asyncio.run(run())


@given(st.binary(max_size=400), st.integers(1, 40))
def test_any_bytes_in_any_pieces_are_cut_or_refused(data: bytes, size: int) -> None:
    received = bytearray()
    with contextlib.suppress(mbap.StreamError):
        for start in range(0, len(data), size):
            received += data[start : start + size]
            for number, frame in mbap.cut(received):
                assert 0 <= number <= 0xFFFF
                assert 4 <= len(frame) <= mbap.LENGTH_MAX + 2
        assert len(received) < 6 + mbap.LENGTH_MAX
