"""A wire in memory for tests: real bytes at wire speed, one scripted device side, silence judged from the
bytes.

`script(frame)` is called when a written frame has left the wire and gives what the devices send: pairs of
seconds after now and bytes. They arrive byte by byte. `frames_too_early` counts frames that began before 3.5
characters of silence had passed since the last byte that either side put on the wire.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from drivers.port import PortError
from edge.simulation.loop import VirtualLoop, run

T = TypeVar("T")
Script = Callable[[bytes], Iterable[tuple[float, bytes]]]


class WirePort:
    """A `Port` at 8N1; its character and silence are worked out here, not taken from the code under test."""

    def __init__(self, script: Script, baud: int = 9600) -> None:
        self.script = script
        self.char_s = 10 / baud
        self.silence_s = 3.5 * 10 / baud if baud <= 19200 else 0.00175
        self.written: list[tuple[float, bytes]] = []
        self.frames_too_early = 0
        self.open_n = 0
        self._last_s = -1e9

    async def open(self, received: Callable[[bytes], None], lost: Callable[[PortError], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self.received, self.lost = received, lost
        self.open_n += 1

    def write(self, data: bytes) -> None:
        now_s = self.loop.time()
        self.frames_too_early += now_s - self._last_s < self.silence_s
        self.written.append((now_s, data))
        end_s = now_s + len(data) * self.char_s
        self._last_s = end_s
        self.loop.call_at(end_s, self._frame_ends, data)

    def close(self) -> None:
        self.open_n = 0

    def say(self, after_s: float, data: bytes) -> None:
        """Put bytes on the wire, the first one beginning `after_s` from now."""
        start_s = self.loop.time() + after_s
        for i, byte in enumerate(data):
            self.loop.call_at(start_s + (i + 1) * self.char_s, self._byte_ends, bytes((byte,)))

    def _frame_ends(self, data: bytes) -> None:
        for after_s, reply in self.script(data):
            self.say(after_s, reply)

    def _byte_ends(self, byte: bytes) -> None:
        if self.open_n:
            self._last_s = self.loop.time()
            self.received(byte)


def in_virtual_time(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run to the end in virtual time."""
    return run(main(), VirtualLoop())
