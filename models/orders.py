"""What people order about an incident: ack, under_control, reset, close. Pure; a refusal is a sentence.

Each gives the next revision, or None when the order changes nothing (given twice), or raises `IncidentError`
with the words for the answer. Whoever says that it is under control, resets or closes has thereby
acknowledged too.

Order of work for the caller. `Acked(by)` goes to the alarms after `ack` and `under_control`, when the new
revision `is_acked`; an alarm that joins later without a rise is `answered_by` the same person. Before `reset`
and `close`: `require_over`, then `Reset(by)` to all alarms of the incident. They are refused while a
condition is known to be there, because a closed incident over a burning house would tell nobody.

A cause is a word such as real, cooking, steam, incense, fogging, fault, drill, or a short sentence.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from models.alarm import Alarm, is_present, is_raised
from models.alarm_table import AlarmState
from models.incident import ACKS_MAX, Ack, Incident, IncidentError, IncidentState, closed, is_acked, revised

CAUSE_CHARS_MAX: Final = 80


def ack(incident: Incident, by: str, via: str, revision: int | None, now_ns: int) -> Incident | None:
    """Somebody goes. `revision`: what they saw; None = the newest.

    An ack of a revision before the last rise is kept but does not count (`is_acked`). None: the same person
    acknowledged already, and that ack counts as much as this one.
    """
    _require_open(incident)
    saw = incident.revision if revision is None else revision
    if not 1 <= saw <= incident.revision:
        raise IncidentError(
            f"incident {incident.id} has no revision {saw}, the newest is {incident.revision}"
        )
    return _changed(incident, _with_ack(incident, by, via, saw, now_ns), now_ns)


def under_control(incident: Incident, by: str, via: str, now_ns: int) -> Incident | None:
    """People on the spot have it in hand; a rise ends that."""
    _require_open(incident)
    if incident.state is IncidentState.CLEARED:
        raise IncidentError(f"incident {incident.id} is cleared already")
    after = _with_ack(incident, by, via, incident.revision, now_ns)
    return _changed(incident, replace(after, state=IncidentState.UNDER_CONTROL), now_ns)


def reset(
    incident: Incident, alarms: Mapping[str, Alarm], by: str, via: str, cause: str, now_ns: int
) -> Incident | None:
    """Releases the latch, with a cause. It closes by itself later; what comes again reopens it."""
    require_over(incident, alarms, cause)
    assert not any(is_raised(alarms[name]) for name in incident.alarms if name in alarms)
    after = _with_ack(incident, by, via, incident.revision, now_ns)
    after = replace(after, state=IncidentState.CLEARED, latched=False, cause=cause.strip())
    return _changed(incident, after, now_ns)


def close(
    incident: Incident, alarms: Mapping[str, Alarm], by: str, via: str, cause: str, now_ns: int
) -> Incident:
    """Ends it, with a cause; a condition that comes again gets a new number."""
    require_over(incident, alarms, cause)
    assert not any(is_raised(alarms[name]) for name in incident.alarms if name in alarms)
    after = _with_ack(incident, by, via, incident.revision, now_ns)
    return replace(closed(incident, cause.strip(), now_ns), acks=after.acks)


def require_over(incident: Incident, alarms: Mapping[str, Alarm], cause: str) -> None:
    """Whether `reset` and `close` can be done, asked before any alarm is touched.

    Raises:
        IncidentError: closed, no usable cause, or a condition is known to be there.
    """
    _require_open(incident)
    if not cause.strip() or len(cause.strip()) > CAUSE_CHARS_MAX or not cause.isprintable():
        raise IncidentError(f"say the cause in 1 to {CAUSE_CHARS_MAX} printable characters, such as: cooking")
    present = [name for name in incident.alarms if name in alarms and is_present(alarms[name])]
    if present:
        raise IncidentError(
            f"the condition of {', '.join(present)} is still there: acknowledge it until it is gone"
        )


def answered_by(incident: Incident, alarm: Alarm) -> str | None:
    """Who answers already for an alarm that still asks; None: nobody, or it does not ask."""
    is_asking = alarm.state in (AlarmState.UNACKED, AlarmState.RETURNED_UNACKED)
    if not (is_asking and alarm.id in incident.alarms and incident.is_open and is_acked(incident)):
        return None
    return next(one.by for one in reversed(incident.acks) if one.revision >= incident.rise_revision)


def _require_open(incident: Incident) -> None:
    if not incident.is_open:
        raise IncidentError(f"incident {incident.id} is closed")


def _with_ack(incident: Incident, by: str, via: str, revision: int, now_ns: int) -> Incident:
    """The incident with this ack, unless one of the same person counts as much."""
    counts_from = min(revision, incident.rise_revision)
    if any(one.by == by and one.revision >= counts_from for one in incident.acks):
        return incident
    acks = incident.acks
    if len(acks) >= ACKS_MAX:
        void = [one for one in acks if one.revision < incident.rise_revision]
        if not void:
            return incident
        acks = tuple(one for one in acks if one is not void[0])
    return replace(incident, acks=(*acks, Ack(by, via, revision, now_ns)))


def _changed(before: Incident, after: Incident, now_ns: int) -> Incident | None:
    return None if after == before else revised(before, after, now_ns)
