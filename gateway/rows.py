"""Incidents and alarms as JSON text for the journal, and back.

One JSON object a row: a later version adds keys with defaults and still reads old rows. `judged` of an alarm
is not kept: after a start nothing is judged yet. A row that does not parse raises `RowError`; the journal
keeps and names it.
"""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from gateway.notify import DeliveryState, Notified, Reason
from models.alarm import Alarm, Mask
from models.alarm_table import AlarmState
from models.evidence import Contribution
from models.incident import Ack, Incident, IncidentState
from models.reading import Hazard

_CHANNELS_TOLD: Final = [f.name for f in fields(Notified)].index("channels_told")


class RowError(ValueError):
    """The text is no row of ours."""


def incident_text(incident: Incident) -> str:
    """One incident at one revision as JSON."""
    row = {f.name: getattr(incident, f.name) for f in fields(incident)}
    row["evidence"] = [{f.name: getattr(one, f.name) for f in fields(one)} for one in incident.evidence]
    row["acks"] = [{f.name: getattr(one, f.name) for f in fields(one)} for one in incident.acks]
    return _text(row)


def incident_of(text: str) -> Incident:
    """The incident of `incident_text`. Raises RowError."""
    row = _object(text)
    try:
        return Incident(
            **{
                **row,
                "hazard": Hazard(row["hazard"]),
                "state": IncidentState(row["state"]),
                "alarms": tuple(row["alarms"]),
                "evidence": tuple(Contribution(**one) for one in row["evidence"]),
                "acks": tuple(Ack(**one) for one in row["acks"]),
            }
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise RowError(f"incident row: {problem}") from problem


def alarm_text(alarm: Alarm) -> str:
    """One alarm's state as JSON, without `judged`."""
    row = {f.name: getattr(alarm, f.name) for f in fields(alarm) if f.name != "judged"}
    return _text({**row, "deadlines": dict(alarm.deadlines)})


def alarm_of(text: str) -> Alarm:
    """The alarm of `alarm_text`. Raises RowError."""
    row = _object(text)
    try:
        return Alarm(**{**row, "state": AlarmState(row["state"]), "mask": Mask(row["mask"])})
    except (KeyError, TypeError, ValueError) as problem:
        raise RowError(f"alarm row: {problem}") from problem


def notified_row(one: Notified) -> tuple[Any, ...]:
    """One send as the columns of table `notified`, in the order of the dataclass."""
    values = [getattr(one, f.name) for f in fields(one)]
    values[_CHANNELS_TOLD] = _text(list(one.channels_told))
    return tuple(values)


def notified_of(row: Sequence[Any]) -> Notified:
    """The send of `notified_row`. Raises RowError."""
    try:
        named = dict(zip((f.name for f in fields(Notified)), row, strict=True))
        return Notified(
            **{
                **named,
                "why": Reason(named["why"]),
                "state_told": IncidentState(named["state_told"]),
                "channels_told": tuple(json.loads(named["channels_told"])),
                "state": DeliveryState(named["state"]),
            }
        )
    except (TypeError, ValueError) as problem:
        raise RowError(f"notified row: {problem}") from problem


def _text(row: dict[str, Any] | list[str]) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _object(text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except ValueError as problem:
        raise RowError("not JSON") from problem
    if not isinstance(row, dict):
        raise RowError("not an object")
    return row
