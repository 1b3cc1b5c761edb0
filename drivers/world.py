"""What the virtual sensors feel, and what goes wrong with them, as functions of time: WORLD.toml -> `World`.

    [[value]] t_s = 20   sensor = "nut-5-12"   kind = "call_point"   value = 1
    [[value]] t_s = 0    sensor = "pms-2"      kind = "pm2_5_ug_m3"  series = "FILE.csv"
    [[fault]] t_s = 30   target = "khoi-5-12"  fault = "silent"      for_s = 60

Time is seconds since the world began. Between rows a value is linear (a contact steps at its row); before the
first row and after the last it is constant; two rows at one time make a jump, the later in the file counts
from there. A fault lasts from `t_s` until before `t_s + for_s`; without `for_s` for ever. A world is a value:
`set` and `fail` give the next one, so that a person or a test can step in while it runs. Rows need no order.

A series is CSV text with a header: `t_s,value`, or as recorded elsewhere `time,channel,value` (epoch seconds
or RFC 3339 with zone; only the rows of this channel; its first one is played at the table's `t_s`). A row
with an empty value is left out. No I/O here: the caller has read the files.
"""

import csv
import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from models import plain
from models.problem import Problem
from models.reading import CONTACTS, DERIVED_ONLY, KINDS

# What each does on the wire stands in `drivers.virtual`.
FAULTS: Final = ("silent", "late", "crc", "flip", "split", "merge", "garbage", "echo", "unplug", "busy")

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Course:
    """One channel over time: `t_s` ascending, `value` in the kind's unit, equal lengths, at least one row."""

    t_s: tuple[float, ...]
    value: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """`fault` strikes `target` (sensor or bus id) from `t_s` for `for_s` seconds (infinite: for ever)."""

    t_s: float
    target: str
    fault: str
    for_s: float = math.inf


@dataclass(frozen=True, slots=True)
class World:
    """All courses and faults. `courses` is keyed by (sensor id, kind)."""

    courses: Mapping[_Key, Course] = field(default_factory=dict)
    fault_list: tuple[Fault, ...] = ()

    def value(self, sensor: str, kind: str, t_s: float) -> float | None:
        """The value in the kind's unit at `t_s`; None: this world says nothing about the channel."""
        course = self.courses.get((sensor, kind))
        if course is None:
            return None
        after = bisect_right(course.t_s, t_s)
        if after == 0:
            return course.value[0]
        before = course.value[after - 1]
        if kind in CONTACTS or after == len(course.t_s):
            return before
        start_s = course.t_s[after - 1]
        share = (t_s - start_s) / (course.t_s[after] - start_s)
        return before + (course.value[after] - before) * share

    def faults(self, target: str, t_s: float) -> frozenset[str]:
        """The kinds of fault that hold for a sensor or bus at `t_s`."""
        return frozenset(
            f.fault for f in self.fault_list if f.target == target and f.t_s <= t_s < f.t_s + f.for_s
        )

    def next_change_s(self, target: str, fault: str, t_s: float) -> float | None:
        """When after `t_s` such a fault next starts or ends; None: never again."""
        edges = (
            edge
            for f in self.fault_list
            if f.target == target and f.fault == fault
            for edge in (f.t_s, f.t_s + f.for_s)
        )
        return min((edge for edge in edges if t_s < edge < math.inf), default=None)

    def set(self, sensor: str, kind: str, value: float, t_s: float) -> "World":
        """The world in which this value is set at `t_s`: constant from there, what was planned is void."""
        return replace(self, courses={**self.courses, (sensor, kind): Course((t_s,), (value,))})

    def fail(self, target: str, fault: str, for_s: float, t_s: float) -> "World":
        """The world in which this fault strikes at `t_s` too; faults that are over are forgotten."""
        alive = tuple(f for f in self.fault_list if t_s < f.t_s + f.for_s)
        return replace(self, fault_list=(*alive, Fault(t_s, target, fault, for_s)))


def series_files(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the series files that a parsed WORLD.toml asks for, each once, in its order."""
    names = [row.get("series") for row in _tables(data, "value", [])]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def parse(
    data: Mapping[str, Any], series: Mapping[str, str] | None = None
) -> tuple[World | None, list[Problem]]:
    """A world from a parsed WORLD.toml and the texts of its series files by name, with all problems at once.

    Paths count rows from 1 as they stand in the file: `value[3].t_s`.
    """
    problems: list[Problem] = []
    _keys(data, ("value", "fault"), "", problems)
    rows: list[tuple[_Key, float, float]] = []
    for i, row in enumerate(_tables(data, "value", problems), 1):
        rows += _value_rows(row, f"value[{i}]", series or {}, problems)
    faults = [
        _fault(row, f"fault[{i}]", problems) for i, row in enumerate(_tables(data, "fault", problems), 1)
    ]
    if problems:
        return None, problems
    by_key: dict[_Key, list[tuple[float, float]]] = {}
    for key, t_s, value in sorted(rows, key=lambda row: row[1]):
        by_key.setdefault(key, []).append((t_s, value))
    courses = {
        key: Course(tuple(t for t, _ in points), tuple(v for _, v in points))
        for key, points in by_key.items()
    }
    return World(courses, tuple(f for f in faults if f)), []


def mismatches(
    world: World, channels: Mapping[str, Collection[str]], buses: Collection[str]
) -> list[Problem]:
    """What a world names that a site does not have. `channels`: kinds that can be set, by sensor id."""
    problems = []
    for sensor, kind in world.courses:
        path = f"value.{sensor}/{kind}"
        if sensor not in channels:
            problems.append(Problem(path, "no such sensor on a virtual bus", _suggest(sensor, channels)))
        elif kind not in channels[sensor]:
            what = f"{sensor} does not measure {kind}"
            problems.append(Problem(path, what, f"one of: {plain.one_of(channels[sensor])}"))
    for fault in world.fault_list:
        path = f"fault.{fault.target}"
        if fault.target not in channels and fault.target not in buses:
            problems.append(
                Problem(path, "no such sensor or virtual bus", _suggest(fault.target, [*channels, *buses]))
            )
    return problems


def _value_rows(
    row: Mapping[str, Any], path: str, series: Mapping[str, str], problems: list[Problem]
) -> list[tuple[_Key, float, float]]:
    before = len(problems)
    _keys(row, ("t_s", "sensor", "kind", "value", "series"), path, problems)
    sensor = _text(row, "sensor", path, problems)
    kind = _text(row, "kind", path, problems)
    if kind and (kind not in KINDS or kind in DERIVED_ONLY):
        what = (
            f"{plain.shown(kind)} is computed, not measured"
            if kind in DERIVED_ONLY
            else f"unknown kind {plain.shown(kind)}"
        )
        problems.append(Problem(f"{path}.kind", what, _suggest(kind, set(KINDS) - DERIVED_ONLY)))
    if "value" in row and "series" in row:
        problems.append(Problem(path, "both value and series", "keep one of them"))
    elif "series" in row:
        start_s = _number(row, "t_s", path, problems, default=0.0)
        name = _text(row, "series", path, problems)
        if name and name not in series:
            problems.append(
                Problem(f"{path}.series", f"cannot read {plain.shown(name)}", "a CSV file beside the world")
            )
        elif name:
            played = _series(series[name], f"{sensor}/{kind}", f"{path}.series", problems)
            _contacts(kind, [v for _, v in played], f"{path}.series", problems)
            return [((sensor, kind), start_s + t, v) for t, v in played]
    else:
        t_s = _number(row, "t_s", path, problems)
        value = _number(row, "value", path, problems)
        if len(problems) == before:
            _contacts(kind, [value], f"{path}.value", problems)
            return [((sensor, kind), t_s, value)]
    return []


def _fault(row: Mapping[str, Any], path: str, problems: list[Problem]) -> Fault | None:
    before = len(problems)
    _keys(row, ("t_s", "target", "fault", "for_s"), path, problems)
    t_s = _number(row, "t_s", path, problems)
    target = _text(row, "target", path, problems)
    fault = _text(row, "fault", path, problems)
    for_s = _number(row, "for_s", path, problems, default=math.inf)
    if fault and fault not in FAULTS:
        problems.append(
            Problem(f"{path}.fault", f"unknown fault {plain.shown(fault)}", _suggest(fault, FAULTS))
        )
    if for_s <= 0:
        problems.append(
            Problem(f"{path}.for_s", "lasts no time", "seconds above 0, or leave it out: for ever")
        )
    return Fault(t_s, target, fault, for_s) if len(problems) == before else None


def _series(text: str, channel: str, path: str, problems: list[Problem]) -> list[tuple[float, float]]:
    """(seconds since the first row, value) of one channel."""
    reader = csv.DictReader(text.splitlines())
    names = reader.fieldnames or []
    clock: tuple[str, Callable[[str], float]] = ("t_s", float) if "t_s" in names else ("time", _epoch_s)
    if clock[0] not in names or "value" not in names:
        problems.append(Problem(path, "no header", "first line t_s,value or time,channel,value"))
        return []
    points: list[tuple[float, float]] = []
    for row in reader:
        if row.get("channel", channel) != channel or not (row["value"] or "").strip():
            continue
        try:
            point = (clock[1](row[clock[0]] or ""), float(row["value"]))
        except ValueError:
            point = (math.nan, math.nan)
        if not (math.isfinite(point[0]) and math.isfinite(point[1])):
            what = f"line {reader.line_num} is not a time and a number"
            problems.append(Problem(path, what, "numbers with a point; times with zone"))
            return []
        points.append(point)
    if not points:
        problems.append(Problem(path, f"no value of {channel}", "rows of this channel, or no channel column"))
        return []
    start_s = min(t for t, _ in points) if clock[0] == "time" else 0.0
    return [(t - start_s, v) for t, v in points]


def _epoch_s(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("a time without zone")
    return when.timestamp()


def _contacts(kind: str, values: Iterable[float], path: str, problems: list[Problem]) -> None:
    if kind in CONTACTS and any(value not in (0.0, 1.0) for value in values):
        problems.append(Problem(path, f"{kind} is a contact", "0 or 1"))


def _tables(data: Mapping[str, Any], name: str, problems: list[Problem]) -> list[Mapping[str, Any]]:
    rows = data.get(name, [])
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        return rows
    problems.append(Problem(name, "is not a list of tables", f"write [[{name}]] with two brackets"))
    return []


def _keys(row: Mapping[str, Any], known: tuple[str, ...], path: str, problems: list[Problem]) -> None:
    problems += (plain.unknown_key(path, key, row[key], known, {}) for key in row if key not in known)


def _text(row: Mapping[str, Any], key: str, path: str, problems: list[Problem]) -> str:
    value = row.get(key)
    if isinstance(value, str) and value:
        return value
    problems.append(
        Problem(f"{path}.{key}", "is missing" if value is None else "is not text", f'write {key} = "..."')
    )
    return ""


def _number(
    row: Mapping[str, Any], key: str, path: str, problems: list[Problem], default: float | None = None
) -> float:
    value = row.get(key, default)
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (math.isfinite(value) or value is default)
    ):
        return float(value)
    what = "is missing" if value is None else "is not a finite number"
    problems.append(Problem(f"{path}.{key}", what, f"write {key} = 1.5"))
    return 1.0


def _suggest(word: str, known: Collection[str]) -> str:
    meant = plain.suggestion(word, known)
    return f'write "{meant}"' if meant else f"one of: {plain.one_of(known)}"
