"""The fire contacts of a place, judged together: one indicates, two confirm, a certified one confirms alone.

A contact *speaks* while it is active and for `window_ns` (120 s) after it went back to 0. While at least one
contact is active, the level is graded over all contacts that speak now:

    one uncertified                                   1   pre-alarm
    one certified, or two different uncertified       2   confirmed
    a certified and any other, or three or more       3   further criteria

No contact active: level 0 (latching is the alarm machine's). The level is a function of the contacts as they
are now and holds no memory of its own; so it also falls from 2 to 1 when the second contact has been back for
the window. No filter, no second reading, no delay, no warm-up: a contact acts with its sample, also the very
first.

Unknown is not 0: a bad sample or silence leaves a contact at its last known state. A rule is *judged* when
each of its contacts has had a believable sample and none is blind; an active contact that is not blind counts
at once whatever the others do. When the only active contacts have gone blind the level stays and judged
becomes False: "last known", and neither raised nor cleared. Blind ones still speak for another: wires burn
after their contact closed.

Source: CONTRACTS "Fire"; detection rules, "Bypass" and "Quality"; domain facts 3.3. Confidence: contract. The
analogue heads' fusion will add criteria here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.evidence import Contribution
from models.kernels import i8, jit, row, table
from models.quality import CHANNEL, is_blind, is_stale
from models.reading import BAD

CONFIRMED: Final = 2
LEVEL_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class ContactRule:
    """Contacts of one place; `certified[i]` belongs to `channels[i]`; window in ns."""

    id: str
    channels: tuple[str, ...]
    certified: tuple[bool, ...]
    window_ns: int = 120_000_000_000

    def __post_init__(self) -> None:
        assert self.channels
        assert len(self.channels) == len(self.certified) == len(set(self.channels))
        assert self.window_ns >= 0


CONTACT_RULE: Final = np.dtype(
    [
        ("members_at", "i8"),
        ("members_end", "i8"),
        ("window_ns", "i8"),
        ("is_touched", "i8"),
        ("told_level", "i8"),
        ("told_judged", "i8"),
    ],
    align=True,
)
# One row a contact of a rule; `is_told`: was among the contributions told last.
MEMBER: Final = np.dtype([("channel", "i8"), ("is_certified", "i8"), ("is_told", "i8")], align=True)


@jit(i8(row(CHANNEL), i8, i8))
def speaks(channel: Any, now_ns: int, window_ns: int) -> int:
    """1 while the contact is active, and for the window after it went back (its end counts)."""
    if channel["is_active"]:
        return 1
    return 1 if channel["off_ns"] >= 0 and now_ns - channel["off_ns"] <= window_ns else 0


@jit(i8(i8, i8))
def grade(n_certified: int, n: int) -> int:
    """The level of `n` speaking contacts, `n_certified` of them certified.

    >>> grade(0, 1), grade(0, 2), grade(1, 1), grade(1, 2), grade(0, 3)
    (1, 2, 2, 3, 3)
    """
    if n_certified > 0:
        return min(CONFIRMED + n - 1, LEVEL_MAX)
    return min(n, LEVEL_MAX)


@jit(i8(row(CONTACT_RULE), table(MEMBER), table(CHANNEL), i8))
def judge_contacts(rule: Any, members: Any, channels: Any, now_ns: int) -> int:
    """Judge the rule (what was told is mutated); 1 when it has changed."""
    n = n_certified = n_active = n_active_seen = n_unjudged = 0
    for m in range(rule["members_at"], rule["members_end"]):
        channel = channels[members[m]["channel"]]
        blind = is_blind(channel, now_ns)
        n_unjudged += 1 if blind or not channel["is_known"] else 0
        n_active += channel["is_active"]
        n_active_seen += channel["is_active"] and not blind
        if speaks(channel, now_ns, rule["window_ns"]):
            n += 1
            n_certified += members[m]["is_certified"]
    level = grade(n_certified, n) if n_active > 0 else 0
    judged = 1 if n_active_seen > 0 or n_unjudged == 0 else 0
    is_changed = level != rule["told_level"] or judged != rule["told_judged"]
    for m in range(rule["members_at"], rule["members_end"]):
        channel = channels[members[m]["channel"]]
        is_in = 1 if n_active > 0 and speaks(channel, now_ns, rule["window_ns"]) else 0
        is_changed = is_changed or is_in != members[m]["is_told"]
        members[m]["is_told"] = is_in
    rule["told_level"], rule["told_judged"] = level, judged
    return 1 if is_changed else 0


def contributions(
    rule: ContactRule, states: Sequence[Mapping[str, Any]], is_in: Sequence[int], now_ns: int
) -> tuple[Contribution, ...]:
    """What speaks for the rule, first-up first; `states`: rows of its channels, in the rule's order."""
    found = [
        Contribution(name, float(state["value"]), None, None, int(state["on_ns"]), _why(state, now_ns))
        for name, state, counts in zip(rule.channels, states, is_in, strict=True)
        if counts
    ]
    return tuple(sorted(found, key=lambda contribution: contribution.since_ns))


def _why(state: Mapping[str, Any], now_ns: int) -> str:
    if not state["is_active"]:
        return f"was active until {(now_ns - int(state['off_ns'])) / 1e9:.0f} s ago"
    if int(state["quality"]) & int(BAD) or is_stale(state, now_ns):
        return f"active, last known {(now_ns - int(state['believed_ns'])) / 1e9:.0f} s ago"
    return "active"
