"""What the judge says about one alarm rule: the only thing that flows from judging to alarming."""

from dataclasses import dataclass
from typing import Literal

Bound = Literal["at_least", "at_most"] | None  # of a value: it is more, it is less, it is the value itself


@dataclass(frozen=True, slots=True)
class Contribution:
    """One channel that speaks for an alarm. `value` NaN-free; `limit` None for contacts; times are site ns."""

    channel: str
    value: float
    bound: Bound
    limit: float | None
    since_ns: int
    why: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Per alarm: whether and how strongly its condition holds now.

    `judged` False means warming up or nothing believable yet: neither active nor clear ("not judged" is never
    "fine"); the alarm machine then keeps its state. `level` 0 = condition absent, 1 = lowest.
    `contributions` are first-up first.
    """

    alarm: str
    site_ns: int
    judged: bool
    level: int
    contributions: tuple[Contribution, ...] = ()
    basis: Literal["measured", "forecast"] = "measured"

    @property
    def active(self) -> bool:
        """Whether the condition holds."""
        return self.judged and self.level > 0
