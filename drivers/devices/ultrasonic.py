"""The four-byte ultrasonic frame: `FF | distance in mm, high, low | sum`. Word 0 is the distance.

The sum counts the header; some old AJ-SR04M clones leave it out (`NO_HEADER`). A data byte may be FF too.

Source: DFRobot wiki SEN0311, esphome (domain.md 4.1); captures in tests/captures.
"""

from collections.abc import Sequence
from typing import Final

from drivers.uart import Family, Words, cut_fixed

_START: Final = b"\xff"


def _sum(frame: bytes) -> int:
    return sum(frame[:3]) & 0xFF


def _sum_of_data(frame: bytes) -> int:
    return sum(frame[1:3]) & 0xFF


def _cut(data: bytes) -> tuple[bytes, int]:
    return cut_fixed(data, _START, 4, lambda frame: _sum(frame) == frame[3])


def _cut_no_header(data: bytes) -> tuple[bytes, int]:
    return cut_fixed(data, _START, 4, lambda frame: _sum_of_data(frame) == frame[3])


def _words_of(frame: bytes) -> Words | None:
    return (int.from_bytes(frame[1:3], "big"),)


def _frame_of(words: Sequence[int]) -> bytes:
    frame = _START + words[0].to_bytes(2, "big")
    return frame + bytes([_sum(frame)])


def _frame_of_no_header(words: Sequence[int]) -> bytes:
    frame = _START + words[0].to_bytes(2, "big")
    return frame + bytes([_sum_of_data(frame)])


FAMILY: Final = Family(_cut, _words_of, _frame_of, every_s=0.1)
NO_HEADER: Final = Family(_cut_no_header, _words_of, _frame_of_no_header, every_s=0.1)
