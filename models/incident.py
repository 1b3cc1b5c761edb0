"""Alarms of one hazard at one place become one incident: what people are told about, revision by revision.

`follow` derives the incident from the alarms' states, never from their events: the same call gives the same
answer after a restart, and a second call gives None. None = nothing that people are told changes; a new value
alone is no change, a new level, state, priority, joined alarm or (fire) contributing channel is.

States: PRE_ALARM, CONFIRMED, UNDER_CONTROL (a person's word), CLEARED (every condition gone), CLOSED.
- A rise (higher level, or a state nearer to danger) sets `rise_revision`; an ack of an older revision then no
  longer counts for the ladder (`is_acked`). A rise ends UNDER_CONTROL; another channel alone does not.
- While an alarm of it is latched, level, state and priority never fall. Such an incident may be CLEARED, and
  stays open until a person resets or closes it. Reset releases the latch, close ends the incident.
- An alarm that comes again before the incident is closed takes it up again; after that, a new number.
- A masked alarm neither opens nor holds an incident; fire is never inhibited.

Invariants: one open incident per `key`; revisions grow by one; CLOSED never changes again.
Limits: `ACKS_MAX` acknowledgements (the oldest void ones go first); evidence has one entry per channel.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from models.alarm import Alarm, Mask
from models.evidence import Contribution, Evidence
from models.reading import Hazard

ACKS_MAX: Final = 64
# Causes that no person gave: the configuration no longer knows the alarm, or knows it elsewhere.
CAUSE_ALARM_GONE: Final = "alarm_gone"
CAUSE_PLACE_MOVED: Final = "place_moved"


class IncidentState(StrEnum):
    """As told to people (deploy/docs/contracts.md)."""

    PRE_ALARM = "pre_alarm"
    CONFIRMED = "confirmed"
    UNDER_CONTROL = "under_control"
    CLEARED = "cleared"
    CLOSED = "closed"


# How near to danger: going up is a rise.
_RANK: Final = {
    IncidentState.CLEARED: 0,
    IncidentState.UNDER_CONTROL: 1,
    IncidentState.PRE_ALARM: 1,
    IncidentState.CONFIRMED: 2,
}


class IncidentError(ValueError):
    """A command that cannot be done; its text is the answer to the person who gave it."""


@dataclass(frozen=True, slots=True)
class AlarmSpec:
    """What an incident must know of an alarm. `priority`: 1 (highest) .. 4, or by level; None = by the rule.

    `life_safety`: trouble of a sensor that feeds a fire alarm, or of a siren.
    """

    id: str
    hazard: Hazard
    place: str
    priority: int | tuple[int, ...] | None = None
    life_safety: bool = False


@dataclass(frozen=True, slots=True)
class Ack:
    """Somebody said "I am going"; `revision` is what they saw."""

    by: str
    via: str
    revision: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident at one revision. Times are site ns; `key` finds it again.

    `rise_revision`: the newest revision that was a rise. `latched`: an alarm of it waits for a reset.
    `evidence`: every channel that spoke, first-up first, with its value at the newest revision.
    """

    id: str
    hazard: Hazard
    place: str
    state: IncidentState
    priority: int
    level: int
    revision: int
    opened_ns: int
    changed_ns: int
    alarms: tuple[str, ...]
    evidence: tuple[Contribution, ...] = ()
    acks: tuple[Ack, ...] = ()
    drill: bool = False
    closed_ns: int | None = None
    cause: str | None = None
    rise_revision: int = 1
    latched: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it can still change."""
        return self.state is not IncidentState.CLOSED

    @property
    def key(self) -> tuple[Hazard, str]:
        """(hazard, place); for trouble (hazard, alarm)."""
        return self.hazard, self.alarms[0] if self.hazard is Hazard.TROUBLE else self.place


def key_of(spec: AlarmSpec) -> tuple[Hazard, str]:
    """The key of the incident that this alarm belongs to."""
    return spec.hazard, spec.id if spec.hazard is Hazard.TROUBLE else spec.place


def priority(spec: AlarmSpec, level: int) -> int:
    """Priority of an alarm at a level (1 = lowest level): 1 is the most urgent, 4 the least.

    Source: deploy/docs/contracts.md, Priority.

    >>> priority(AlarmSpec("ngo-5-fire", Hazard.FIRE, "ngo-5"), 2)
    1
    """
    if isinstance(spec.priority, int):
        return spec.priority
    if spec.priority:
        return spec.priority[min(level, len(spec.priority)) - 1]
    match spec.hazard:
        case Hazard.FIRE:
            return 1 if level >= 2 else 2
        case Hazard.FLOOD:
            return max(1, 5 - level)
        case Hazard.AIR:
            return max(2, 5 - level)
        case Hazard.TROUBLE:
            return 2 if spec.life_safety else 3


def follow(
    incident: Incident | None,
    spec: AlarmSpec,
    alarms: Mapping[str, Alarm],
    specs: Mapping[str, AlarmSpec],
    evidence: Evidence | None,
    now_ns: int,
    new_id: Callable[[], str],
) -> Incident | None:
    """The incident after something happened to the alarm `spec`; None = nothing to tell.

    Call it after every `advance` and `mask`, with the newest incident of `key_of(spec)` (closed or None: a
    new one opens when needed; only then `new_id` is called), all alarms as they are now, and the newest
    evidence of this alarm (None: not judged since the start).
    """
    is_speaking = _is_active(alarms.get(spec.id), spec)
    if incident is None or not incident.is_open:
        if not is_speaking:
            return None
        alarm = alarms[spec.id]
        return Incident(
            id=new_id(),
            hazard=spec.hazard,
            place=spec.place,
            state=_danger(spec.hazard, alarm.level, evidence, IncidentState.CONFIRMED),
            priority=priority(spec, alarm.level),
            level=alarm.level,
            revision=1,
            opened_ns=now_ns,
            changed_ns=now_ns,
            alarms=(spec.id,),
            evidence=_merged((), evidence),
            latched=alarm.latched,
        )
    assert incident.key == key_of(spec)
    seen = incident
    if is_speaking and spec.id not in incident.alarms:
        seen = replace(seen, alarms=(*incident.alarms, spec.id))
    heard = evidence if is_speaking else None
    after = _derived(seen, alarms, specs, heard)
    merged = _merged(incident.evidence, heard)
    has_new_channel = incident.hazard is Hazard.FIRE and len(merged) > len(incident.evidence)
    if after == incident and not has_new_channel:
        return None
    return revised(incident, replace(after, evidence=merged), now_ns)


def orphaned(
    incident: Incident, alarms: Mapping[str, Alarm], specs: Mapping[str, AlarmSpec], now_ns: int
) -> Incident | None:
    """The incident under the configuration of this start; None = all its alarms are where they were.

    Closed with a cause when no alarm of it is left; else it goes on with those that are.
    """
    if not incident.is_open:
        return None
    left = tuple(a for a in incident.alarms if a in specs and key_of(specs[a]) == incident.key)
    left = tuple(a for a in left if specs[a].place == incident.place)
    if left == incident.alarms:
        return None
    if not left:
        has_moved = any(a in specs for a in incident.alarms)
        return closed(incident, CAUSE_PLACE_MOVED if has_moved else CAUSE_ALARM_GONE, now_ns)
    return revised(incident, _derived(replace(incident, alarms=left), alarms, specs, None), now_ns)


def is_acked(incident: Incident) -> bool:
    """Whether somebody answered since the last rise: what stops the ladder."""
    return any(ack.revision >= incident.rise_revision for ack in incident.acks)


def next_deadline(incident: Incident, close_after_ns: int) -> int | None:
    """Site ns at which `time` closes it; None: time alone does not."""
    is_over = incident.state is IncidentState.CLEARED and not incident.latched
    return incident.changed_ns + close_after_ns if is_over and is_acked(incident) else None


def time(incident: Incident, now_ns: int, close_after_ns: int) -> Incident | None:
    """Closes what was cleared, answered and not latched for `close_after_ns`."""
    at_ns = next_deadline(incident, close_after_ns)
    return closed(incident, incident.cause, now_ns) if at_ns is not None and now_ns >= at_ns else None


def _is_active(alarm: Alarm | None, spec: AlarmSpec) -> bool:
    """Whether people are to be told of this alarm now."""
    is_hidden = alarm is not None and alarm.mask is not Mask.NONE and spec.hazard is not Hazard.FIRE
    return alarm is not None and alarm.level > 0 and not is_hidden


def _danger(hazard: Hazard, level: int, evidence: Evidence | None, otherwise: IncidentState) -> IncidentState:
    """PRE_ALARM or CONFIRMED; `otherwise` where only the basis could tell and there is no evidence."""
    if hazard is Hazard.FIRE:
        return IncidentState.CONFIRMED if level >= 2 else IncidentState.PRE_ALARM
    if hazard is Hazard.TROUBLE:
        return IncidentState.CONFIRMED
    if evidence is None or not evidence.active:
        return otherwise
    return IncidentState.PRE_ALARM if evidence.basis == "forecast" else IncidentState.CONFIRMED


def _derived(
    incident: Incident,
    alarms: Mapping[str, Alarm],
    specs: Mapping[str, AlarmSpec],
    evidence: Evidence | None,
) -> Incident:
    """State, level, priority and latch as its alarms say now."""
    mine = [(alarms[a], specs[a]) for a in incident.alarms if a in alarms and a in specs]
    active = [(alarm, spec) for alarm, spec in mine if _is_active(alarm, spec)]
    latched = any(alarm.latched for alarm, _ in mine)
    if not active:
        return replace(incident, state=IncidentState.CLEARED, latched=latched)
    level = max(alarm.level for alarm, _ in active)
    urgency = min(priority(spec, alarm.level) for alarm, spec in active)
    if latched:
        level, urgency = max(level, incident.level), min(urgency, incident.priority)
    was = incident.state
    state = _danger(incident.hazard, level, evidence, was if was in _OPEN_DANGER else IncidentState.CONFIRMED)
    if was in _OPEN_DANGER:
        state = max(was, state, key=_RANK.__getitem__)
    elif was is IncidentState.UNDER_CONTROL and level <= incident.level:
        state = was
    cause = None if was is IncidentState.CLEARED else incident.cause
    return replace(incident, state=state, level=level, priority=urgency, latched=latched, cause=cause)


_OPEN_DANGER: Final = (IncidentState.PRE_ALARM, IncidentState.CONFIRMED)


def _merged(old: Iterable[Contribution], evidence: Evidence | None) -> tuple[Contribution, ...]:
    """What spoke so far with newest values, then what is new, first-up first."""
    by_channel = {one.channel: one for one in old}
    if evidence is not None and evidence.active:
        by_channel.update({one.channel: one for one in evidence.contributions})
    return tuple(by_channel.values())


def revised(before: Incident, after: Incident, now_ns: int) -> Incident:
    """`after` as the next revision; a rise is noted."""
    assert before.is_open
    revision = before.revision + 1
    has_risen = after.level > before.level or _RANK.get(after.state, 0) > _RANK[before.state]
    return replace(
        after,
        revision=revision,
        changed_ns=now_ns,
        rise_revision=revision if has_risen else before.rise_revision,
    )


def closed(incident: Incident, cause: str | None, now_ns: int) -> Incident:
    """The incident closed for good, as its next revision."""
    after = replace(incident, state=IncidentState.CLOSED, cause=cause, closed_ns=now_ns, latched=False)
    return revised(incident, after, now_ns)
