"""Rows of a site against each other: ids, references, places, buses. `problems(tables)` gives all at once.

Sensors are judged in `models.site_sensors`, alarms in `models.site_alarms`, sinks, notifiers and authors in
`models.site_north`. A row that is wrong in itself comes here with "" for what is unknown: such a value is
skipped, so that one mistake is told once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from models import site_fields
from models.plain import one_of, shown, suggestion
from models.problem import Problem

if TYPE_CHECKING:  # site.py calls us; only its names are needed here
    from models.site import Alarm, Author, Bus, Gateway, Limits, Notifier, Place, Sensor, Sink, Ward, Web

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Row(Generic[T_co]):
    """One row with its dotted path (by id where it has one) and its place in the file, counted from 1."""

    path: str
    at: str
    item: T_co


@dataclass(frozen=True, slots=True)
class Tables:
    """All rows of a site file, right or half right."""

    ward: "Ward | None"
    gateway: "Gateway | None"
    web: "Web | None"
    limits: "Limits"
    place: "Sequence[Row[Place]]"
    bus: "Sequence[Row[Bus]]"
    sensor: "Sequence[Row[Sensor]]"
    alarm: "Sequence[Row[Alarm]]"
    sink: "Sequence[Row[Sink]]"
    notifier: "Sequence[Row[Notifier]]"
    author: "Sequence[Row[Author]]"


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


def problems(tables: Tables) -> list[Problem]:
    """What does not fit together among ids, places and buses."""
    return [
        *_twice("place", tables.place),
        *_twice("bus", tables.bus),
        *_twice("sensor", tables.sensor),
        *_twice("alarm", tables.alarm),
        *_twice("sink", tables.sink),
        *_twice("notifier", tables.notifier),
        *_places(tables),
        *_ports(tables.bus),
    ]


def unknown(path: str, word: str, table: str, ids: Sequence[str]) -> Problem:
    """A reference to a row that is not there."""
    meant = suggestion(word, ids)
    advice = f'write "{meant}"' if meant else f"write the id of a [[{table}]]"
    if not meant:
        advice += f": {one_of(ids)}" if ids else f"; there is no [[{table}]] yet"
    return Problem(path, f"is {shown(word)}, but no [[{table}]] has that id", advice)


def ids_of(rows: "Sequence[Row[_HasId]]") -> list[str]:
    """The ids that other rows may name."""
    return [row.item.id for row in rows if row.item.id]


def _twice(table: str, rows: "Sequence[Row[_HasId]]") -> Iterator[Problem]:
    first: dict[str, str] = {}
    for row in rows:
        if row.item.id and row.item.id in first:
            what = f"{shown(row.item.id)} is used twice, first by {first[row.item.id]}"
            yield Problem(f"{row.at}.id", what, f"give this [[{table}]] an id of its own")
        first.setdefault(row.item.id, row.at)


def _places(tables: Tables) -> Iterator[Problem]:
    ids = ids_of(tables.place)
    if tables.gateway and tables.gateway.place and tables.gateway.place not in ids:
        yield unknown("gateway.place", tables.gateway.place, "place", ids)
    parents = {row.item.id: row.item.inside for row in tables.place}
    for row in tables.place:
        place = row.item
        if place.inside and place.inside not in ids:
            yield unknown(f"{row.path}.in", place.inside, "place", ids)
        elif place.id and _is_inside_itself(place.id, parents):
            yield Problem(
                f"{row.path}.in",
                "is a circle: the place lies in itself",
                "name the larger place, or remove in",
            )
        written = place.model_fields_set & {"lat", "lon"}
        if len(written) == 1:
            missing = "lat" if "lon" in written else "lon"
            yield Problem(
                f"{row.path}.{missing}", "is missing beside the other one", f"write {missing} = ... too"
            )


def _is_inside_itself(place: str, parents: dict[str, str | None]) -> bool:
    at = parents.get(place)
    for _ in range(len(parents)):
        if at is None or at == place:
            break
        at = parents.get(at)
    return at == place


def _ports(rows: "Sequence[Row[Bus]]") -> Iterator[Problem]:
    first: dict[tuple[str, str], Row[Bus]] = {}
    for row in rows:
        bus = row.item
        if not bus.port:
            continue
        scheme = bus.port.partition(":")[0]
        key = site_fields.port_key(bus.port)
        if key in first:
            what = (
                f"is the same port as {first[key].path}: two askers on one wire destroy each other's answers"
            )
            yield Problem(
                f"{row.path}.port", what, f'move its sensors to bus = "{first[key].item.id}", remove this bus'
            )
        first.setdefault(key, row)
        if scheme == "serial" and not site_fields.names_one_adapter(key[1]):
            yield _names_nothing(row)
        if bus.in_flight != 1 and scheme != "tcp":
            yield Problem(
                f"{row.path}.in_flight", "needs a tcp: port: a wire carries one question", "remove in_flight"
            )


def _names_nothing(row: "Row[Bus]") -> Problem:
    what = (
        "names no particular adapter: one without a serial number of its own shares this name with its "
        "twins, and two of them may swap after a restart"
    )
    instead = "write the name under /dev/serial/by-path/, which means the socket it is plugged into"
    return Problem(f"{row.path}.port", what, instead, is_notice=True)
