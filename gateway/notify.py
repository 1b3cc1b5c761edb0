"""Whom to tell, why and when: `decide`, a pure function that gives its reason.

The log is the `Notified` rows of one incident, at least the newest one of each receiver (a row carries what
was told so far, so that older rows are not needed). Site ns throughout.

Rules
- Every receiver is judged by its own log: one that was down does not change what another is told.
- FIRST: nothing was told yet. ESCALATED: level or state rose above what was told. MORE_EVIDENCE (fire only):
  a channel speaks that was never named. UNDER_CONTROL, CLEARED, CLOSED: once each. Anything else (an ack, a
  level that falls) is NONE: nobody is woken for it.
- UNACKED_REPEAT: a fire (pre-alarm or confirmed) that nobody acknowledged is told again `repeat_ns` after the
  start of the last send. Never while that send is still on its way: its retry goes on under the same key.
- A receiver that refused or never got FIRST or ESCALATED is told so again by the next send: reasons are about
  what it accepted, not about what we tried.
- Flood, air and trouble do not repeat.

Delivery key: `incident/revision/to/send`; `send` counts the sends of one revision from 0. A retry keeps its
key. Without people.toml every notifier gets everything; `to` is then the notifier's id.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from models.incident import Incident, IncidentState, is_acked
from models.reading import Hazard


class Reason(StrEnum):
    """Why somebody is told now."""

    FIRST = "first"
    ESCALATED = "escalated"
    MORE_EVIDENCE = "more_evidence"
    UNACKED_REPEAT = "unacked_repeat"
    UNDER_CONTROL = "under_control"
    CLEARED = "cleared"
    CLOSED = "closed"
    NONE = "none"


class DeliveryState(StrEnum):
    """Where a send stands. FAILED: refused, told again by the next revision or repeat only."""

    QUEUED = "queued"
    SENT = "sent"
    ACCEPTED = "accepted"
    FAILED = "failed"
    SUPERSEDED = "superseded"


UNDER_WAY: Final = frozenset({DeliveryState.QUEUED, DeliveryState.SENT})
_DANGER: Final = {IncidentState.PRE_ALARM: 1, IncidentState.CONFIRMED: 2}
# Lowest first: a send that the receiver did not accept hands its stronger reason on.
_WEIGHT: Final = (Reason.NONE, Reason.UNACKED_REPEAT, Reason.MORE_EVIDENCE, Reason.ESCALATED, Reason.FIRST)
_AFTERWARDS: Final = {
    IncidentState.UNDER_CONTROL: Reason.UNDER_CONTROL,
    IncidentState.CLEARED: Reason.CLEARED,
    IncidentState.CLOSED: Reason.CLOSED,
}


@dataclass(frozen=True, slots=True)
class Notified:
    """One send to one receiver, and how it stands. `queued_ns`: its start; `at_ns`: its last change (site
    ns).

    `state_told`, `level_told`, `channels_told`: what the receiver knows once it accepts this send. `reason`
    is the receiver's answer or our failure in words, never a secret.
    """

    incident: str
    revision: int
    to: str
    send: int
    why: Reason
    queued_ns: int
    at_ns: int
    state_told: IncidentState
    level_told: int
    channels_told: tuple[str, ...]
    state: DeliveryState = DeliveryState.QUEUED
    attempts: int = 0
    reason: str = ""
    ack_by: str | None = None

    @property
    def key(self) -> str:
        """The delivery key: the same for every retry."""
        return f"{self.incident}/{self.revision}/{self.to}/{self.send}"

    @property
    def order(self) -> tuple[int, int]:
        """Grows with every send of one incident to one receiver."""
        return self.revision, self.send


@dataclass(frozen=True, slots=True)
class Policy:
    """Who is there, and how often an unacknowledged fire is told again."""

    notifiers: tuple[str, ...]
    repeat_ns: int


@dataclass(frozen=True, slots=True)
class Decision:
    """The strongest reason, and the sends to make (new rows, QUEUED). NONE has no sends."""

    reason: Reason
    sends: tuple[Notified, ...] = ()


def newest(log: Iterable[Notified], incident: str) -> dict[str, Notified]:
    """The newest send to each receiver."""
    last: dict[str, Notified] = {}
    for row in log:
        if row.incident == incident and (row.to not in last or row.order > last[row.to].order):
            last[row.to] = row
    return last


def decide(log: Iterable[Notified], incident: Incident, policy: Policy, now_ns: int) -> Decision:
    """Who is told of this revision, or told again, at `now_ns`."""
    last = newest(log, incident.id)
    sends = []
    for to in policy.notifiers:
        before = last.get(to)
        why = _why(before, incident, policy, now_ns)
        if why is not Reason.NONE:
            sends.append(_send(before, incident, to, why, now_ns))
    reason = max((send.why for send in sends), key=_weight, default=Reason.NONE)
    return Decision(reason, tuple(sends))


def next_at(log: Iterable[Notified], incident: Incident, policy: Policy) -> int | None:
    """Site ns of the next repeat; None: time alone makes no send (also while every last send is on its
    way)."""
    if not _repeats(incident):
        return None
    last = newest(log, incident.id)
    rows = [last[to] for to in policy.notifiers if to in last]
    return min((r.queued_ns + policy.repeat_ns for r in rows if r.state not in UNDER_WAY), default=None)


def repeat_due(incident: Incident, policy: Policy, now_ns: int) -> int | None:
    """When a send that starts now would be repeated: the `next` of the incident's JSON."""
    return now_ns + policy.repeat_ns if _repeats(incident) else None


def _repeats(incident: Incident) -> bool:
    return incident.hazard is Hazard.FIRE and incident.state in _DANGER and not is_acked(incident)


def _why(before: Notified | None, incident: Incident, policy: Policy, now_ns: int) -> Reason:
    if before is None:
        # What was over before this receiver heard of it is no news to it.
        return Reason.FIRST if incident.state in _DANGER else Reason.NONE
    assert before.revision <= incident.revision
    if incident.state in _AFTERWARDS:
        return Reason.NONE if before.state_told is incident.state else _AFTERWARDS[incident.state]
    why = _news(before, incident)
    if why is Reason.NONE and _repeats(incident) and before.state not in UNDER_WAY:
        why = Reason.UNACKED_REPEAT if now_ns >= before.queued_ns + policy.repeat_ns else Reason.NONE
    if why is not Reason.NONE and before.state is not DeliveryState.ACCEPTED and before.why in _WEIGHT:
        why = max(why, before.why, key=_WEIGHT.index)
    return why


def _news(before: Notified, incident: Incident) -> Reason:
    """What an active incident says that this receiver was not told."""
    has_risen = _DANGER[incident.state] > _DANGER.get(before.state_told, 0)
    if has_risen or incident.level > before.level_told:
        return Reason.ESCALATED
    has_new = any(one.channel not in before.channels_told for one in incident.evidence)
    return Reason.MORE_EVIDENCE if incident.hazard is Hazard.FIRE and has_new else Reason.NONE


def _send(before: Notified | None, incident: Incident, to: str, why: Reason, now_ns: int) -> Notified:
    named = before.channels_told if before is not None else ()
    new = tuple(one.channel for one in incident.evidence if one.channel not in named)
    is_same = before is not None and before.revision == incident.revision
    return Notified(
        incident=incident.id,
        revision=incident.revision,
        to=to,
        send=before.send + 1 if before is not None and is_same else 0,
        why=why,
        queued_ns=now_ns,
        at_ns=now_ns,
        state_told=incident.state,
        level_told=incident.level,
        channels_told=(*named, *new),
    )


def _weight(reason: Reason) -> int:
    return _WEIGHT.index(reason) if reason in _WEIGHT else len(_WEIGHT)
