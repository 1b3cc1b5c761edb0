"""Kinds, units, physical ranges, quality flags, and the two carriers of values: `Sample` and `Batch`.

A *sample* is a value of one kind without time or identity: what a driver returns. A *batch* is the channels of one
device reply, as arrays, with one site time: the unit of work of the core.

Invariants: a kind carries its unit in its name and is always float64. NaN means "no value" and always has a flag.
Missing is never zero. *Bounded is not bad*: a saturated head repeats its ceiling and still says "at least this".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]
I4 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int64]
U4 = npt.NDArray[np.uint32]

BATCH_CHANNELS_MAX: Final = 256


class Quality(IntFlag):
    """Why a value may or may not be believed: uint32, bit = flag, 0 = good (bit table in deploy/docs/contracts.md)."""

    RANGE = 1 << 0
    BOUND_LOW = 1 << 1
    BOUND_HIGH = 1 << 2
    SENTINEL = 1 << 3
    NO_ECHO = 1 << 4
    STUCK = 1 << 5
    SPIKE = 1 << 6
    RATE = 1 << 7
    NOISE = 1 << 8
    DEAD = 1 << 9
    DRIFT = 1 << 10
    PAIR = 1 << 11
    COUNTER = 1 << 12
    WARMUP = 1 << 13
    STALE = 1 << 14
    COMMS = 1 << 15
    TIME = 1 << 16
    OBSTRUCTED = 1 << 17
    CALIBRATING = 1 << 18
    TEST = 1 << 19
    GAP = 1 << 20
    SHIFT = 1 << 21
    QUIET = 1 << 22
    HELD = 1 << 23
    OPEN = 1 << 24
    SHORT = 1 << 25


BOUNDED: Final = Quality.BOUND_LOW | Quality.BOUND_HIGH
NOTED: Final = (
    Quality.RATE | Quality.DRIFT | Quality.WARMUP | Quality.TIME | Quality.CALIBRATING
    | Quality.TEST | Quality.GAP | Quality.SHIFT | Quality.QUIET
)  # fmt: skip
BAD: Final = (
    Quality.RANGE | Quality.SENTINEL | Quality.NO_ECHO | Quality.STUCK | Quality.SPIKE | Quality.NOISE
    | Quality.DEAD | Quality.PAIR | Quality.COUNTER | Quality.STALE | Quality.COMMS | Quality.OBSTRUCTED
    | Quality.HELD | Quality.OPEN | Quality.SHORT
)  # fmt: skip
# A saturated head repeats its ceiling: these flags would call that a fault and hide a real fire or flood.
EXCLUDED_BY_BOUND: Final = (
    Quality.STUCK | Quality.SPIKE | Quality.NOISE | Quality.DEAD | Quality.HELD | Quality.OBSTRUCTED
)


class QualityClass(StrEnum):
    """What a value may do: see `quality_class`."""

    GOOD = "good"
    BOUNDED = "bounded"
    NOTED = "noted"
    BAD = "bad"


def quality_class(flags: int) -> QualityClass:
    """The class of a flag set; the worst wins, but a bound first clears the flags that a ceiling provokes.

    >>> quality_class(0), quality_class(Quality.COMMS), quality_class(Quality.WARMUP)
    (<QualityClass.GOOD: 'good'>, <QualityClass.BAD: 'bad'>, <QualityClass.NOTED: 'noted'>)
    >>> quality_class(Quality.BOUND_HIGH | Quality.STUCK)
    <QualityClass.BOUNDED: 'bounded'>
    """
    if flags & BOUNDED:
        flags &= ~EXCLUDED_BY_BOUND
    if flags & BAD:
        return QualityClass.BAD
    if flags & BOUNDED:
        return QualityClass.BOUNDED
    return QualityClass.NOTED if flags & NOTED else QualityClass.GOOD


def flag_names(flags: int) -> list[str]:
    """Names of the set flags, lowest bit first.

    >>> flag_names(Quality.COMMS | Quality.RANGE)
    ['RANGE', 'COMMS']
    """
    return [q.name for q in Quality if flags & q and q.name]


class Hazard(StrEnum):
    """What people are told about; `trouble` is a fault of our own equipment. A closed list."""

    FIRE = "fire"
    FLOOD = "flood"
    AIR = "air"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class KindInfo:
    """Unit as shown to people, physical range (inclusive), and whether the kind is a contact (0 or 1)."""

    unit: str
    low: float
    high: float
    is_contact: bool = False


_CONTACT: Final = KindInfo("", 0.0, 1.0, is_contact=True)
_RAW: Final = KindInfo("", -np.inf, np.inf)

# Ranges are what is physically possible where such sensors hang (our choice), not a sensor's own range:
# that one stands in its profile. Outside them a value is a fault whatever the profile says.
KINDS: Final[dict[str, KindInfo]] = {
    "distance_m": KindInfo("m", 0.0, 100.0),
    "depth_m": KindInfo("m", -50.0, 50.0),
    "rain_mm": KindInfo("mm", 0.0, 1e7),
    "rain_rate_mm_h": KindInfo("mm/h", 0.0, 1000.0),
    "temperature_c": KindInfo("°C", -60.0, 1500.0),
    "humidity_pct": KindInfo("%", 0.0, 105.0),
    "pm1_ug_m3": KindInfo("µg/m³", 0.0, 20000.0),
    "pm2_5_ug_m3": KindInfo("µg/m³", 0.0, 20000.0),
    "pm10_ug_m3": KindInfo("µg/m³", 0.0, 20000.0),
    "co_ppm": KindInfo("ppm", -20.0, 100000.0),
    "co2_ppm": KindInfo("ppm", 0.0, 200000.0),
    "no2_ug_m3": KindInfo("µg/m³", -200.0, 100000.0),
    "o3_ug_m3": KindInfo("µg/m³", -200.0, 100000.0),
    "so2_ug_m3": KindInfo("µg/m³", -200.0, 100000.0),
    "smoke_db_m": KindInfo("dB/m", -1.0, 100.0),
    "smoke_contact": _CONTACT,
    "heat_contact": _CONTACT,
    "call_point": _CONTACT,
    "panel_fire": _CONTACT,
    "panel_fault": _CONTACT,
    "water_contact": _CONTACT,
    "door_contact": _CONTACT,
    "mains_ok": _CONTACT,
    "battery_v": KindInfo("V", 0.0, 1000.0),
    "wind_m_s": KindInfo("m/s", 0.0, 120.0),
    "wind_deg": KindInfo("°", 0.0, 360.0),
    "pressure_hpa": KindInfo("hPa", 500.0, 1200.0),
    "noise_db": KindInfo("dB", 0.0, 200.0),
    "light_lx": KindInfo("lx", 0.0, 300000.0),
    "relay": _CONTACT,
    **{f"raw_{i}": _RAW for i in range(16)},
    "sill_gap_m": KindInfo("m", -50.0, 50.0),
    "rain_10min_mm": KindInfo("mm", 0.0, 1000.0),
    "rain_1h_mm": KindInfo("mm", 0.0, 2000.0),
    "rain_24h_mm": KindInfo("mm", 0.0, 5000.0),
    "pm2_5_dry_ug_m3": KindInfo("µg/m³", 0.0, 20000.0),
    "nowcast_pm2_5_ug_m3": KindInfo("µg/m³", 0.0, 20000.0),
    "nowcast_pm10_ug_m3": KindInfo("µg/m³", 0.0, 20000.0),
    "vn_aqi": KindInfo("VN_AQI", 0.0, 500.0),
    "vn_aqi_day": KindInfo("VN_AQI", 0.0, 500.0),
    "us_aqi": KindInfo("US AQI", 0.0, 500.0),
}
# Kinds that a sensor may measure; the others are derived by us.
DERIVED_ONLY: Final = frozenset({
    "sill_gap_m", "rain_10min_mm", "rain_1h_mm", "rain_24h_mm", "pm2_5_dry_ug_m3", "nowcast_pm2_5_ug_m3",
    "nowcast_pm10_ug_m3", "vn_aqi", "vn_aqi_day", "us_aqi",
})  # fmt: skip
CONTACTS: Final = frozenset(kind for kind, info in KINDS.items() if info.is_contact)
# Kinds that feed a fire alarm of their place. Call points and panel relays are certified by what they are.
FIRE_CONTACTS: Final = frozenset({"smoke_contact", "heat_contact", "call_point", "panel_fire"})
CERTIFIED_KINDS: Final = frozenset({"call_point", "panel_fire"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One decoded value: kind, value in the kind's unit (NaN = none), quality flags."""

    kind: str
    value: float
    quality: int = 0


class Batch(NamedTuple):
    """The channels of one reply: int32 index, float64 value (NaN = no value), uint32 flags, one site time in ns.

    Arrays of one length, at most BATCH_CHANNELS_MAX; whoever makes one changes them no more. (A named tuple: a frozen
    dataclass that checks itself costs a tenth of the whole way of a reply.)
    """

    site_ns: int
    channel: I4
    value: F8
    quality: U4


def make_batch(site_ns: int, channel: Iterable[int], value: Iterable[float], quality: Iterable[int]) -> Batch:
    """A batch from plain sequences of equal length; its arrays are read-only."""
    batch = Batch(
        site_ns,
        np.fromiter(channel, np.int32),
        np.fromiter(value, np.float64),
        np.fromiter(quality, np.uint32),
    )
    n = batch.channel.shape[0]
    assert batch.value.shape == batch.quality.shape == (n,)
    assert n <= BATCH_CHANNELS_MAX
    for array in batch[1:]:
        array.setflags(write=False)
    return batch
