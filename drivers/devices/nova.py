"""Nova SDS011, SDS018, SDS021: `AA C0 | PM2.5 | PM10 | id | sum | AB`, values lowest byte first, in tenths.

Words: 0 PM2.5, 1 PM10, 2 the sensor's id. Answers to commands begin with `AA C5`.

Source: laser dust sensor control protocol V1.3 as read by PyPMS and esphome (domain.md 4.1).
"""

import struct
from collections.abc import Sequence
from typing import Final

from drivers.uart import Family, Words, find_start

_LENGTH: Final = 10
_KINDS: Final = frozenset({0xC0, 0xC5})


def _command(cmd: int, *body: int) -> bytes:
    data = bytes([cmd, *body]).ljust(13, b"\0") + b"\xff\xff"
    return b"\xaa\xb4" + data + bytes([sum(data) & 0xFF]) + b"\xab"


def _cut(data: bytes) -> tuple[bytes, int]:
    at = find_start(data, b"\xaa")
    frame = data[at : at + _LENGTH]
    if len(frame) > 1 and frame[1] not in _KINDS:
        return b"", at + 1
    if len(frame) < _LENGTH:
        return b"", at
    is_whole = frame[9] == 0xAB and sum(frame[2:8]) & 0xFF == frame[8]
    return (frame, at + _LENGTH) if is_whole else (b"", at + 1)


def _words_of(frame: bytes) -> Words | None:
    pm2_5, pm10, number = struct.unpack("<HHH", frame[2:8])
    is_report = frame[1] == 0xC0 and (pm2_5 or pm10 or number)  # all zero: it has just been switched on
    return (pm2_5, pm10, number) if is_report else None


def _frame_of(words: Sequence[int]) -> bytes:
    data = struct.pack("<HHH", *words)
    return b"\xaa\xc0" + data + bytes([sum(data) & 0xFF]) + b"\xab"


FAMILY: Final = Family(
    _cut, _words_of, _frame_of, begin=(_command(6, 1, 1), _command(2, 1, 0))
)  # wake; report
