"""Sensors that talk frames of their own over a serial line: what a family is, and cutting a byte stream into frames.

A family (`drivers/devices/*.py`, one small file each) knows how its frames begin, end and are checked, and shows the
content of a report as 16-bit words, highest byte first. From there on a report is read like registers: the device
file's `[[value]]` names a word (`table = "frame"`), its type, scale and range, and everything that holds for Modbus
values holds here. Turned round, `frame_of` makes the bytes that the device would send.

`cut` is called with all bytes that are not used up, and again while it gives a frame: it drops one byte after a bad
check sum, not a frame, because a header may stand inside the data. Bytes from outside are hostile: any length, any
split, any order; no family waits for more than `FRAME_BYTES_MAX`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

FRAME_BYTES_MAX: Final = 256

Words = tuple[int, ...]
# (a whole frame or b"", how many bytes are done with, the frame's own included)
Cut = Callable[[bytes], tuple[bytes, int]]


def no_flags(words: Words) -> int:
    """Most reports say nothing about their own quality."""
    return 0


@dataclass(frozen=True, slots=True)
class Family:
    """One way to frame reports.

    `words_of(frame)`: the report's words; None = a frame that is no report (an acknowledgement, "no new data").
    `flags(words)`: quality of the whole report. `begin`: what is sent after opening and after a silence, each followed
    by the time for an answer. `ask`: what makes it report; b"" = it talks by itself, about every `every_s` seconds.
    """

    cut: Cut
    words_of: Callable[[bytes], Words | None]
    frame_of: Callable[[Sequence[int]], bytes]
    flags: Callable[[Words], int] = no_flags
    begin: tuple[bytes, ...] = ()
    ask: bytes = b""
    every_s: float = 1.0


class Cutter:
    """A byte stream as frames. `garbage`: bytes so far that belonged to none."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._rest = b""
        self.garbage = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The frames that end in `data`."""
        self._rest += data
        while self._rest:
            frame, done = self._cut(self._rest)
            surplus = len(self._rest) - done - FRAME_BYTES_MAX if not frame else 0
            self.garbage += max(0, done + max(0, surplus) - len(frame))
            self._rest = self._rest[done + max(0, surplus) :]
            if frame:
                yield frame
            elif not done:
                return

    def clear(self) -> None:
        """Forget what was begun."""
        self.garbage += len(self._rest)
        self._rest = b""


def cut_fixed(data: bytes, start: bytes, length: int, is_whole: Callable[[bytes], bool]) -> tuple[bytes, int]:
    """A frame of `length` bytes that begins with `start`; see `Cut`."""
    at = find_start(data, start)
    frame = data[at : at + length]
    if len(frame) < length:
        return b"", at
    return (frame, at + length) if is_whole(frame) else (b"", at + 1)


def find_start(data: bytes, start: bytes) -> int:
    """Where `start`, or as much of it as has come, begins; the end of `data` when nowhere."""
    at = data.find(start)
    if at >= 0:
        return at
    for n in range(len(start) - 1, 0, -1):
        if data.endswith(start[:n]):
            return len(data) - n
    return len(data)


def cut_line(data: bytes, end: bytes, is_line: Callable[[bytes], bool]) -> tuple[bytes, int]:
    """A text line that ends with `end` (included) and of which `is_line` is true; others are dropped; see `Cut`."""
    at = data.find(end)
    if at < 0:
        return b"", 0
    line = data[: at + len(end)]
    return (line if is_line(line) else b""), len(line)
