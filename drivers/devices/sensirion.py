"""Sensirion SPS30 over SHDLC: `7E | address command state length data check | 7E`, bytes 7E 7D 11 13 stuffed.

Words of a report: ten float32 in 0, 2 .. 18: PM1, PM2.5, PM4, PM10 in ug/m3, counts above 0.5, 1, 2.5, 4, 10 um in
1/cm3, typical size in um. It measures only after the start command; without new data it answers with length 0.
Un-stuffing is one pass: replacing one sequence after another turns `7D 5D 31` into 11.

Source: Sensirion SPS30 data sheet, UART; captures in tests/captures.
"""

import struct
from collections.abc import Sequence
from typing import Final

from drivers.uart import FRAME_BYTES_MAX, Family, Words

_FLAG: Final = b"\x7e"
_STUFFED: Final = {0x5E: 0x7E, 0x5D: 0x7D, 0x31: 0x11, 0x33: 0x13}
_READ: Final = 0x03
_START_FLOAT: Final = bytes.fromhex("7e 00 00 02 01 03 f9 7e")
_ASK: Final = bytes.fromhex("7e 00 03 00 fc 7e")
_WORDS: Final = 20


def _cut(data: bytes) -> tuple[bytes, int]:
    """Flag to flag; a flag may end one frame and begin the next, so a bad frame's last flag is kept."""
    start = data.find(_FLAG)
    if start < 0:
        return b"", len(data)
    end = data.find(_FLAG, start + 1)
    if end < 0:
        return b"", start + 1 if len(data) - start > FRAME_BYTES_MAX else start
    frame = data[start : end + 1]
    is_shared = data[end + 1 : end + 2] not in (b"", _FLAG)
    return (frame, end if is_shared else end + 1) if _plain(frame) is not None else (b"", end)


def _plain(frame: bytes) -> bytes | None:
    """Address .. data of a frame whose stuffing, check sum and length are right."""
    plain, is_escaped = bytearray(), False
    for byte in frame[1:-1]:
        if is_escaped:
            if byte not in _STUFFED:
                return None
            plain.append(_STUFFED[byte])
        elif byte != 0x7D:
            plain.append(byte)
        is_escaped = byte == 0x7D and not is_escaped
    if is_escaped or len(plain) < 5 or plain[3] != len(plain) - 5:
        return None
    return bytes(plain[:-1]) if ~sum(plain[:-1]) & 0xFF == plain[-1] else None


def _words_of(frame: bytes) -> Words | None:
    plain = _plain(frame)
    if plain is None or plain[1] != _READ or plain[2] or len(plain) != 4 + 2 * _WORDS or not any(plain[4:]):
        return None  # all zero: it has just been switched on
    return struct.unpack(f">{_WORDS}H", plain[4:])


def _frame_of(words: Sequence[int]) -> bytes:
    data = struct.pack(f">{_WORDS}H", *words)
    plain = bytes([0, _READ, 0, len(data)]) + data
    codes = {real: code for code, real in _STUFFED.items()}
    stuffed = bytearray()
    for byte in plain + bytes([~sum(plain) & 0xFF]):
        stuffed += bytes([0x7D, codes[byte]]) if byte in codes else bytes([byte])
    return _FLAG + bytes(stuffed) + _FLAG


FAMILY: Final = Family(_cut, _words_of, _frame_of, begin=(b"\xff" + _START_FLOAT,), ask=_ASK)
