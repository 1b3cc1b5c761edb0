"""Modbus RTU frames as functions on bytes: no ports, no time, no state.

    request of a read     unit  fc  address(2)  count(2)  crc(2)          8 bytes
    reply to a read       unit  fc  n  n data bytes       crc(2)          5 + n
    exception             unit  fc|0x80  code             crc(2)          5
    write request, reply  unit  fc  address(2)  value or count(2) .. crc  reply 8, repeats bytes 2..5

Numbers are big-endian, the CRC is sent low byte first, addresses count from 0 as on the wire. A frame is
found by its length and its CRC, never by gaps: USB adapters and scheduling keep no 1.5 characters.

Limits: read functions 1..4; of writes only the replies are understood. `find_reply` takes the first copy of a
read request for the echo of a two-wire adapter, so a reply that equals its own request would be missed (it
needs a bit read of 17..24 inputs at address 0x03xx whose states spell the request).

Source: Modbus Application Protocol V1.1b3, Modbus over Serial Line V1.02 (2.5.1.1 for the times).
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

READ_COILS: Final = 1
READ_DISCRETE: Final = 2
READ_HOLDING: Final = 3
READ_INPUT: Final = 4
BIT_READS: Final = frozenset({READ_COILS, READ_DISCRETE})
READS: Final = frozenset({READ_COILS, READ_DISCRETE, READ_HOLDING, READ_INPUT})
WRITES: Final = frozenset({5, 6, 15, 16})

REGISTERS_MAX: Final = 125
BITS_MAX: Final = 2000
FRAME_BYTES_MAX: Final = 256

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3


class Fault(StrEnum):
    """Why bytes are not the reply to a request."""

    SHORT = "short"
    CRC = "crc"
    UNIT = "unit"
    FUNCTION = "function"
    BYTE_COUNT = "byte_count"
    ECHO_VALUE = "echo_value"


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_CRC_TABLE: Final = _table()


def crc(data: bytes) -> int:
    """CRC-16/MODBUS: start 0xFFFF, polynomial 0xA001 reflected.

    >>> hex(crc(b"123456789"))
    '0x4b37'
    """
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _CRC_TABLE[(value ^ byte) & 0xFF]
    return value


def with_crc(body: bytes) -> bytes:
    """The frame: body and its CRC, low byte first."""
    return body + crc(body).to_bytes(2, "little")


def has_valid_crc(frame: bytes) -> bool:
    """Whether the last two bytes are the CRC of all before them. False below four bytes."""
    return len(frame) >= 4 and crc(frame[:-2]) == int.from_bytes(frame[-2:], "little")


def read_request(unit: int, function: int, address: int, count: int) -> bytes:
    """A read of `count` bits or registers from `address`.

    >>> read_request(1, READ_INPUT, 1, 2).hex(" ")
    '01 04 00 01 00 02 20 0b'
    """
    assert function in READS
    assert 0 < count <= (BITS_MAX if function in BIT_READS else REGISTERS_MAX)
    return with_crc(bytes((unit, function)) + address.to_bytes(2, "big") + count.to_bytes(2, "big"))


def parse_read(request: bytes) -> tuple[int, int, int, int]:
    """(unit, function, address, count) of a read request that we built or checked ourselves."""
    address, count = int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big")
    return request[0], request[1], address, count


def data_reply(unit: int, function: int, data: bytes) -> bytes:
    """The reply to a read."""
    return with_crc(bytes((unit, function, len(data))) + data)


def exception_reply(unit: int, function: int, code: int) -> bytes:
    """A refusal.

    >>> exception_reply(1, 3, ILLEGAL_ADDRESS).hex(" ")
    '01 83 02 c0 f1'
    """
    return with_crc(bytes((unit, function | 0x80, code)))


def expected_length(request: bytes) -> int:
    """Bytes of the normal reply to `request`, CRC included; an exception has 5."""
    function = request[1]
    if function in WRITES:
        return 8
    count = int.from_bytes(request[4:6], "big")
    return 5 + ((count + 7) // 8 if function in BIT_READS else 2 * count)


def exception_code(frame: bytes) -> int | None:
    """The code of an exception reply, None for any other frame."""
    return frame[2] if len(frame) == 5 and frame[1] & 0x80 else None


def reply_data(frame: bytes) -> bytes:
    """The data bytes of a checked reply to a read."""
    return frame[3:-2]


def check(request: bytes, frame: bytes) -> Fault | None:
    """Why `frame` (all of it) is not the reply to `request`; None when it is, an exception reply included."""
    fault = check_frame(frame)
    if fault is not None:
        return fault
    if frame[0] != request[0]:
        return Fault.UNIT
    if frame[1] & 0x7F != request[1]:
        return Fault.FUNCTION
    if frame[1] & 0x80:
        return None if len(frame) == 5 else Fault.BYTE_COUNT
    if len(frame) != expected_length(request):
        return Fault.BYTE_COUNT
    if request[1] in WRITES:
        return None if frame[2:6] == request[2:6] else Fault.ECHO_VALUE
    return None if frame[2] == len(frame) - 5 else Fault.BYTE_COUNT


def check_frame(frame: bytes) -> Fault | None:
    """Why `frame` is no frame of anybody: shorter than it says, or a wrong CRC."""
    if len(frame) < 5 or len(frame) < (_announced_length(frame) or 0):
        return Fault.SHORT
    return None if has_valid_crc(frame) else Fault.CRC


def find_reply(request: bytes, received: bytes, searched: int = 0) -> bytes | None:
    """Our reply in what was received since the request; None when it is not (completely) there.

    Skips line noise, the echo of a two-wire adapter, late frames of other units and frames of our unit with
    another function or length. `searched`: so many bytes were searched in vain before; only frames that end
    behind them are looked at, so a stream that comes byte by byte costs two comparisons a byte.
    """
    unit, function = request[0], request[1]
    length = expected_length(request)
    echo_end = 0
    if function in READS and (i := received.find(request)) >= 0:
        echo_end = i + len(request)
    found: list[tuple[int, bytes]] = []
    for header, n in ((bytes((unit, function)), length), (bytes((unit, function | 0x80)), 5)):
        for i in range(max(echo_end, searched - n + 1), len(received) - n + 1):
            if received.startswith(header, i) and check(request, received[i : i + n]) is None:
                found.append((i, received[i : i + n]))
                break
    return min(found)[1] if found else None


def complaint(request: bytes, received: bytes) -> Fault | None:
    """What is wrong with bytes that hold no reply; None when there are none but an echo of the request."""
    rest = received
    if request[1] in READS:
        rest = received.replace(request, b"", 1)
    return check(request, rest) if rest else None


def frames(received: bytes) -> Iterator[bytes]:
    """All complete frames of any unit in `received`, whatever lies between them."""
    start = 0
    while start + 5 <= len(received):
        length = _announced_length(received[start : start + 3])
        if length and has_valid_crc(received[start : start + length]) and start + length <= len(received):
            yield received[start : start + length]
            start += length
        else:
            start += 1


def char_s(baud: int, framing: str) -> float:
    """Seconds on the wire of one character: start bit, data bits, parity bit if any, stop bits. "8N1" = 10
    bits."""
    bits = 1 + int(framing[0]) + (framing[1] != "N") + int(framing[2])
    return bits / baud


def silence_s(baud: int, framing: str) -> float:
    """The pause before every frame: 3.5 characters up to 19,200 baud, 1.75 ms above (V1.02, 2.5.1.1)."""
    return 3.5 * char_s(baud, framing) if baud <= 19200 else 0.00175


def _announced_length(header: bytes) -> int | None:
    function = header[1]
    if function & 0x80:
        return 5
    if function in READS:
        return 5 + header[2]
    return 8 if function in WRITES else None
