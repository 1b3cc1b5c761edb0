"""One alarm through time: `advance(alarm, rule, input, now)` by the table in `models.alarm_table`.

Inputs: `Condition(level)` (0 = absent), `Unknown()` (not judged), `Acked(by)`, `Reset(by)`, `Tick()`.

Delays are deadlines in site ns, by name, kept per level, so that deep water after shallow is not counted
anew: `on` and `rise-N` end when the condition was at least 1 (N) for `on_ns`; `off` and `fall-N` when it was
below 1 (N) for `off_ns`; `mask` ends a mask. They fire with the first input at or after them; zero delays
with the input.

- *Unknown is neither present nor clear.* It starts, stops and fires no delay: a pending alarm whose sensor
  falls silent waits (the silence is a trouble alarm of its own), and the first believable value decides:
  still there and the deadline past = raised at once, gone = lapsed. So bad samples between good ones do not
  hide a flood, one wild sample before a silence makes none, and a raised alarm never returns because its
  sensor died.
- *A restored alarm is not judged* until its first evidence: deadlines are kept on disk, `judged` is not.
- A latched alarm never falls to a lower level: heads burn out, a confirmed fire stays confirmed.
- A reset is ignored while the condition is known to be there. Gone, or unknown (the head burnt), a person's
  word ends the alarm; it counts as acknowledgement. A condition that then shows up again raises it anew.
- A mask hides; the state runs on.

Invariants (asserted after every step): level > 0 only in UNACKED and ACKED; `acked_by` only in ACKED and
LATCHED; what is latched is neither NORMAL nor PENDING; a deadline runs only where it can still change
something; no event without a change; no change worth keeping without a new revision.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from models.alarm_table import DOWNS, LEVELS_MAX, TRANSITIONS, UPS, AlarmState, Signal, What


class Mask(StrEnum):
    """What hides an alarm from people; beside the state, never instead of it."""

    NONE = "none"
    SHELVED = "shelved"
    SUPPRESSED = "suppressed"
    OUT_OF_SERVICE = "out_of_service"


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """How one alarm behaves in time. Nanoseconds of site time."""

    id: str
    on_ns: int = 0
    off_ns: int = 0
    latch: bool = False


@dataclass(frozen=True, slots=True)
class Alarm:
    """The state of one alarm: everything that must survive a restart, and `judged`, which must not.

    `since_ns`: when the state was entered. `level`: as told, 0 while nothing is. `latched`: needs a reset.
    `judged`: the last evidence was believable. `revision`: grows with every change worth keeping.
    """

    id: str
    state: AlarmState = AlarmState.NORMAL
    mask: Mask = Mask.NONE
    since_ns: int = 0
    deadlines: Mapping[str, int] = field(default_factory=dict)
    level: int = 0
    latched: bool = False
    acked_by: str | None = None
    revision: int = 0
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """Believable evidence: the condition holds at this level; 0 = absent, 1 = lowest."""

    level: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing believable: warming up, stale, bad."""


@dataclass(frozen=True, slots=True)
class Acked:
    """A person answers for it."""

    by: str


@dataclass(frozen=True, slots=True)
class Reset:
    """A person ends the latch."""

    by: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed; fires what is due."""


AlarmInput = Condition | Unknown | Acked | Reset | Tick


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """One change that can be told: what, from which state to which, the level after it, and who did it."""

    what: What
    alarm: str
    at_ns: int
    before: AlarmState
    after: AlarmState
    level: int
    by: str | None = None


def advance(
    alarm: Alarm, rule: AlarmRule, given: AlarmInput, now_ns: int
) -> tuple[Alarm, tuple[AlarmEvent, ...]]:
    """The alarm after one input at site time `now_ns`, and what happened on the way, in order.

    While the alarm is judged, what is due fires before the input (it held until now); an input that ends a
    stretch of unknown is looked at first. Feed a Tick at `next_deadline`.

    >>> rule = AlarmRule("ngo-5-fire", latch=True)
    >>> alarm, events = advance(Alarm("ngo-5-fire"), rule, Condition(2), now_ns=10)
    >>> alarm.state.value, [event.what.value for event in events]
    ('unacked', ['raised'])
    """
    assert alarm.id == rule.id
    events: list[AlarmEvent] = []
    after = _fire_due(alarm, rule, now_ns, events)
    match given:
        case Condition(level):
            after = _observe(after, rule, level, now_ns)
        case Unknown():
            after = replace(after, judged=False)
        case Acked(by):
            after = _step(after, rule, Signal.ACK, after.level, now_ns, events, by)
        case Reset(by):
            if not is_present(after):
                after = _step(after, rule, Signal.RESET, 0, now_ns, events, by)
        case Tick():
            pass
        case _:
            assert_never(given)
    after = _fire_due(after, rule, now_ns, events)
    is_waiting = "on" in after.deadlines
    after = _step(after, rule, Signal.WAITS if is_waiting else Signal.LAPSES, after.level, now_ns, events)
    if after.deadlines.get("mask", now_ns + 1) <= now_ns:  # last: what returns with this input returns unseen
        after, unmasked = mask(after, Mask.NONE, now_ns)
        events.extend(unmasked)
    return _counted(alarm, after), tuple(events)


def mask(
    alarm: Alarm, new: Mask, now_ns: int, until_ns: int | None = None
) -> tuple[Alarm, tuple[AlarmEvent, ...]]:
    """The alarm under another mask (or none); its state runs on. `until_ns`: the mask then ends by itself.

    A bus that came back: its sensors stay suppressed until they had time to answer, so that their "no data"
    can return unseen.
    """
    deadlines = {name: at for name, at in alarm.deadlines.items() if name != "mask"}
    if until_ns is not None and new is not Mask.NONE:
        deadlines["mask"] = until_ns
    after = _counted(alarm, replace(alarm, mask=new, deadlines=deadlines))
    if new is alarm.mask:
        return after, ()
    what = What.UNMASKED if new is Mask.NONE else What.MASKED
    return after, (AlarmEvent(what, alarm.id, now_ns, alarm.state, alarm.state, alarm.level),)


def next_deadline(alarm: Alarm) -> int | None:
    """Site ns of the next Tick that can change something; None: time alone changes nothing."""
    if alarm.judged:
        return min(alarm.deadlines.values(), default=None)
    return alarm.deadlines.get("mask")


def is_raised(alarm: Alarm) -> bool:
    """Whether the alarm stands: raised and not returned."""
    return alarm.level > 0


def is_present(alarm: Alarm) -> bool:
    """Whether the alarm is raised and its condition is known to hold right now."""
    return alarm.level > 0 and alarm.judged and "off" not in alarm.deadlines


def broken_invariant(alarm: Alarm) -> str:
    """Which invariant does not hold, in words; empty = all do."""
    is_active = alarm.state in (AlarmState.UNACKED, AlarmState.ACKED)
    is_idle = alarm.state in (AlarmState.NORMAL, AlarmState.PENDING)
    may_run = {"mask"} if alarm.mask is not Mask.NONE else set()
    may_run |= {*UPS[alarm.level :], *DOWNS[: alarm.level]}
    if (alarm.level > 0) != is_active or not 0 <= alarm.level <= LEVELS_MAX:
        return f"level {alarm.level} in state {alarm.state}"
    if (alarm.acked_by is not None) != (alarm.state in (AlarmState.ACKED, AlarmState.LATCHED)):
        return f"acknowledged by {alarm.acked_by!r} in state {alarm.state}"
    if (alarm.latched and is_idle) or (alarm.state is AlarmState.LATCHED and not alarm.latched):
        return f"latched {alarm.latched} in state {alarm.state}"
    if is_idle and ("on" in alarm.deadlines) != (alarm.state is AlarmState.PENDING):
        return f"deadlines {dict(alarm.deadlines)} in state {alarm.state}"
    if not alarm.deadlines.keys() <= may_run:
        return f"deadlines {dict(alarm.deadlines)} at level {alarm.level}"
    return ""


def _observe(alarm: Alarm, rule: AlarmRule, level: int, now_ns: int) -> Alarm:
    """The alarm having seen `level`: running delays go on, new ones start, those without a reason end."""
    assert level >= 0
    level = min(level, LEVELS_MAX)
    deadlines = {name: at for name, at in alarm.deadlines.items() if name == "mask"}
    for name in UPS[alarm.level : level]:
        deadlines[name] = alarm.deadlines.get(name, now_ns + rule.on_ns)
    for name in DOWNS[level : alarm.level]:
        if name == "off" or not rule.latch:
            deadlines[name] = alarm.deadlines.get(name, now_ns + rule.off_ns)
    return replace(alarm, deadlines=deadlines, judged=True)


def _fire_due(alarm: Alarm, rule: AlarmRule, now_ns: int, events: list[AlarmEvent]) -> Alarm:
    """Fires what is due: up or down, never both, because a level is either seen or not."""
    if not alarm.judged:
        return alarm
    due = {name for name, at in alarm.deadlines.items() if at <= now_ns}
    if ups := [n for n, name in enumerate(UPS, 1) if name in due]:
        signal = Signal.RISES if alarm.level > 0 else Signal.HOLDS
        return _step(alarm, rule, signal, max(ups), now_ns, events)
    if "off" in due:
        signal = Signal.GONE_SUPPRESSED if alarm.mask is Mask.SUPPRESSED else Signal.GONE
        return _step(alarm, rule, signal, 0, now_ns, events)
    if downs := [n for n, name in enumerate(DOWNS, 1) if name in due]:
        return _step(alarm, rule, Signal.FALLS, min(downs) - 1, now_ns, events)
    return alarm


def _step(
    alarm: Alarm,
    rule: AlarmRule,
    signal: Signal,
    level: int,
    now_ns: int,
    events: list[AlarmEvent],
    by: str | None = None,
) -> Alarm:
    """One row of the table, if there is one; its event goes to `events`."""
    row = TRANSITIONS.get((alarm.state, signal))
    if row is None:
        return alarm
    to = row.to_latched if alarm.latched else row.to
    events.append(AlarmEvent(row.what, alarm.id, now_ns, alarm.state, to, level, by))
    still_running = {"mask", *UPS[level:], *DOWNS[:level]}
    if signal is Signal.RESET and alarm.level > 0:
        still_running = {"mask"}
    return replace(
        alarm,
        state=to,
        level=level,
        latched=signal is not Signal.RESET and (alarm.latched or (signal is Signal.HOLDS and rule.latch)),
        acked_by=(by or alarm.acked_by) if to in (AlarmState.ACKED, AlarmState.LATCHED) else None,
        since_ns=alarm.since_ns if to is alarm.state else now_ns,
        deadlines={name: at for name, at in alarm.deadlines.items() if name in still_running},
    )


def _counted(before: Alarm, after: Alarm) -> Alarm:
    """`after` with the next revision if anything that is kept changed; asserts the invariants."""
    broken = broken_invariant(after)
    assert not broken, f"alarm {after.id}: {broken}"
    is_same = replace(before, judged=after.judged) == replace(after, revision=before.revision)
    return replace(after, revision=before.revision if is_same else before.revision + 1)
