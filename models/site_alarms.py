"""Alarms of a site: channels, levels, fire coverage. What a device really gives is checked in `edge.config`.

A fire alarm covers a place and every place in it; all fire contacts there are judged together. Any other
alarm judges one channel against limits. A rule that could never rise is worse than none, so it is refused.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from models import plain
from models.problem import Problem
from models.reading import CONTACTS, DERIVED_ONLY, FIRE_CONTACTS, KINDS, Hazard
from models.site_rules import Row, Tables, ids_of, unknown
from models.site_sensors import RECORDED

if TYPE_CHECKING:  # site.py calls us; only its names are needed here
    from models.site import Alarm, Site

PRIORITY_MAX: Final = 4
FIRE_LEVELS: Final = 3
LEVELS_MAX: Final = 8


def problems(tables: Tables) -> list[Problem]:
    """What does not fit together among alarms and the channels they judge."""
    found = [problem for row in tables.alarm for problem in _one(row, tables)]
    return found + list(_not_covered(tables))


def places_within(place: str, parents: Mapping[str, str | None]) -> set[str]:
    """A place and every place in it, at any depth; circles end. `parents`: place -> the place it lies in.

    >>> sorted(places_within("lane", {"lane": None, "house": "lane", "room": "house", "other": None}))
    ['house', 'lane', 'room']
    """
    inside = {place}
    while more := {id for id, parent in parents.items() if parent in inside} - inside:
        inside |= more
    return inside


def fire_sensors(site: "Site", alarm: "Alarm") -> tuple[str, ...]:
    """The sensors that feed a fire alarm: contacts of its place and of the places in it, or its channel's."""
    if alarm.hazard is not Hazard.FIRE:
        return ()
    if alarm.place is None:
        return (alarm.channel.split("/")[0],) if alarm.channel else ()
    within = places_within(alarm.place, {place.id: place.inside for place in site.place})
    return tuple(s.id for s in site.sensor if s.place in within and s.kind in FIRE_CONTACTS)


def _parents(tables: Tables) -> dict[str, str | None]:
    return {row.item.id: row.item.inside for row in tables.place}


def _one(row: "Row[Alarm]", tables: Tables) -> Iterator[Problem]:
    alarm, path = row.item, row.path
    if not alarm.hazard:
        return
    if alarm.hazard == Hazard.FIRE:
        yield from _fire(row, tables)
    else:
        yield from _channel(row, tables)
        yield from _levels(row)
    yield from _priority(row)
    if alarm.ahead_min > 0 and alarm.hazard != Hazard.FIRE:
        what = "forecasts come with a later version: until then the measured value is judged"
        yield Problem(f"{path}.ahead_min", what, "", is_notice=True)


def _fire(row: "Row[Alarm]", tables: Tables) -> Iterator[Problem]:
    alarm, path = row.item, row.path
    for key in ("channel", "levels", "direction", "deadband", "ahead_min"):
        if key in alarm.model_fields_set:
            what = "has no meaning here: a fire alarm judges all fire contacts of its place together"
            yield Problem(
                f"{path}.{key}", what, f"remove {key}" + ("" if alarm.place else "; write place = ...")
            )
    places = ids_of(tables.place)
    if not alarm.place:
        if not alarm.model_fields_set & {"place", "channel"}:
            yield Problem(
                f"{path}.place", "is missing", "write place = the id of the [[place]] that it covers"
            )
        return
    if alarm.place not in places:
        yield unknown(f"{path}.place", alarm.place, "place", places)
        return
    within = places_within(alarm.place, _parents(tables))
    sensors = [sensor.item for sensor in tables.sensor if sensor.item.place in within]
    if not any(sensor.kind in FIRE_CONTACTS for sensor in sensors):
        what = "has no fire contact in it: this alarm could never rise"
        yield Problem(f"{path}.place", what, f"add a sensor there with kind {plain.one_of(FIRE_CONTACTS)}")


def _channel(row: "Row[Alarm]", tables: Tables) -> Iterator[Problem]:
    alarm, path = row.item, row.path
    if "place" in alarm.model_fields_set:
        advice = 'write channel = "sensor/kind"' if not alarm.channel else "remove place: its sensor has one"
        yield Problem(
            f"{path}.place", f"has no meaning for {alarm.hazard.lower()}: one channel is judged", advice
        )
    if not alarm.channel:
        if not alarm.model_fields_set & {"place", "channel"}:
            yield Problem(
                f"{path}.channel", "is missing", 'write channel = "sensor/kind", like "ngo-12-level/depth_m"'
            )
        return
    name, slash, kind = alarm.channel.partition("/")
    if not slash:
        advice = f'write channel = "{name[:32]}/depth_m", or another kind'
        yield Problem(
            f"{path}.channel", "is not sensor/kind", advice if name.isprintable() else "write sensor/kind"
        )
        return
    sensor = next((r.item for r in tables.sensor if r.item.id == name), None)
    if sensor is None:
        yield unknown(f"{path}.channel", name, "sensor", ids_of(tables.sensor))
    if kind not in KINDS:
        meant = plain.suggestion(kind, KINDS)
        advice = (
            f'write channel = "{plain.key_text(name)}/{meant}"'
            if meant
            else f"use one of: {plain.one_of(KINDS, 60)}"
        )
        yield Problem(f"{path}.channel", f"{plain.shown(kind)} is not a kind", advice)
        return
    if sensor is not None and sensor.device == RECORDED:
        what = "is recorded data, which run does not read: replay comes with a later version"
        yield Problem(f"{path}.channel", what, "remove this alarm until then")
    elif kind in DERIVED_ONLY:
        what = f"{kind} comes with a later version: this alarm could never rise"
        yield Problem(f"{path}.channel", what, "remove this alarm until then")
    elif sensor is not None and sensor.input is not None and sensor.kind in KINDS:
        yield from _of_input(path, name, kind, sensor.kind or "", sensor.mount_height_m)


def _of_input(path: str, name: str, kind: str, gives: str, mount_height_m: float | None) -> Iterator[Problem]:
    """The channel of a module's input: the kind that the site gave it, or a depth from a distance."""
    if kind == gives:
        return
    if (kind, gives) != ("depth_m", "distance_m"):
        yield Problem(
            f"{path}.channel", f"{name} gives {gives}, not {kind}", f'write channel = "{name}/{gives}"'
        )
    elif mount_height_m is None:
        what = "is missing: the depth is worked out from the distance to the street"
        yield Problem(
            f"sensor.{name}.mount_height_m", what, "write mount_height_m = ... (metres above the street)"
        )


def _levels(row: "Row[Alarm]") -> Iterator[Problem]:
    alarm, path = row.item, row.path
    if not alarm.levels:
        if "levels" not in alarm.model_fields_set and alarm.channel:
            yield Problem(
                f"{path}.levels",
                "is missing: without a limit it could never rise",
                "write levels = [0.15, 0.30]",
            )
        return
    if len(alarm.levels) > LEVELS_MAX:
        yield Problem(f"{path}.levels", f"has {len(alarm.levels)} limits", f"write at most {LEVELS_MAX}")
    kind = (alarm.channel or "").rpartition("/")[2]
    if kind in CONTACTS:
        if alarm.levels != (1,) or alarm.direction != "above":
            yield Problem(
                f"{path}.levels", f"{kind} is 0 or 1", "write levels = [1]; invert belongs to the sensor"
            )
        return
    steps = list(zip(alarm.levels, alarm.levels[1:], strict=False))
    if alarm.direction == "above" and any(b <= a for a, b in steps):
        yield Problem(f"{path}.levels", "do not rise", _ordered(alarm.levels, reverse=False))
    if alarm.direction == "below" and any(b >= a for a, b in steps):
        yield Problem(
            f"{path}.levels", "do not fall, as direction below needs", _ordered(alarm.levels, reverse=True)
        )
    gap = min((abs(b - a) for a, b in steps), default=float("inf"))
    if 0 < gap <= alarm.deadband:
        what = f"is {plain.shown(alarm.deadband)}, as large as the step between two limits"
        yield Problem(f"{path}.deadband", what, f"write less than {plain.shown(gap)}")


def _ordered(levels: tuple[float, ...], reverse: bool) -> str:
    right = sorted(set(levels), reverse=reverse)[:LEVELS_MAX]
    return f"write levels = [{', '.join(plain.shown(level) for level in right)}]"


def _priority(row: "Row[Alarm]") -> Iterator[Problem]:
    alarm, path = row.item, row.path
    if alarm.priority is None:
        return
    many = alarm.priority if isinstance(alarm.priority, tuple) else (alarm.priority,)
    if any(isinstance(p, bool) or not 1 <= p <= PRIORITY_MAX for p in many) or not many:
        what = f"must be 1 (most urgent) to {PRIORITY_MAX}"
        yield Problem(f"{path}.priority", what, "write priority = 2, or one for each level")
    levels = FIRE_LEVELS if alarm.hazard == Hazard.FIRE else len(alarm.levels)
    if isinstance(alarm.priority, tuple) and levels and len(many) != levels:
        what = f"has {len(many)} entries for {levels} levels"
        yield Problem(f"{path}.priority", what, "write one for each level, level 1 first")


def _not_covered(tables: Tables) -> Iterator[Problem]:
    """Fire contacts that no alarm hears: worth knowing, since the house believes that it is watched."""
    covered: set[str] = set()
    parents = _parents(tables)
    for alarm in tables.alarm:
        if alarm.item.hazard == Hazard.FIRE and alarm.item.place:
            covered |= places_within(alarm.item.place, parents)
    for row in tables.sensor:
        sensor = row.item
        if sensor.kind in FIRE_CONTACTS and sensor.place and sensor.place not in covered:
            what = f"feeds no alarm: no fire alarm covers place {plain.shown(sensor.place)}"
            instead = f'add [[alarm]] hazard = "fire", place = {plain.shown(sensor.place)}'
            yield Problem(row.path, what, instead, is_notice=True)
