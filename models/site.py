"""What a site file may say: `parse(dict) -> (Site | None, problems)`, all problems at once.

This module knows the shape of a site and what can be judged from the file alone; it knows no device (that is
`drivers.profile`), no other file and no machine (that is `edge.config`). Every problem carries its dotted
path and says what to write instead. Values are judged in `models.site_fields`, rows against each other in
`models.site_rules`, `site_sensors`, `site_alarms` and `site_north`, the wording is in `models.plain`.

Invariants: `parse` never raises on what TOML can hold. A row with a wrong key still takes part in the checks
across rows with its other keys, so that one run of `check` shows everything. There, `model_fields_set` has
all keys that are written; what cannot be known of them is "" or the default. Such a site is never returned.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError
from pydantic_core import PydanticCustomError

from models import plain, site_alarms, site_fields, site_north, site_rules, site_sensors
from models.problem import Problem
from models.reading import Hazard

SCHEMA: Final = 1

T = TypeVar("T", str, int)


def _checked(fault: Callable[[T], site_fields.Fault]) -> AfterValidator:
    def check(value: T) -> T:
        found = fault(value)
        if found:
            raise PydanticCustomError("plain", "{what}", {"what": found[0], "instead": found[1]})
        return value

    return AfterValidator(check)


Id = Annotated[str, _checked(site_fields.id_fault)]
Text = Annotated[str, _checked(site_fields.text_fault)]
Credential = Annotated[str, _checked(site_fields.credential_fault)]
Language = Literal["vi", "en"]
Seconds = Annotated[float, Field(ge=0, le=7 * 86400)]


class _Table(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, populate_by_name=True, allow_inf_nan=False
    )


class Ward(_Table):
    """Who is protected."""

    id: Id
    name: Text
    zone: Text = "Asia/Ho_Chi_Minh"
    language: Language = "vi"


class Gateway(_Table):
    """This machine."""

    id: Id
    place: Id


class Web(_Table):
    """Where /metrics and /health listen; absent: no port."""

    listen: Annotated[str, _checked(site_fields.listen_fault)] = "127.0.0.1:9160"


class Place(_Table):
    """A spot that people can be sent to. Degrees WGS 84."""

    id: Id
    name: Annotated[str, _checked(site_fields.name_fault)]
    kind: Text = "place"
    inside: Id | None = Field(default=None, alias="in")
    lat: Annotated[float, Field(ge=-90, le=90)] | None = None
    lon: Annotated[float, Field(ge=-180, le=180)] | None = None
    floor: Text | None = None
    address: Text | None = None
    access: Text | None = None
    contact: Text | None = None


class Bus(_Table):
    """One wire. `port` = serial:PATH, tcp:HOST:PORT, rtu-tcp:HOST:PORT or virtual:NAME."""

    id: Id
    port: Annotated[str, _checked(site_fields.port_fault)]
    baud: Annotated[int, _checked(site_fields.baud_fault)] = 9600
    framing: Annotated[str, _checked(site_fields.framing_fault)] = "8N1"
    in_flight: Annotated[int, Field(ge=1, le=8)] = 1

    @property
    def is_wire(self) -> bool:
        """Whether an adapter of this machine is its end, which another adapter can be taken for."""
        return self.port.startswith(("serial:", "virtual:"))


class Calibration(_Table):
    """value = raw * scale + offset, in the kind's unit."""

    offset: float = 0.0
    scale: float = 1.0


class Sensor(_Table):
    """One thing at one place; several sensors of one bus and unit name one device. `unit` None: profile's."""

    id: Id
    device: Text
    place: Id
    bus: Id | None = None
    unit: Annotated[int, Field(ge=0, le=255)] | None = None
    period_s: Annotated[float, Field(ge=0.01, le=86400)] | Literal["max"] = 2.0
    input: Annotated[int, Field(ge=1, le=256)] | None = None
    kind: Text | None = None
    invert: bool = False
    certified: bool = False
    mount_height_m: Annotated[float, Field(gt=0, le=100)] | None = None
    head_below_m: Annotated[float, Field(ge=-50, le=50)] | None = None
    span: tuple[float, float] | None = None
    to: tuple[float, float] | None = None
    write: bool = False
    profile: dict[str, Any] = Field(default_factory=dict)
    calibration: Calibration = Field(default_factory=Calibration)


class Alarm(_Table):
    """One rule at work: a channel against limits, or the fire channels of a place judged together."""

    id: Id
    hazard: Annotated[Hazard, Strict(False)]
    channel: Text | None = None
    place: Id | None = None
    levels: Annotated[tuple[float, ...], Field(min_length=1)] = ()
    direction: Literal["above", "below"] = "above"
    on_s: Seconds = 0.0
    off_s: Seconds = 0.0
    deadband: Annotated[float, Field(ge=0)] = 0.0
    ahead_min: Annotated[float, Field(ge=0, le=1440)] = 0.0
    latch: bool | None = None
    priority: int | tuple[int, ...] | None = None


class Sink(_Table):
    """A server that gets data."""

    id: Id
    kind: Literal["mqtt", "influx"]
    urls: Annotated[tuple[str, ...], Field(min_length=1, max_length=8)]
    credential: Credential | None = None
    org: Text | None = None
    bucket: Text | None = None
    start: Literal["now", "oldest"] = Field(default="now", alias="from")
    compress: bool = False


class Notifier(_Table):
    """A way to reach people."""

    id: Id
    kind: Literal["webhook", "apprise", "siren", "sms"]
    url: str | None = Field(default=None, repr=False)
    credential: Credential | None = None
    sensor: Id | None = None
    port: Annotated[str, _checked(site_fields.port_fault)] | None = None
    language: Language | None = None


class Author(_Table):
    """Who may send signed commands, and which."""

    name: Text
    key: Annotated[str, _checked(site_fields.key_fault)]
    may: tuple[str, ...]


class Limits(_Table):
    """Bounds of the whole gateway."""

    spool_mb: Annotated[int, Field(ge=1, le=1_000_000)] = 512
    keep_h: Annotated[int, Field(ge=1, le=10_000)] = 24
    time_hold_s: Annotated[float, Field(gt=0, le=86400)] = 600.0
    fire_within_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    repeat_s: Annotated[float, Field(ge=10, le=86400)] = 180.0
    close_after_s: Annotated[float, Field(gt=0, le=7 * 86400)] = 3600.0


class Site(_Table):
    """A whole site file."""

    schema_: int = Field(alias="schema")
    ward: Ward
    gateway: Gateway
    web: Web | None = None
    place: tuple[Place, ...] = ()
    bus: tuple[Bus, ...] = ()
    sensor: tuple[Sensor, ...] = ()
    alarm: tuple[Alarm, ...] = ()
    sink: tuple[Sink, ...] = ()
    notifier: tuple[Notifier, ...] = ()
    author: tuple[Author, ...] = ()
    limits: Limits = Field(default_factory=Limits)


_SINGLE: Final[dict[str, type[_Table]]] = {"ward": Ward, "gateway": Gateway, "web": Web, "limits": Limits}
_REPEATED: Final[dict[str, type[_Table]]] = {
    "place": Place, "bus": Bus, "sensor": Sensor, "alarm": Alarm,
    "sink": Sink, "notifier": Notifier, "author": Author,
}  # fmt: skip


def parse(data: dict[str, Any]) -> tuple[Site | None, list[Problem]]:
    """A site from the tables of its file; None if anything is wrong. Never raises on TOML-shaped input.

    Problems come in the order of the file's sections: shapes and values first, then what does not fit.

    >>> site, problems = parse({"schema": 1, "ward": {"id": "xuan-dinh"}})
    >>> site is None, [p.path for p in problems if not p.is_notice]
    (True, ['ward.name', 'gateway'])
    """
    tables, problems = read(data)
    if any(not p.is_notice for p in problems):
        return None, problems
    return whole(tables), problems


def read(data: dict[str, Any]) -> tuple[site_rules.Tables, list[Problem]]:
    """The rows of a site as far as they can be read, for more checks, and all problems of the file itself."""
    problems = _top_level(data)
    single: dict[str, Any] = {}
    for table, model in _SINGLE.items():
        raw = data.get(table)
        if isinstance(raw, dict):
            single[table] = _row(model, raw, table, problems)
        elif raw is not None:
            problems.append(Problem(table, "is not one table", f"write [{table}] once, with its keys below"))
        elif table in ("ward", "gateway"):
            problems.append(Problem(table, "is missing", f"write [{table}] with its keys below"))
    rows: dict[str, list[Any]] = {table: _rows(table, data.get(table), problems) for table in _REPEATED}
    tables = site_rules.Tables(
        ward=single.get("ward"),
        gateway=single.get("gateway"),
        web=single.get("web"),
        limits=single.get("limits") or Limits(),
        **rows,
    )
    for part in (site_rules, site_sensors, site_alarms, site_north):
        problems += part.problems(tables)
    return tables, problems


def whole(tables: site_rules.Tables) -> Site:
    """The site of rows that have no problem."""
    lists = {table: tuple(row.item for row in getattr(tables, table)) for table in _REPEATED}
    single = {table: getattr(tables, table) for table in _SINGLE}
    return Site.model_validate({"schema": SCHEMA, **single, **lists})


def _top_level(data: Mapping[str, Any]) -> list[Problem]:
    problems = []
    schema = data.get("schema")
    if schema is None:
        problems.append(Problem("schema", "is missing", f"write schema = {SCHEMA} as the first line"))
    elif isinstance(schema, bool) or schema != SCHEMA:
        what = f"is {plain.shown(schema)}; this version reads {SCHEMA}"
        problems.append(Problem("schema", what, f"write schema = {SCHEMA}"))
    known = ("schema", *_SINGLE, *_REPEATED)
    for key in sorted(data.keys() - set(known)):
        meant = plain.suggestion(key, known)
        advice = f"remove it; known: {plain.one_of(known, 30)}"
        if plain.suggestion(key, ("person", "ladder"), cutoff=0.8):
            advice = "it belongs in people.toml beside the site"
        elif meant:
            advice = f"write [[{meant}]]" if meant in _REPEATED else f"write [{meant}]"
        elif key in _elsewhere():
            advice = f"it belongs in {_elsewhere()[key]}"
        problems.append(Problem(plain.key_text(key), "is not a table here", advice))
    return problems


def _rows(table: str, raw: Any, problems: list[Problem]) -> list[Any]:
    """The rows of a repeated table with their dotted paths."""
    if raw is None:
        return []
    if not isinstance(raw, list):
        problems.append(Problem(table, "is not a list of tables", f"write [[{table}]] with two brackets"))
        raw = [raw] if isinstance(raw, dict) else []
    label = "name" if table == "author" else "id"
    names = [row.get(label) if isinstance(row, dict) else None for row in raw]
    rows = []
    for i, row in enumerate(raw):
        path = f"{table}[{i + 1}]"
        if not isinstance(row, dict):
            problems.append(Problem(path, "is not a table", f"write [[{table}]] with its keys below"))
            continue
        name = names[i]
        if isinstance(name, str) and not site_fields.id_fault(name) and names.count(name) == 1:
            path = f"{table}.{name}"
        rows.append(site_rules.Row(path, f"{table}[{i + 1}]", _row(_REPEATED[table], row, path, problems)))
    return rows


def _row(model: type[_Table], raw: Mapping[str, Any], path: str, problems: list[Problem]) -> _Table:
    """One table as its model. With wrong keys: of its right keys only, required text "" else."""
    known = [field.alias or name for name, field in model.model_fields.items()]
    good = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items() if k in known}
    for key in raw:
        if key not in known:
            problems.append(plain.unknown_key(path, key, raw[key], known, _elsewhere()))
    try:
        return model.model_validate(good)
    except ValidationError as refused:
        errors = refused.errors(include_url=False, include_input=False)
    told = set()
    for error in errors:
        key, where, value, sub = plain.located(error["loc"], path, raw)
        good.pop(key, None)
        if where not in told:
            told.add(where)
            if error["type"] == "extra_forbidden":
                problems.append(plain.unknown_key(f"{path}.{key}", sub, value, Calibration.model_fields, {}))
                continue
            example = "" if sub else site_fields.EXAMPLES.get(key, "") or _default(model, key)
            problems.append(plain.explain(where, sub or key, error, value, example))
    required = {f.alias or n: "" for n, f in model.model_fields.items() if f.is_required()}
    good.pop("calibration", None)
    loose: Any = required | good
    written = {name for name, field in model.model_fields.items() if (field.alias or name) in raw}
    return model.model_construct(_fields_set=written, **loose)


def _default(model: type[_Table], key: str) -> str:
    """`repeat_s = 180 (the default)`, for numbers."""
    default = model.model_fields[key].default if key in model.model_fields else None
    return f"{key} = {plain.shown(default)} (the default)" if type(default) in (int, float) else ""


def _elsewhere() -> dict[str, str]:
    """Key -> header of the one table where it exists, for keys put in the wrong table."""
    owners: dict[str, list[str]] = {}
    for table, model in (*_SINGLE.items(), *_REPEATED.items()):
        for name, field in model.model_fields.items():
            header = f"[[{table}]]" if table in _REPEATED else f"[{table}]"
            owners.setdefault(field.alias or name, []).append(header)
    return {key: headers[0] for key, headers in owners.items() if len(headers) == 1}
