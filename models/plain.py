"""Plain words for what is wrong in a table: unknown keys, wrong units, wrong types.

A technician reads these lines on a ladder: they name the key, say what is wrong in everyday words, and show
the line to write instead. Nothing here knows a site; `models.site` hands in the keys and an example of each.

Invariants: no text of the file is repeated but names of keys, numbers and short words of closed lists,
because a string may be a secret (a token in a URL); what is repeated has no control characters and a bounded
length.
"""

import difflib
import math
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from models.problem import Problem

_SHOWN_MAX: Final = 48
# Unit suffix -> (family, size in its base unit): what people write by mistake for a key of ours.
_UNITS: Final[dict[str, tuple[str, float]]] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), ("time", 1.0)),
    **dict.fromkeys(("ms", "millis", "milliseconds", "msec"), ("time", 0.001)),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), ("time", 60.0)),
    **dict.fromkeys(("h", "hour", "hours"), ("time", 3600.0)),
    **dict.fromkeys(("d", "day", "days"), ("time", 86400.0)),
    **dict.fromkeys(("m", "meter", "metre", "meters", "metres"), ("length", 1.0)),
    "cm": ("length", 0.01),
    "mm": ("length", 0.001),
    "km": ("length", 1000.0),
    "kb": ("data", 1 / 1024),
    "mb": ("data", 1.0),
    "gb": ("data", 1024.0),
}
_UNIT_WORDS: Final = {"s": "seconds", "min": "minutes", "h": "hours", "m": "metres", "mb": "megabytes"}
# What other products call the same thing.
_ALIASES: Final = {
    "address": "unit", "slave": "unit", "slave_id": "unit", "unit_id": "unit", "addr": "unit",
    "baudrate": "baud", "baud_rate": "baud", "parity": "framing", "bytesize": "framing",
    "stopbits": "framing",
    "latitude": "lat", "longitude": "lon", "lng": "lon", "inside": "in", "parent": "in", "within": "in",
    "path": "port", "serial": "port", "tty": "port", "host": "port", "type": "kind", "model": "device",
    "channels": "channel", "thresholds": "levels", "threshold": "levels", "limit": "levels",
    "level": "levels",
    "hysteresis": "deadband", "delay": "on_s", "password": "credential", "token": "credential",
    "secret": "credential",
    "uri": "url", "endpoint": "url", "timezone": "zone", "tz": "zone", "lang": "language",
    "interval": "period_s",
    "poll": "period_s", "invert_contact": "invert", "bind": "listen", "start": "from", "public_key": "key",
}  # fmt: skip


def shown(value: object) -> str:
    """A value as text for a message: bounded, printable, strings in quotes.

    >>> shown("a\\x1b[31m"), shown(0.5), shown(True)
    ('"a?[31m"', '0.5', 'true')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**15 else "a very large number"
    if isinstance(value, float):
        return f"{value:.10g}"
    if not isinstance(value, str):
        return {"list": "a list", "tuple": "a list", "dict": "a table"}.get(
            type(value).__name__, "a date or time"
        )
    text = value if len(value) <= _SHOWN_MAX else value[: _SHOWN_MAX - 3] + "..."
    return '"' + "".join(c if c.isprintable() and c != '"' else "?" for c in text) + '"'


def key_text(key: str) -> str:
    """A key as it may stand in a dotted path: bare when TOML allows it, else quoted and made printable."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]{1,48}", key) else shown(key)


def suggestion(word: str, known: Collection[str], cutoff: float = 0.6) -> str | None:
    """The known word that was probably meant, or None. `cutoff`: 0 takes anything, 1 only the same.

    >>> suggestion("leves", ["levels", "latch"]), suggestion("smoke", ["door_contact", "smoke_contact"])
    ('levels', 'smoke_contact')
    """
    word = word[:64].lower()
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=cutoff)
    longer = [one for one in sorted(known) if len(word) >= 3 and one.startswith(word + "_")]
    return next(iter(close + longer), None)


def one_of(words: Collection[str], most: int = 12) -> str:
    """Known words as a short list for people.

    >>> one_of(["b", "a"])
    'a, b'
    """
    ordered = sorted(words)
    tail = f", ... ({len(ordered)} in all)" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + tail


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key[:64]).lower().replace("-", "_")


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e15 and math.isfinite(value) else None


def _same_with_unit(key: str, value: object, known: Collection[str]) -> str | None:
    """`period_ms = 500` -> "write period_s = 0.5": a key of ours with another unit, or without one."""
    word = _snake(key)
    stem, _, unit = word.rpartition("_")
    for candidate in sorted(known):
        base, _, right = candidate.rpartition("_")
        if not base or right not in _UNITS:
            continue
        number = _number(value)
        if unit in _UNITS and stem == base and _UNITS[unit][0] == _UNITS[right][0]:
            if number is None:
                return f"write {candidate} = ... in {_UNIT_WORDS[right]}"
            return f"write {candidate} = {shown(number * _UNITS[unit][1] / _UNITS[right][1])}"
        if word == base:
            example = "..." if number is None else shown(number)
            unit_words = f"if that is in {_UNIT_WORDS[right]}: the unit belongs to the name"
            return f"write {candidate} = {example} {unit_words}"
    return None


def unknown_key(
    path: str, key: str, value: object, known: Collection[str], elsewhere: Mapping[str, str]
) -> Problem:
    """A key that this table does not have. `elsewhere`: key -> table header where it does exist."""
    where = f"{path}.{key_text(key)}" if path else key_text(key)
    with_unit = _same_with_unit(key, value, known)
    if with_unit:
        return Problem(where, "is not a key here: the unit is wrong or missing", with_unit)
    alias = _ALIASES.get(_snake(key))
    if alias not in known:
        alias = suggestion(_snake(key), known)
    if alias:
        return Problem(where, "is not a key here", f"write {alias}")
    if key in elsewhere:
        return Problem(where, "is not a key here", f"it belongs in {elsewhere[key]}")
    return Problem(where, "is not a key here", f"remove it; known: {one_of(known, 30)}")


def explain(path: str, key: str, error: Mapping[str, Any], value: object, example: str) -> Problem:
    """One validation error (`type`, `ctx`) of pydantic in our words. `example`: a right line, or ""."""
    kind = str(error["type"])
    context: Mapping[str, Any] = error.get("ctx") or {}
    right = f"write {example}" if example else ""
    if kind == "plain":
        return Problem(path, context["what"], context["instead"] or right)
    if kind == "missing":
        return Problem(path, "is missing", right or f"write {key} = ...")
    if kind == "finite_number":
        return Problem(path, "is not a number (nan and inf are refused)", right or "write a number")
    if kind in ("too_short", "too_long"):
        return Problem(path, f"has too {'few' if kind == 'too_short' else 'many'} entries", right)
    bounds = _bounds_text(kind, context)
    if bounds:
        return Problem(path, f"is {shown(value)}, but {bounds}", right or "write a value within that")
    if kind in ("literal_error", "enum"):
        return _closed_list(path, key, str(context.get("expected", "")), value)
    return _wrong_type(path, key, kind, value, right)


def located(loc: tuple[int | str, ...], path: str, raw: Mapping[str, Any]) -> tuple[str, str, Any, str]:
    """(key, dotted path, value, key inside it or ""); pydantic's names of union members are left out."""
    key = str(loc[0])
    value = raw.get(key)
    where = f"{path}.{key}"
    if len(loc) > 1 and isinstance(value, dict):
        sub = str(loc[1])
        return key, f"{where}.{key_text(sub)}", value.get(sub), sub
    if isinstance(value, list):
        i = next((part for part in loc[1:] if isinstance(part, int)), None)
        if i is not None and i < len(value):
            return key, f"{where}[{i + 1}]", value[i], ""
    return key, where, value, ""


def _bounds_text(kind: str, context: Mapping[str, Any]) -> str:
    words = {
        "greater_than": ("gt", "must be more than"),
        "greater_than_equal": ("ge", "must be at least"),
        "less_than": ("lt", "must be less than"),
        "less_than_equal": ("le", "must be at most"),
    }
    if kind in words:
        name, text = words[kind]
        return f"{text} {shown(context[name])}"
    return "must be a whole number" if kind == "int_from_float" else ""


def _closed_list(path: str, key: str, expected: str, value: object) -> Problem:
    words = re.findall(r"'([^']*)'", expected)
    if not isinstance(value, str):
        return Problem(
            path, f"is {shown(value)}, not text", f'write {key} = "{words[0] if words else "..."}"'
        )
    meant = suggestion(value, words)
    what = f"is {shown(value)}, which is not in the list: {', '.join(words)}"
    return Problem(path, what, f'write {key} = "{meant or words[0]}"')


def _wrong_type(path: str, key: str, kind: str, value: object, right: str) -> Problem:
    if kind.startswith(("float", "int")):
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,12}(\.\d{1,12})?", value.strip()):
            return Problem(path, "is text, not a number", f"write {key} = {value.strip()} (no quotes)")
        word = "a whole number" if kind.startswith("int") else "a number"
        return Problem(path, f"is {_sort(value)}, not {word}", right or f"write {word} without quotes")
    if kind.startswith("string"):
        number = _number(value)
        quoted = f'write {key} = "{shown(number)}"' if number is not None else ""
        return Problem(path, f"is {_sort(value)}, not text", right or quoted or "write it in quotes")
    if kind.startswith("bool"):
        meant = value.lower() in ("1", "yes", "true", "on") if isinstance(value, str) else value == 1
        return Problem(path, f"is {_sort(value)}, not true or false", f"write {key} = {shown(meant)}")
    if kind.startswith("tuple"):
        return Problem(path, f"is {_sort(value)}, not a list", right or f"write {key} = [ ... ]")
    if kind.startswith(("dict", "model")):
        return Problem(path, f"is {_sort(value)}, not a table", right or f"write {key} = {{ ... }}")
    return Problem(path, "cannot be read", right or "write it as the documentation shows")


def _sort(value: object) -> str:
    """What sort of thing a value is; text is never repeated (it may be a secret)."""
    if isinstance(value, bool):
        return shown(value)
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float):
        return f"the number {shown(value)}"
    return shown(value)
