"""Modbus TCP frames as functions on bytes: the seven bytes in front, and cutting a stream.

    transaction(2)  protocol(2) = 0  length(2) = bytes that follow  unit  function  data ..

Inside the project a frame is the RTU one (unit .. CRC), so that profiles, decoders and virtual devices know one form;
here the CRC comes off and two zero bytes stand in its place on the way back, because nobody checks it again.

Source: Modbus Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3.
"""

from collections.abc import Iterator
from typing import Final

HEADER_BYTES: Final = 7
LENGTH_MAX: Final = 254  # unit, function and at most 252 bytes


class StreamError(Exception):
    """The stream cannot be cut into frames any more: close it."""


def wrap(transaction: int, rtu: bytes) -> bytes:
    """The TCP frame of an RTU frame.

    >>> wrap(0x1C, bytes.fromhex("05 04 00 00 00 01 31 8e")).hex(" ")
    '00 1c 00 00 00 06 05 04 00 00 00 01'
    """
    body = rtu[:-2]
    return transaction.to_bytes(2, "big") + b"\0\0" + len(body).to_bytes(2, "big") + body


def cut(received: bytearray) -> Iterator[tuple[int, bytes]]:
    """(transaction, RTU-like frame) of all whole frames, which are removed. Raises StreamError."""
    while len(received) >= HEADER_BYTES:
        length = int.from_bytes(received[4:6], "big")
        if received[2:4] != b"\0\0" or not 2 <= length <= LENGTH_MAX:
            raise StreamError("what came is no Modbus TCP")
        if len(received) < 6 + length:
            return
        transaction = int.from_bytes(received[:2], "big")
        frame = bytes(received[6 : 6 + length]) + b"\0\0"
        del received[: 6 + length]
        yield transaction, frame


def is_reply(request: bytes, frame: bytes, expected: int) -> bool:
    """Whether `frame` has the shape of the reply, or of the refusal, to the RTU request."""
    if frame[0] != request[0] or frame[1] & 0x7F != request[1]:
        return False
    if frame[1] & 0x80:
        return len(frame) == 5
    return len(frame) == expected and frame[2] == len(frame) - 5
