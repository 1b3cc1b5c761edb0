"""A channel against limits: the level is the index of the highest limit reached, 1 first. (Flood today; air
alike.)

"above": limits ascend, reached when value >= limit; "below": limits descend, reached when value <= limit. A
level is left only when the value lies *beyond* the limit by more than the deadband: with limit 0.30 and
deadband 0.03 the value 0.27 still holds it, the next smaller number does not. Delays are the alarm machine's,
not ours.

Bounds: "at least v" may raise an "above" rule and never lower it; "at most v" may lower and never raise it;
"below" the other way round. A sample that warms up or is bad changes nothing here, nor does silence.

Source: CONTRACTS "Flood, air"; deadband: domain facts 2.4 and 6.3 (street depth 3 cm). Confidence: certain.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.evidence import Bound, Contribution
from models.kernels import f8, i8, jit, row, table
from models.reading import Hazard, Quality

_AT_MOST: Final = int(Quality.BOUND_LOW)
_AT_LEAST: Final = int(Quality.BOUND_HIGH)


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """Limits on one channel, in its kind's unit: ascending when `above`, else descending; `deadband` >= 0."""

    id: str
    hazard: Hazard
    channel: str
    levels: tuple[float, ...]
    above: bool = True
    deadband: float = 0.0

    def __post_init__(self) -> None:
        ordered = sorted(self.levels, reverse=not self.above)
        assert self.levels
        assert len(set(self.levels)) == len(self.levels)
        assert list(self.levels) == ordered
        assert self.deadband >= 0


# One row a rule: `sign` turns "below" into "above" (-1 for below); `value`, `quality`: last sample fed.
THRESHOLD: Final = np.dtype(
    [
        ("channel", "i8"),
        ("limits_at", "i8"),
        ("limits_end", "i8"),
        ("sign", "f8"),
        ("deadband", "f8"),
        ("level", "i8"),
        ("value", "f8"),
        ("quality", "i8"),
        ("is_touched", "i8"),
        ("told_level", "i8"),
        ("told_judged", "i8"),
    ],
    align=True,
)
# One row a limit: since when it has been reached in this spell.
LIMIT: Final = np.dtype([("limit", "f8"), ("since_ns", "i8")], align=True)


@jit(i8(row(THRESHOLD), table(LIMIT), i8, f8, i8))
def feed(rule: Any, limits: Any, now_ns: int, value: float, flags: int) -> int:
    """Move the rule's level by one believable, warm sample (rule and limits mutated); returns the level."""
    sign, first, level = rule["sign"], rule["limits_at"], rule["level"]
    is_at_least, is_at_most = flags & _AT_LEAST != 0, flags & _AT_MOST != 0
    may_rise = not is_at_most if sign > 0 else not is_at_least
    may_fall = not is_at_least if sign > 0 else not is_at_most
    n_levels = rule["limits_end"] - first
    while may_rise and level < n_levels and sign * value >= sign * limits[first + level]["limit"]:
        limits[first + level]["since_ns"] = now_ns
        level += 1
    while may_fall and level > 0:
        limit = limits[first + level - 1]["limit"]
        if not sign * value < sign * (limit - sign * rule["deadband"]):
            break
        level -= 1
    rule["level"], rule["value"], rule["quality"] = level, value, flags
    return int(level)


def contributions(
    rule: ThresholdRule, state: Mapping[str, Any], since_ns: int, unit: str
) -> tuple[Contribution, ...]:
    """What speaks for a rule whose state (a row of THRESHOLD) has a level; none at level 0."""
    level, value, flags = int(state["level"]), float(state["value"]), int(state["quality"])
    if level == 0:
        return ()
    limit = rule.levels[level - 1]
    bound = bound_of(flags)
    now = said(value, bound, unit)
    sign = 1.0 if rule.above else -1.0
    if sign * value >= sign * limit and bound != ("at_most" if rule.above else "at_least"):
        why = f"{now} {'>=' if rule.above else '<='} {said(limit, None, unit)}"
    else:
        left = limit - sign * rule.deadband
        why = f"{now}, not yet {'below' if rule.above else 'above'} {said(left, None, unit)}"
    return (Contribution(rule.channel, value, bound, limit, since_ns, why),)


def bound_of(flags: int) -> Bound:
    """What a sample's flags say of its value: "at_least", "at_most", or the value itself (None)."""
    if not flags & (_AT_MOST | _AT_LEAST):
        return None
    return "at_least" if flags & _AT_LEAST else "at_most"


def said(value: float, bound: Bound, unit: str) -> str:
    """A value in words.

    >>> said(0.3, "at_least", "m")
    'at least 0.30 m'
    """
    return f"{bound.replace('_', ' ') + ' ' if bound else ''}{value:.2f} {unit}".rstrip()
