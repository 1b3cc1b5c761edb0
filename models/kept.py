"""Alarms and incidents as plain dicts and back: names, not indexes; every value checked on the way in.

`*_to_dict` gives what JSON can hold, `*_from_dict` refuses (ValueError) what it never wrote: a missing or
unknown name, a wrong type, a value outside its list, a broken invariant. The caller keeps the damaged row
aside, starts that alarm or incident afresh and tells it as trouble. `Alarm.judged` is not kept: nobody looked
while we were off.
A field that a later version adds must be allowed to be absent here: old rows do not have it.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, Final

from models.alarm import Alarm, Mask, broken_invariant
from models.alarm_table import DOWNS, UPS, AlarmState
from models.evidence import Contribution
from models.incident import Ack, Incident, IncidentState
from models.reading import Hazard

_DEADLINES: Final = frozenset({"mask", *UPS, *DOWNS})
_BOUNDS: Final = (None, "at_least", "at_most")


def alarm_to_dict(alarm: Alarm) -> dict[str, Any]:
    """All that is kept of an alarm.

    >>> alarm_from_dict(alarm_to_dict(Alarm("ngo-5-fire"))) == Alarm("ngo-5-fire")
    True
    """
    return {
        "id": alarm.id,
        "state": alarm.state.value,
        "mask": alarm.mask.value,
        "since_ns": alarm.since_ns,
        "deadlines": dict(alarm.deadlines),
        "level": alarm.level,
        "latched": alarm.latched,
        "acked_by": alarm.acked_by,
        "revision": alarm.revision,
    }


def alarm_from_dict(data: Mapping[str, Any]) -> Alarm:
    """The alarm that `alarm_to_dict` wrote, not yet judged. Raises ValueError."""
    _names(data, {one.name for one in fields(Alarm)} - {"judged"}, "alarm")
    deadlines = {name: _int(at, f"deadline {name}") for name, at in _dict(data["deadlines"]).items()}
    if not deadlines.keys() <= _DEADLINES:
        raise ValueError(f"deadlines {sorted(deadlines)}")
    alarm = Alarm(
        id=_str(data["id"], "id"),
        state=AlarmState(data["state"]),
        mask=Mask(data["mask"]),
        since_ns=_int(data["since_ns"], "since_ns"),
        deadlines=deadlines,
        level=_int(data["level"], "level"),
        latched=_bool(data["latched"], "latched"),
        acked_by=None if data["acked_by"] is None else _str(data["acked_by"], "acked_by"),
        revision=_int(data["revision"], "revision"),
    )
    if broken := broken_invariant(alarm):
        raise ValueError(f"alarm {alarm.id}: {broken}")
    return alarm


def incident_to_dict(incident: Incident) -> dict[str, Any]:
    """All that is kept of an incident."""
    data = asdict(incident)
    data["hazard"], data["state"] = incident.hazard.value, incident.state.value
    return data | {name: list(data[name]) for name in ("alarms", "evidence", "acks")}


def incident_from_dict(data: Mapping[str, Any]) -> Incident:
    """The incident that `incident_to_dict` wrote. Raises ValueError."""
    _names(data, {one.name for one in fields(Incident)}, "incident")
    incident = Incident(
        id=_str(data["id"], "id"),
        hazard=Hazard(data["hazard"]),
        place=_str(data["place"], "place"),
        state=IncidentState(data["state"]),
        priority=_int(data["priority"], "priority"),
        level=_int(data["level"], "level"),
        revision=_int(data["revision"], "revision"),
        opened_ns=_int(data["opened_ns"], "opened_ns"),
        changed_ns=_int(data["changed_ns"], "changed_ns"),
        alarms=tuple(_str(one, "alarms") for one in _list(data["alarms"])),
        evidence=tuple(_contribution(one) for one in _list(data["evidence"])),
        acks=tuple(_ack(one) for one in _list(data["acks"])),
        drill=_bool(data["drill"], "drill"),
        closed_ns=None if data["closed_ns"] is None else _int(data["closed_ns"], "closed_ns"),
        cause=None if data["cause"] is None else _str(data["cause"], "cause"),
        rise_revision=_int(data["rise_revision"], "rise_revision"),
        latched=_bool(data["latched"], "latched"),
    )
    is_sound = (
        bool(incident.alarms)
        and 1 <= incident.rise_revision <= incident.revision
        and all(1 <= one.revision <= incident.revision for one in incident.acks)
        and incident.priority >= 1
        and incident.level >= 1
        and incident.is_open == (incident.closed_ns is None)
    )
    if not is_sound:
        raise ValueError(f"incident {incident.id}: values do not fit together")
    return incident


def _contribution(data: Any) -> Contribution:
    _names(_dict(data), {one.name for one in fields(Contribution)}, "evidence")
    if data["bound"] not in _BOUNDS:
        raise ValueError(f"bound {data['bound']!r}")
    return Contribution(
        channel=_str(data["channel"], "channel"),
        value=_number(data["value"], "value"),
        bound=data["bound"],
        limit=None if data["limit"] is None else _number(data["limit"], "limit"),
        since_ns=_int(data["since_ns"], "since_ns"),
        why=_str(data["why"], "why"),
    )


def _ack(data: Any) -> Ack:
    _names(_dict(data), {one.name for one in fields(Ack)}, "ack")
    return Ack(
        by=_str(data["by"], "by"),
        via=_str(data["via"], "via"),
        revision=_int(data["revision"], "revision"),
        at_ns=_int(data["at_ns"], "at_ns"),
    )


def _names(data: Mapping[str, Any], want: set[str], what: str) -> None:
    if set(data) != want:
        raise ValueError(f"{what}: names {sorted(map(str, data))}, want {sorted(want)}")


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no table")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is no list")
    return value


def _str(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, not text")
    return value


def _int(value: Any, name: str) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{name} is {value!r}, not a whole number from 0")
    return value


def _bool(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, not true or false")
    return value


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, not a finite number")
    return float(value)
