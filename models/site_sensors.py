"""Sensors of a site: references, addresses, inputs, kinds. What a device really gives is for `edge.config`.

One device answers at one bus and unit. A module of inputs has one sensor for each used input; any other
device has one sensor. Whoever breaks that reads another house's smoke head, so it is refused and never
guessed.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from models import plain, site_fields
from models.problem import Problem
from models.reading import CONTACTS, DERIVED_ONLY, FIRE_CONTACTS, KINDS
from models.site_rules import Row, Tables, ids_of, unknown

if TYPE_CHECKING:  # site.py calls us; only its names are needed here
    from models.site import Sensor

RECORDED: Final = "recorded"
PROFILE_DEPTH_MAX: Final = 4
MEASURED: Final = frozenset(KINDS) - DERIVED_ONLY


def problems(tables: Tables) -> list[Problem]:
    """What does not fit together among sensors, their buses and places."""
    return [
        *(problem for row in tables.sensor for problem in _one(row, tables)),
        *addresses(tables.sensor),
        *_twins(tables),
    ]


def _one(row: "Row[Sensor]", tables: Tables) -> Iterator[Problem]:
    sensor, path = row.item, row.path
    places = ids_of(tables.place)
    if sensor.place and sensor.place not in places:
        yield unknown(f"{path}.place", sensor.place, "place", places)
    if sensor.device != RECORDED:
        yield from _reachable(row, tables)
    elif sensor.bus is not None:
        yield Problem(f"{path}.bus", "has no meaning: a recorded sensor exists only as data", "remove bus")
    else:
        what = "is recorded: it exists only as data for replay, and run never reads it"
        yield Problem(f"{path}.device", what, "", is_notice=True)
    yield from _kind(row)
    yield from _numbers(row)
    fire = sensor.kind in FIRE_CONTACTS and isinstance(sensor.period_s, int | float)
    if fire and not isinstance(sensor.period_s, str) and sensor.period_s > tables.limits.fire_within_s:
        what = (
            f"reads a fire contact each {plain.shown(sensor.period_s)} s, later than "
            f"limits.fire_within_s = {plain.shown(tables.limits.fire_within_s)}"
        )
        yield Problem(f"{path}.period_s", what, "write period_s = 0.5", is_notice=True)


def _reachable(row: "Row[Sensor]", tables: Tables) -> Iterator[Problem]:
    sensor, path = row.item, row.path
    buses = ids_of(tables.bus)
    port = next((bus.item.port for bus in tables.bus if bus.item.id == sensor.bus), "")
    if sensor.bus is None:
        if sensor.device and "bus" not in sensor.model_fields_set:
            choice = f": {plain.one_of(buses)}" if buses else "; there is no [[bus]] yet"
            yield Problem(f"{path}.bus", "is missing", f"write bus = the id of a [[bus]]{choice}")
    elif sensor.bus not in buses:
        yield unknown(f"{path}.bus", sensor.bus, "bus", buses)
    if (
        sensor.unit is not None
        and not port.startswith("tcp:")
        and not (1 <= sensor.unit <= 247 or sensor.unit == 255)
    ):
        what = f"is {sensor.unit}; a device on a wire has 1 to 247 (a few boards: 255)"
        yield Problem(f"{path}.unit", what, "write the address that the switches of the device show")


def _kind(row: "Row[Sensor]") -> Iterator[Problem]:
    sensor, path = row.item, row.path
    kind = sensor.kind
    if kind is None:
        if "kind" in sensor.model_fields_set:
            return
        if sensor.input is not None:
            what = "is missing: the module does not know what hangs on its input"
            yield Problem(f"{path}.kind", what, 'write kind = "smoke_contact", "call_point" or another kind')
        for key, is_set in (("invert", sensor.invert), ("certified", sensor.certified)):
            if is_set:
                yield Problem(
                    f"{path}.{key}", "needs an input and its kind", f"write input and kind, or remove {key}"
                )
        return
    if kind not in KINDS:
        meant = plain.suggestion(kind, CONTACTS) or plain.suggestion(kind, MEASURED)
        advice = f'write kind = "{meant}"' if meant else f"use one of: {plain.one_of(MEASURED, 60)}"
        yield Problem(f"{path}.kind", f"is {plain.shown(kind)}, which is not a kind", advice)
        return
    if kind in DERIVED_ONLY:
        advice = "name what the sensor measures"
        yield Problem(f"{path}.kind", f"{kind} is worked out by the gateway, no sensor measures it", advice)
    needs_input = kind in CONTACTS and sensor.device and sensor.device != RECORDED
    if needs_input and "input" not in sensor.model_fields_set:
        what = f"is missing: {kind} hangs on an input of a module"
        yield Problem(f"{path}.input", what, "write input = 1 (counted from 1)")
    if sensor.invert and kind not in CONTACTS:
        yield Problem(f"{path}.invert", f"has no meaning for {kind}, which is not a contact", "remove invert")
    if sensor.certified and kind not in FIRE_CONTACTS:
        advice = f"remove certified; it belongs to {plain.one_of(FIRE_CONTACTS)}"
        yield Problem(f"{path}.certified", f"has no meaning for {kind}", advice)


def _numbers(row: "Row[Sensor]") -> Iterator[Problem]:
    sensor, path = row.item, row.path
    written = sensor.model_fields_set & {"span", "to"}
    if len(written) == 1:
        missing = "span" if "to" in written else "to"
        yield Problem(
            f"{path}.{missing}",
            "is missing: span and to belong together",
            "write span = [4, 20], to = [0, 5]",
        )
    elif sensor.span and sensor.to:
        if sensor.span[0] >= sensor.span[1]:
            yield Problem(f"{path}.span", "must rise", "write span = [4, 20]")
        if sensor.to[0] == sensor.to[1]:
            yield Problem(f"{path}.to", "must be two different values", "write to = [0, 5]")
        if "input" not in sensor.model_fields_set or sensor.kind in CONTACTS:
            yield Problem(f"{path}.span", "belongs to an analogue input of a module", "remove span and to")
    if depth(sensor.profile) > PROFILE_DEPTH_MAX:
        yield Problem(
            f"{path}.profile", "nests deeper than a device file does", "write only keys of the device file"
        )
    if sensor.calibration.scale == 0:
        yield Problem(
            f"{path}.calibration.scale", "is 0, which makes every value the same", "write scale = 1.0"
        )


def depth(table: object) -> int:
    """How deep tables and lists nest: 0 for a plain value. Counts to one more than a profile may have."""
    level, at = 0, [table]
    while level <= PROFILE_DEPTH_MAX:
        at = [
            inner
            for outer in at
            if isinstance(outer, dict | list | tuple)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not at:
            break
        level += 1
    return level


def addresses(rows: "Sequence[Row[Sensor]]") -> Iterator[Problem]:
    """One unit is one device; one input is one sensor."""
    seen: dict[tuple[str, int], list[Row[Sensor]]] = {}
    for row in rows:
        sensor = row.item
        if not sensor.bus or sensor.unit is None or not sensor.device:
            continue
        others = seen.setdefault((sensor.bus, sensor.unit), [])
        clash = _clash(row, others)
        if clash:
            yield clash
        others.append(row)


def _clash(row: "Row[Sensor]", others: "list[Row[Sensor]]") -> Problem | None:
    sensor = row.item
    where = f"on bus {sensor.bus}"
    for other in others:
        first = other.item
        if any(s.input is None and "input" in s.model_fields_set for s in (first, sensor)):
            continue  # the wrong input is told already
        if first.device != sensor.device:
            named = plain.shown(first.device)
            what = f"{sensor.unit} is used twice {where}: {other.path} says that {named} answers there"
            return Problem(
                f"{row.path}.unit", what, "one unit is one device: write the address on its switches"
            )
        chosen = first.kind is not None and sensor.kind is not None and first.kind != sensor.kind
        if (first.input is None) != (sensor.input is None) or (sensor.input is None and not chosen):
            what = f"{sensor.unit} is used twice {where}, first by {other.path}"
            return Problem(f"{row.path}.unit", what, "give each device an address of its own")
        if sensor.input is not None and first.input == sensor.input:
            what = f"{sensor.input} of unit {sensor.unit} {where} is used twice, first by {other.path}"
            return Problem(f"{row.path}.input", what, "write the input that this one really hangs on")
    return None


def _twins(tables: Tables) -> Iterator[Problem]:
    """Two wires that could swap unnoticed: same device at the same unit, and a port that names no adapter."""
    loose = {
        row.item.id: row.path
        for row in tables.bus
        if row.item.port.startswith("serial:") and not site_fields.names_one_adapter(row.item.port[7:])
    }
    serial = {row.item.id for row in tables.bus if row.item.port.startswith("serial:")}
    at: dict[tuple[str, int | None], list[Sensor]] = {}
    for row in tables.sensor:
        if row.item.bus in serial and row.item.device:
            at.setdefault((row.item.device, row.item.unit), []).append(row.item)
    told = set()
    for (device, unit), sensors in at.items():
        buses = sorted({str(sensor.bus) for sensor in sensors})
        if len(buses) > 1 and tuple(buses) not in told and loose.keys() & set(buses):
            told.add(tuple(buses))
            address = "its factory unit" if unit is None else f"unit {unit}"
            what = (
                f"and {', '.join(buses[1:])} cannot be told apart by what answers: each has a {device} as "
                f"{address}; if their adapters swap, a fire comes with the other place's address"
            )
            instead = "give the modules different units, or write both ports by /dev/serial/by-path/"
            yield Problem(f"bus.{buses[0]}", what, instead, is_notice=True)
