"""From a device file to a profile: `parse(name, dict) -> (Profile | None, problems)`, and what a site may change in it.

A profile is data: the shapes stand in `device_file`. Unknown keys are refused with a suggestion, all problems come at
once, each with its dotted path and what to write instead. Nothing here knows a site, a port or a clock.
"""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from drivers.device_file import (
    BIT_TABLES,
    RAW_MAX,
    WORDS,
    Inputs,
    Know,
    Link,
    Profile,
    Setup,
    Tcp,
    Uart,
    UnitAt,
    Value,
)
from drivers.families import FAMILIES
from models.problem import Problem
from models.reading import DERIVED_ONLY, KINDS

__all__ = ["Profile", "Value", "override", "parse"]


def parse(name: str, data: Mapping[str, Any]) -> tuple[Profile | None, list[Problem]]:
    """A device file's content as a profile, or every problem in it; paths start with `devices.NAME`."""
    return _parse(f"devices.{name}", data)


def _parse(path: str, data: Mapping[str, Any]) -> tuple[Profile | None, list[Problem]]:
    try:
        profile = Profile.model_validate(_tuples(data))
    except ValidationError as error:
        return None, [_problem(path, e["loc"], e["type"], e["msg"], e["input"]) for e in error.errors()]
    problems = [Problem(f"{path}.{where}", what, instead) for where, what, instead in _lint(profile)]
    return (None, problems) if problems else (profile, [])


def override(profile: Profile, tables: Mapping[str, Any], path: str) -> tuple[Profile | None, list[Problem]]:
    """The profile with a sensor's `[sensor.profile]` tables laid over it; values are matched by their kind.

    `path` is the dotted place of the tables (`sensor.ngo-12-level.profile`); problems are told there.
    """
    merged = profile.model_dump(by_alias=True, exclude_unset=True)
    for key, change in tables.items():
        if key == "value" and isinstance(change, list | tuple):
            values = {value["kind"]: value for value in merged.get("value", ())}
            for row in change:
                kind = row.get("kind") if isinstance(row, dict) else None
                if not isinstance(kind, str) or kind not in values:
                    instead = "one of " + ", ".join(values) if values else ""
                    return None, [
                        Problem(f"{path}.value", f"the device has no value of kind {kind!r}", instead)
                    ]
                values[kind] = {**values[kind], **row}
            merged["value"] = list(values.values())
        elif isinstance(change, Mapping) and isinstance(merged.get(key), dict):
            merged[key] = {**merged[key], **change}
        else:
            merged[key] = change
    return _parse(path, merged)


def _lint(profile: Profile) -> Iterable[tuple[str, str, str]]:
    """What the shape alone does not tell: (path, what, what to write instead)."""
    link = profile.link
    if link.late_ms < link.reply_ms:
        yield (
            "link.late_ms",
            "shorter than reply_ms: late replies could be taken for new ones",
            "late_ms >= reply_ms",
        )
    yield from _lint_uart(profile)
    if bool(profile.value) == (profile.inputs is not None):
        yield "value", "a device has either [[value]] or [inputs]", "one of the two"
    if (inputs := profile.inputs) is not None:
        if (inputs.type == "bit") != (inputs.table in BIT_TABLES):
            yield (
                "inputs.type",
                f"{inputs.type} does not live in table {inputs.table}",
                "bit for coil and discrete",
            )
        if inputs.address + inputs.count * WORDS[inputs.type] > 0x10000:
            yield "inputs.count", "the last input lies behind address 65535", ""
        if inputs.scale == 0.0 or not math.isfinite(inputs.scale):
            yield "inputs.scale", "must be a finite number other than 0", ""
    kinds: dict[str, int] = {}
    for i, value in enumerate(profile.value):
        where = f"value.{i}"
        if kinds.setdefault(value.kind, i) != i:
            yield (
                f"{where}.kind",
                f"{value.kind} is already value.{kinds[value.kind]}",
                "one value of each kind",
            )
        if (j := _same_place(profile.value, i)) is not None:
            yield f"{where}.address", f"{value.table} {value.address} already belongs to value.{j}", ""
        for key, what, instead in _lint_value(value, link):
            yield f"{where}.{key}", what, instead


def _lint_uart(profile: Profile) -> Iterable[tuple[str, str, str]]:
    uart = profile.uart
    for i, value in enumerate(profile.value):
        if (value.table == "frame") != (uart is not None):
            instead = 'table = "frame"' if uart else "coil, discrete, input or holding"
            yield (
                f"value.{i}.table",
                f"{value.table} does not go with {'a' if uart else 'no'} [uart]",
                instead,
            )
        elif uart and value.extent[1] >= uart.words:
            yield f"value.{i}.address", f"the report has words 0 to {uart.words - 1}", ""
    if uart is None:
        return
    if uart.family not in FAMILIES:
        yield (
            "uart.family",
            f"{uart.family} is not known",
            _nearest(uart.family, FAMILIES) or ", ".join(FAMILIES),
        )
    for key in ("inputs", "know"):
        if getattr(profile, key) is not None:
            yield key, "is for Modbus devices", f"remove [{key}]"
    if profile.setup:
        yield "setup", "is for Modbus devices", "remove [[setup]]"
    for word, content in uart.fixed.items():
        if not word.isdigit() or int(word) >= uart.words or not 0 <= content <= 0xFFFF:
            yield (
                "uart.fixed",
                f"{word} = {content} is no word of the report",
                f"0 .. {uart.words - 1} = 0 .. 65535",
            )


def _same_place(values: Sequence[Value], i: int) -> int | None:
    """The first value before `i` that shares registers with it, or bits of one register where both have masks."""
    value = values[i]
    for j, other in enumerate(values[:i]):
        is_apart = (
            other.address + other.words <= value.address or value.address + value.words <= other.address
        )
        is_shared = value.mask is not None and other.mask is not None and not value.mask & other.mask
        if value.table == other.table and not is_apart and not is_shared:
            return j
    return None


def _lint_value(value: Value, link: Link) -> Iterable[tuple[str, str, str]]:
    info = KINDS.get(value.kind)
    if info is None or value.kind in DERIVED_ONLY:
        what = "is not a kind" if info is None else "is derived by us, no sensor measures it"
        yield "kind", f"{value.kind} {what}", _nearest(value.kind, KINDS.keys() - DERIVED_ONLY)
        return
    if (value.type == "bit") != (value.table in BIT_TABLES):
        yield (
            "type",
            f"{value.type} does not live in table {value.table}",
            "bit for coil and discrete, else u16 .. f32",
        )
    if value.address + value.words > 0x10000:
        yield "address", "the value ends behind address 65535", ""
    if value.order in ("CDAB", "DCBA") and value.words == 1:
        yield "order", f"{value.order} needs a 32-bit type", "u32, i32 or f32"
    if value.scale == 0.0 or not math.isfinite(value.scale):
        yield "scale", "must be a finite number other than 0", ""
    if value.mask is not None and (value.mask > RAW_MAX[value.type] or value.type in ("f32", "bit")):
        yield "mask", f"does not fit the type {value.type}", ""
    if value.range is not None:
        low, high = value.range
        if not low < high:
            yield "range", "the lower end comes first", f"range = [{high:g}, {low:g}]"
        elif low < info.low or high > info.high:
            yield (
                "range",
                f"outside what is physically possible, {info.low:g} .. {info.high:g} {info.unit}",
                "",
            )
    elif value.at_low != "range" or value.at_high != "range":
        yield (
            "at_low" if value.at_low != "range" else "at_high",
            "says what the end of a range means",
            "give a range",
        )
    for key in ("sentinel", "open", "short"):
        for word in getattr(value, key):
            if not 0 <= word <= RAW_MAX[value.type]:
                yield (
                    key,
                    f"{word} is no raw word of type {value.type}",
                    f"0 .. {RAW_MAX[value.type]}, unsigned",
                )
    if (value.invert or value.open or value.short) and not info.is_contact:
        yield "kind", f"invert, open and short are for contacts; {value.kind} is none", ""
    if (value.decimals_at is not None or value.unit_at) and value.table in BIT_TABLES:
        yield "decimals_at", "decimals and unit stand in registers", "table input or holding"
    n = value.extent[1] - value.extent[0] + 1
    if n > link.count_max:
        yield "address", f"needs a read of {n} registers, the device gives {link.count_max}", ""
    for code in value.unit_at.factor if value.unit_at else ():
        if not code.isdigit() or int(code) > 0xFFFF:
            yield "unit_at.factor", f"{code!r} is no register content", "0 .. 65535"


def _problem(path: str, loc: tuple[int | str, ...], kind: str, message: str, given: Any) -> Problem:
    dotted = ".".join([path, *("schema" if part == "schema_" else str(part) for part in loc)])
    if kind == "extra_forbidden":
        return Problem(dotted, "unknown key", _nearest(str(loc[-1]), _known_keys(loc[:-1])))
    if kind == "missing":
        return Problem(dotted, "is required")
    shown = repr(given)
    return Problem(dotted, f"{shown[:60]} will not do", message[:1].lower() + message[1:])


_KEYS_AT: Final[dict[tuple[str, ...], type[BaseModel]]] = {
    (): Profile,
    ("link",): Link,
    ("link", "tcp"): Tcp,
    ("value",): Value,
    ("value", "unit_at"): UnitAt,
    ("inputs",): Inputs,
    ("uart",): Uart,
    ("setup",): Setup,
    ("know",): Know,
}


def _known_keys(loc: tuple[int | str, ...]) -> Iterable[str]:
    model = _KEYS_AT.get(tuple(part for part in loc if isinstance(part, str)))
    return [f.alias or key for key, f in model.model_fields.items()] if model else []


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, sorted(known), 1, 0.5)
    return f"did you mean {near[0]}?" if near else ""


def _tuples(data: object) -> object:
    """Lists as tuples, all the way down: strict models take no list for a tuple."""
    if isinstance(data, dict):
        return {key: _tuples(item) for key, item in data.items()}
    return tuple(_tuples(item) for item in data) if isinstance(data, list | tuple) else data
