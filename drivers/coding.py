"""One value: from raw words to a sample, and from the truth back to raw words.

A number goes raw word -> mask -> scale -> span -> calibration. Sentinels are compared with the raw word, the
profile's range with the scaled value, so that neither depends on what a site calibrates. NaN always has a
flag; RANGE keeps the number. Scaling by 1/n divides by n: 3 / 10 prints as 0.3, 3 * 0.1 does not.
"""

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.device_file import RAW_MAX, Value
from models.reading import KINDS, Quality, Sample
from models.site import Sensor

World = Callable[[str, str], float | None]

# A current loop outside its span by more than this share is broken, not measuring (our choice, after NAMUR NE
# 43, where 3.6 mA on a 4..20 mA loop is -2.5 %).
SPAN_SLACK: Final = 0.025
_SHOWN_DECIMALS: Final = 2  # what a simulated device writes into a register that tells the decimals


@dataclass(frozen=True, slots=True)
class ChannelPoint:
    """One channel of a device: its name "sensor/kind", the sensor it belongs to, where and how it is read."""

    name: str
    sensor: Sensor
    value: Value

    @property
    def kind(self) -> str:
        """The kind it measures."""
        return self.value.kind


def sample(point: ChannelPoint, words: tuple[int, ...], first: int) -> Sample:
    """The sample of one channel from the words of its reply; `first` is the address of `words[0]`."""
    value = point.value
    raw = join(words[value.address - first :][: value.words], value)
    flag = _silent(raw, value)
    if flag:
        return Sample(point.kind, math.nan, flag)
    number = _scaled(_number(raw, value), value.scale) * _told_factor(value, words, first)
    if not math.isfinite(number):  # a float that is none, or decimals and units that we do not know
        return Sample(point.kind, math.nan, Quality.SENTINEL)
    number, flag = _judged(number, point)
    if KINDS[point.kind].is_contact:
        return Sample(point.kind, 1.0 - number if value.invert and not flag else number, flag)
    return Sample(point.kind, _calibrated(number, point.sensor), flag)


def siblings(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The samples of one reply: an impossible value makes the others suspect (PAIR)."""
    if not any(one.quality & Quality.RANGE for one in samples):
        return tuple(samples)
    return tuple(
        one if one.quality & Quality.RANGE else Sample(one.kind, one.value, one.quality | Quality.PAIR)
        for one in samples
    )


def join(words: tuple[int, ...], value: Value) -> int:
    """The raw word, unsigned, its bytes put in order, masked and shifted down."""
    data = _ordered(b"".join(word.to_bytes(2, "big") for word in words), value.order)
    raw = words[0] if value.type == "bit" else int.from_bytes(data, "big")
    if value.mask is None:
        return raw
    return (raw & value.mask) >> _shift(value.mask)


def _shift(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _ordered(data: bytes, order: str) -> bytes:
    """Between the wire's order and highest byte first; its own inverse, for two bytes as for four."""
    if len(data) == 2:
        return data[::-1] if order in ("BADC", "DCBA") else data
    return bytes(data["ABCD".index(letter)] for letter in order)


def _silent(raw: int, value: Value) -> int:
    """The flag of a raw word that means "no value"."""
    if raw in value.sentinel:
        return Quality.SENTINEL
    if raw in value.open:
        return Quality.OPEN
    return Quality.SHORT if raw in value.short else 0


def _number(raw: int, value: Value) -> float:
    if value.type == "f32":
        return float(struct.unpack(">f", raw.to_bytes(4, "big"))[0])
    if value.type in ("i16", "i32") and value.mask is None:
        bits = 16 * value.words
        return float(raw - (1 << bits) if raw >> (bits - 1) else raw)
    return float(raw)


def divisor(scale: float) -> int:
    """n when scale is 1/n, else 0. Dividing by n gives the nearest number and a short text; 3 * 0.1 does
    not."""
    n = round(1.0 / scale) if 1e-9 < abs(scale) < 1.0 else 0
    return n if n and math.isclose(1.0 / n, scale, rel_tol=1e-12) else 0


def _scaled(number: float, scale: float) -> float:
    if scale == 1.0:
        return number
    n = divisor(scale)
    return number / n if n else number * scale


def _told_factor(value: Value, words: tuple[int, ...], first: int) -> float:
    """What the device's own registers say about decimals and unit; NaN when they say something unknown."""
    factor = 1.0
    if value.decimals_at is not None:
        decimals = words[value.decimals_at - first]
        factor = 10.0**-decimals if decimals <= 9 else math.nan
    if value.unit_at is not None:
        factor *= value.unit_at.factor.get(str(words[value.unit_at.address - first]), math.nan)
    return factor


def _judged(number: float, point: ChannelPoint) -> tuple[float, int]:
    """The number or its end of range or NaN, and the flag that tells which."""
    value = point.value
    if (span := point.sensor.span) is not None:
        slack = SPAN_SLACK * (span[1] - span[0])
        return number, 0 if span[0] - slack <= number <= span[1] + slack else Quality.RANGE
    info = KINDS[value.kind]
    low, high = value.range or (info.low, info.high)
    if number < low or (number == low and value.at_low != "range"):
        return _at_end(number, low, value.at_low, Quality.BOUND_LOW)
    if number > high or (number == high and value.at_high != "range"):
        return _at_end(number, high, value.at_high, Quality.BOUND_HIGH)
    return number, 0


def _at_end(number: float, end: float, means: str, bound: Quality) -> tuple[float, int]:
    if means == "range":
        return number, Quality.RANGE
    if means == "bound":
        return end, bound
    return math.nan, Quality.NO_ECHO if means == "no_echo" else Quality.SENTINEL


def _calibrated(number: float, sensor: Sensor) -> float:
    if sensor.span is not None and sensor.to is not None:
        (a, b), (low, high) = sensor.span, sensor.to
        number = low + (number - a) * (high - low) / (b - a)
    calibration = sensor.calibration
    if calibration.scale != 1.0:
        number *= calibration.scale
    return number + calibration.offset if calibration.offset else number


# The same, turned round


def raw_word(point: ChannelPoint, world: World) -> int:
    """The raw word, mask in place, that the device shows for what the world says."""
    value, sensor = point.value, point.sensor
    number = world(sensor.id, value.kind)
    if number is None and value.kind == "distance_m" and sensor.mount_height_m is not None:
        number = sensor.mount_height_m - (world(sensor.id, "depth_m") or 0.0)
    most = RAW_MAX[value.type] if value.mask is None else value.mask >> _shift(value.mask)
    info = KINDS[value.kind]
    if info.is_contact:
        raw = int((number or 0.0) != 0.0) ^ value.invert
    elif number is None or math.isnan(number):
        low, high = value.range or (info.low, info.high)
        raw = value.sentinel[0] if value.sentinel else _encoded(max(low, min(high, 0.0)), value, most)
    else:
        raw = _encoded(_uncalibrated(number, sensor), value, most)
    return raw if value.mask is None else raw << _shift(value.mask)


def _uncalibrated(number: float, sensor: Sensor) -> float:
    number = (number - sensor.calibration.offset) / sensor.calibration.scale
    if sensor.span is not None and sensor.to is not None:
        (a, b), (low, high) = sensor.span, sensor.to
        number = a + (number - low) * (b - a) / (high - low)
    return number


def _encoded(number: float, value: Value, most: int) -> int:
    if value.decimals_at is not None:
        number *= 10.0**_SHOWN_DECIMALS
    if value.unit_at is not None:
        number /= next(iter(value.unit_at.factor.values()))
    n = divisor(value.scale)
    number = number * n if n else number / value.scale
    if value.type == "f32":
        return int.from_bytes(struct.pack(">f", max(-3.4e38, min(3.4e38, number))), "big")
    if value.type in ("i16", "i32") and value.mask is None:
        half = (most + 1) // 2
        return max(-half, min(half - 1, round(number))) & most
    return max(0, min(most, round(number)))


def put(held: dict[int, int], value: Value, raw: int) -> None:
    """Writes a raw word into a table of registers (or bits); values with masks share their register."""
    if value.type == "bit":
        held[value.address] = raw
        return
    data = _ordered(raw.to_bytes(2 * value.words, "big"), value.order)
    for i, word in enumerate(struct.unpack(f">{value.words}H", data)):
        held[value.address + i] = held.get(value.address + i, 0) | word if value.mask is not None else word


def told(value: Value) -> dict[int, int]:
    """Registers in which the simulated device tells decimals and unit (the first that the profile knows)."""
    registers = {}
    if value.decimals_at is not None:
        registers[value.decimals_at] = _SHOWN_DECIMALS
    if value.unit_at is not None:
        registers[value.unit_at.address] = int(next(iter(value.unit_at.factor)))
    return registers
