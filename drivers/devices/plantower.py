"""Plantower PMSx003: `42 4D | length | words | sum of all bytes before`, highest byte first.

Words of a PMS5003 report: 0..2 PM1, PM2.5, PM10 for factories (CF=1), 3..5 in the open air, 6..11 counts above 0.3,
0.5, 1, 2.5, 5, 10 um in 0.1 litre, 12 version and error code. A PMS5003T has temperature and humidity (tenths) in
10 and 11; a PMS3003 ends at word 8. An answer to a command has length 4.

Source: makers' data sheets as read by PyPMS and esphome (domain.md 4.1), captures in tests/captures.
"""

import struct
from collections.abc import Sequence
from typing import Final

from drivers.uart import Family, Words, find_start
from models.reading import Quality

_START: Final = b"\x42\x4d"
_LENGTHS: Final = frozenset({4, 20, 28, 36})  # command answer, x003 short, x003, x003ST
_WAKE: Final = bytes.fromhex("42 4d e4 00 01 01 74")
_ACTIVE: Final = bytes.fromhex("42 4d e1 00 01 01 71")


def _cut(data: bytes) -> tuple[bytes, int]:
    at = find_start(data, _START)
    if len(data) < at + 4:
        return b"", at
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    if length not in _LENGTHS:
        return b"", at + 1
    frame = data[at : at + 4 + length]
    if len(frame) < 4 + length:
        return b"", at
    is_whole = sum(frame[:-2]) & 0xFFFF == int.from_bytes(frame[-2:], "big")
    return (frame, at + len(frame)) if is_whole else (b"", at + 1)


def _words_of(frame: bytes) -> Words | None:
    n = (len(frame) - 6) // 2
    return struct.unpack(f">{n}H", frame[4:-2]) if n > 1 else None


def _frame_of(words: Sequence[int]) -> bytes:
    body = _START + struct.pack(f">{len(words) + 1}H", 2 * len(words) + 2, *words)
    return body + (sum(body) & 0xFFFF).to_bytes(2, "big")


def _flags(words: Words) -> int:
    """PAIR where the report contradicts itself (dust, but not one particle) or carries an error code."""
    if len(words) < 13:
        return 0
    is_contradiction = words[6] == 0 and words[5] > 0
    return Quality.PAIR if is_contradiction or words[12] & 0xFF else 0


FAMILY: Final = Family(_cut, _words_of, _frame_of, _flags, begin=(_WAKE, _ACTIVE))
