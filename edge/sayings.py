"""What happened, in plain English for the log and the screen. People in the ward get `gateway.message` instead."""

from typing import Final

from models.alarm import AlarmEvent
from models.alarm_table import What
from models.incident import AlarmSpec
from models.reading import Hazard

_TROUBLE: Final = {
    "bus_down": ("bus {subject} is down", "bus {subject} is back"),
    "silent": ("sensor {subject} gives no believable value", "sensor {subject} is back"),
    "away": ("server {subject} is away", "server {subject} is back"),
    "refusing": ("server {subject} refuses our data", "server {subject} takes our data again"),
    "foreign": ("something else answers for {subject}", "server {subject} answers itself again"),
    "taken_over": ("another machine uses our name on {subject}", "our name on {subject} is ours again"),
    "growing": ("more than half of the {subject} waits", "the {subject} drains"),
    "dropping": ("the {subject} drops the oldest data", "the {subject} drops nothing any more"),
    "unsynced": ("the {subject} is not synchronised", "the {subject} is synchronised"),
    "unwritable": ("the {subject} cannot be written", "the {subject} can be written again"),
}
_WHAT: Final = {What.RAISED: "", What.ROSE: " (rose)", What.FELL: " (fell)"}
REASON: Final = {
    "first": "first report",
    "escalated": "it got worse",
    "more_evidence": "more signs",
    "unacked_repeat": "reminder, nobody has answered",
    "under_control": "under control",
    "cleared": "signals over",
    "closed": "closed",
}


def of_alarm(event: AlarmEvent, spec: AlarmSpec, place: str) -> str | None:
    """One alarm's change; None for what nobody needs to see (delays, masks, acknowledgements said elsewhere)."""
    is_over = event.what in (What.RETURNED, What.RESET)
    if event.what not in _WHAT and not is_over:
        return None
    if spec.hazard is Hazard.TROUBLE:
        _, subject, kind = spec.id.split("/", 2)
        words = _TROUBLE.get(kind, ("{subject}: {kind}", "{subject}: {kind} is over"))
        return f"{place}: {words[is_over].format(subject=subject, kind=kind.replace('_', ' '))}"
    if is_over:
        over = "signs are gone" if event.what is What.RETURNED else "was reset"
        return f"{place}: {spec.hazard.value} {over} ({spec.id})"
    if spec.hazard is Hazard.FIRE:
        return f"{place}: FIRE {'confirmed' if event.level >= 2 else 'pre-alarm'} ({spec.id})"
    return f"{place}: {spec.hazard.value} level {event.level}{_WHAT[event.what]} ({spec.id})"


def of_send(incident: str, to: str, reason: str) -> str:
    """A send that was decided."""
    return f"{incident} goes to {to}: {REASON.get(reason, reason)}"


def of_command(do: str, incident: str, by: str, via: str, refused: str) -> str:
    """What a person ordered."""
    done = {
        "ack": "acknowledged",
        "reset": "reset",
        "close": "closed",
        "under_control": "called under control",
    }
    if refused:
        return f"{incident}: {do} by {by} ({via}) was refused: {refused}"
    return f"{incident} {done.get(do, do)} by {by} ({via})"
