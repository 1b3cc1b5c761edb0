"""The decoder of one request, worked out once: what `registers.decode` gives, in a tenth of the time.

`decode` looks at every key of a value for every reply. Here that is done once for each channel: a plain register
becomes a few additions and comparisons, anything with a habit of its own (mask, sentinel, other registers that tell
decimals, calibration) keeps the way through `coding.sample`. `tests/test_reader.py` holds the two against each other.
"""

import math
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final

from drivers import modbus, registers
from drivers.coding import ChannelPoint, divisor, sample
from drivers.line import Request
from drivers.registers import Device
from models.reading import KINDS, Quality

_RANGE: Final = int(Quality.RANGE)
_PAIR: Final = int(Quality.PAIR)

Read = Callable[[bytes], tuple[list[float], list[int]]]
_Convert = Callable[[Sequence[int]], tuple[float, int]]


def reader(device: Device, request: Request) -> Read:
    """The decoder: a checked reply -> values (NaN = none) and flags, aligned with `request.channels`."""
    if device.profile.uart is not None:
        return _by_decode(device, request)
    _, function, first, count = modbus.parse_read(request.tx)
    points = [point for point in device.channels if point.name in request.channels]
    converts = [_convert(point, first) for point in points]
    if function in modbus.BIT_READS:

        def words_of(reply: bytes) -> Sequence[int]:
            return registers.words(function, count, reply[3:-2])
    else:
        unpack = Struct(f">{count}H").unpack_from

        def words_of(reply: bytes) -> Sequence[int]:
            return unpack(reply, 3)

    def read(reply: bytes) -> tuple[list[float], list[int]]:
        words = words_of(reply)
        values, flags = [], []
        is_suspect = False
        for convert in converts:
            value, flag = convert(words)
            values.append(value)
            flags.append(flag)
            is_suspect = is_suspect or flag & _RANGE != 0
        if is_suspect:
            flags = [flag if flag & _RANGE else flag | _PAIR for flag in flags]
        return values, flags

    return read


def _by_decode(device: Device, request: Request) -> Read:
    def read(reply: bytes) -> tuple[list[float], list[int]]:
        samples = registers.decode(device, request, reply)
        return [one.value for one in samples], [int(one.quality) for one in samples]

    return read


def _convert(point: ChannelPoint, first: int) -> _Convert:
    value = point.value
    at = value.address - first
    if not _is_plain(point):

        def generic(words: Sequence[int]) -> tuple[float, int]:
            one = sample(point, tuple(words), first)
            return one.value, int(one.quality)

        return generic
    if value.type == "bit":
        is_inverted = value.invert

        def bit(words: Sequence[int]) -> tuple[float, int]:
            return (1.0 - words[at] if is_inverted else float(words[at])), 0

        return bit
    info = KINDS[value.kind]
    low, high = value.range or (info.low, info.high)
    half = 0x8000 if value.type == "i16" else math.inf
    scale, parts = value.scale, divisor(value.scale)

    def register(words: Sequence[int]) -> tuple[float, int]:
        raw = words[at]
        number = float(raw - 0x10000 if raw >= half else raw)
        if parts:
            number /= parts
        elif scale != 1.0:
            number *= scale
        return number, 0 if low <= number <= high else _RANGE

    return register


def _is_plain(point: ChannelPoint) -> bool:
    """One register or bit whose content is the value but for a factor, with hard ends, as the sensor gives it."""
    value, sensor = point.value, point.sensor
    is_simple = value.type in ("u16", "i16", "bit") and value.order == "ABCD" and value.mask is None
    has_habits = value.sentinel or value.open or value.short or value.decimals_at is not None or value.unit_at
    is_hard = value.at_low == "range" and value.at_high == "range"
    is_own = sensor.span is None and sensor.calibration.scale == 1.0 and not sensor.calibration.offset
    is_contact = KINDS[value.kind].is_contact
    return bool(is_simple and not has_habits and is_hard and is_own and is_contact == (value.type == "bit"))
