"""Which samples may be believed, which are a bound, which say nothing; and when silence becomes blindness.

Rule          | what it says                                                  | confidence
RANGE         | outside the kind's range, infinite, or a contact not 0 or 1   | certain (ranges: our choice)
SENTINEL      | NaN that came without a reason: no value needs a flag         | certain
PAIR          | another value of the same reply is impossible (RANGE)         | suspect reply, our choice
bounded       | a BOUND flag clears STUCK SPIKE NOISE DEAD HELD OBSTRUCTED    | contract
STALE, blind  | no believable sample for 3 periods (+ a little); `blind_ns`   | contract
WARMUP        | the first `warmup_ns` of believable samples                   | by the device profile

Lapse and blindness are functions of (time of the last believable sample, now) and are never stored, so that
they do not depend on when somebody looked. A channel that was never heard counts from the judge's start.

PAIR and contacts: an impossible *contact* makes every other channel of its reply suspect, contacts too, since
the inputs of one module are bits of one answer. An impossible analogue value makes the analogue ones suspect
but never a contact: in a fire a head runs out of its range, and its relay beside it must still count.

WARMUP begins with the first believable sample after never or after a lapse, because a bus that fell silent
cannot be told from a sensor that lost its power. A sensor that answers nonsense has not begun to warm up.

Source: CONTRACTS "Quality" (deploy/docs/contracts.md), QARTOD vocabulary.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.kernels import f8, i8, jit, row
from models.reading import BAD, BOUNDED, EXCLUDED_BY_BOUND, KINDS, Quality

# Numba freezes plain integers; enum members would be looked up as objects.
RANGE: Final = int(Quality.RANGE)
SENTINEL: Final = int(Quality.SENTINEL)
PAIR: Final = int(Quality.PAIR)
WARMUP: Final = int(Quality.WARMUP)
_BAD: Final = int(BAD)
_BOUNDED: Final = int(BOUNDED)
_NOT_OF_A_BOUND: Final = ~int(EXCLUDED_BY_BOUND)
_COMMS: Final = int(Quality.COMMS)

STALE_PERIODS: Final = 3
# A due poll may run a little late on a full bus: a quarter of a period, at most a second (our choice).
LATE_PART: Final = 4
LATE_MAX_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel as the judge needs it; name = "sensor/kind", times in ns.

    `low`, `high`: the kind's physical range, inclusive. `source`: the mother channel of a derived one.
    `mount_height_m`: sensor face above the street, m, for a depth made of a distance.
    """

    name: str
    sensor: str
    kind: str
    place: str
    period_ns: int
    blind_ns: int
    warmup_ns: int
    low: float
    high: float
    source: str | None = None
    mount_height_m: float | None = None

    @property
    def stale_ns(self) -> int:
        """Silence after which the channel is stale: three missed polls and a little lateness."""
        return STALE_PERIODS * self.period_ns + min(self.period_ns // LATE_PART, LATE_MAX_NS)

    @property
    def is_contact(self) -> bool:
        """Whether the kind is 0 or 1."""
        return KINDS[self.kind].is_contact


# One row a channel. First what never changes, then state. `*_at`, `*_end`: ranges of the judge's `links`.
CHANNEL: Final = np.dtype(
    [
        ("low", "f8"),
        ("high", "f8"),
        ("mount_height_m", "f8"),
        ("is_contact", "i8"),
        ("sensor", "i8"),
        ("stale_ns", "i8"),
        ("blind_ns", "i8"),
        ("warmup_ns", "i8"),
        ("derived_at", "i8"),
        ("derived_end", "i8"),
        ("thresholds_at", "i8"),
        ("thresholds_end", "i8"),
        ("contact_rules_at", "i8"),
        ("contact_rules_end", "i8"),
        ("value", "f8"),  # last believable one, NaN = none yet
        ("quality", "i8"),  # flags of the last sample, believable or not
        ("believed_ns", "i8"),  # time of the last believable sample; the judge's start until then
        ("answered_ns", "i8"),  # time of the last answer, believable or not; -1 = never
        ("warm_from_ns", "i8"),
        ("is_known", "i8"),  # had a believable sample
        ("is_judged", "i8"),  # the last believable sample could feed rules (was not warming up)
        ("is_active", "i8"),  # contacts: last known state
        ("on_ns", "i8"),  # contacts: last 0 -> 1 (or unknown -> 1)
        ("off_ns", "i8"),  # contacts: last 1 -> 0, -1 = never
    ],
    align=True,
)
_ROW = row(CHANNEL)


@jit(i8(f8, i8, f8, f8, i8))
def checked_flags(value: float, flags: int, low: float, high: float, is_contact: int) -> int:
    """Flags of one sample after the checks that need nothing but the sample.

    >>> Quality(checked_flags(106.0, 0, 0.0, 105.0, 0)), Quality(checked_flags(np.nan, 0, 0.0, 105.0, 0))
    (<Quality.RANGE: 1>, <Quality.SENTINEL: 8>)
    """
    if flags & _BOUNDED:
        flags &= _NOT_OF_A_BOUND
    if np.isnan(value):
        return flags if flags & _BAD else flags | SENTINEL
    is_impossible = value < low or value > high or np.isinf(value)
    if is_impossible or (is_contact and value != 0.0 and value != 1.0):
        flags |= RANGE
    return flags


@jit(i8(i8, i8, i8, i8))
def paired_flags(flags: int, is_contact: int, n_contacts: int, n_others: int) -> int:
    """PAIR where the reply holds impossible contacts or, for analogue channels, impossible others."""
    if flags & RANGE:
        return flags
    if n_contacts > 0 or (n_others > 0 and not is_contact):
        return flags | PAIR
    return flags


@jit(i8(_ROW, i8))
def is_blind(channel: Any, now_ns: int) -> int:
    """1 when nothing believable came for the channel's blind time (reached counts)."""
    return 1 if now_ns - channel["believed_ns"] >= channel["blind_ns"] else 0


@jit(i8(_ROW, i8))
def is_stale(channel: Any, now_ns: int) -> int:
    """1 when nothing believable came for three periods and a little."""
    return 1 if now_ns - channel["believed_ns"] >= channel["stale_ns"] else 0


@jit(i8(_ROW, i8, f8, i8))
def take(channel: Any, now_ns: int, value: float, flags: int) -> int:
    """Put one checked sample into its channel's row (mutated); returns the final flags (WARMUP added).

    A bad sample changes what is shown about the channel and nothing that anything is judged by.
    """
    if flags & _BAD:
        channel["quality"] = flags
        if not flags & _COMMS:
            channel["answered_ns"] = now_ns
        return flags
    if not channel["is_known"] or is_stale(channel, now_ns) or is_blind(channel, now_ns):
        channel["warm_from_ns"] = now_ns
    if now_ns - channel["warm_from_ns"] < channel["warmup_ns"]:
        flags |= WARMUP
    channel["quality"] = flags
    channel["answered_ns"] = now_ns
    channel["believed_ns"] = now_ns
    channel["value"] = value
    channel["is_known"] = 1
    channel["is_judged"] = 1 if channel["is_contact"] or not flags & WARMUP else 0
    if channel["is_contact"]:
        if value == 1.0 and not channel["is_active"]:
            channel["is_active"] = 1
            channel["on_ns"] = now_ns
        elif value == 0.0 and channel["is_active"]:
            channel["is_active"] = 0
            channel["off_ns"] = now_ns
    return flags
