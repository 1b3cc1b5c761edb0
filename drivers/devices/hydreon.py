r"""Hydreon RG-15 lines: `Acc  0.01 mm, EventAcc  2.07 mm, TotalAcc 54.85 mm, RInt  2.89 mmph[, LensBad]\r\n`.

Words: 0-1 Acc, 2-3 EventAcc, 4-5 TotalAcc, 6-7 RInt as u32 in 0.0001 mm and mm/h, 8 bit 0 = the lens is bad, bit 1 =
the emitters are saturated. Inches are converted. `begin`: answer when asked, metric, high resolution; the answer to a
command is its letter in lower case.

Source: Hydreon RG-15 leaflet, Tasmota's driver, esphome (domain.md 4.1).
"""

import re
from collections.abc import Sequence
from typing import Final

from drivers.uart import Family, Words, cut_line
from models.reading import Quality

_END: Final = b"\n"
_FIELDS: Final = (
    ("Acc", "mm", "in"),
    ("EventAcc", "mm", "in"),
    ("TotalAcc", "mm", "in"),
    ("RInt", "mmph", "iph"),
)
_FLAGS: Final = {"LensBad": 1, "EmSat": 2}
_FIELD: Final = re.compile(r"(\w+) +(\d{1,6}(?:\.\d{1,4})?) (\w+)")
_STATUS: Final = re.compile(
    r"[a-z]|;.*|(LensBad|EmSat|TooCold|Event|Reset \w|PwrDays \d+|SW .*|R \d)(, *(LensBad|EmSat|TooCold))*"
)
_PARTS_PER_MM: Final = 10_000
_MM_PER_INCH: Final = 25.4
_U32_MAX: Final = 0xFFFF_FFFF


def _cut(data: bytes) -> tuple[bytes, int]:
    return cut_line(data, _END, lambda line: _words_of(line) is not None or _is_status(line))


def _text(line: bytes) -> str:
    return line.decode("ascii", "replace").strip()


def _is_status(line: bytes) -> bool:
    return _STATUS.fullmatch(_text(line)) is not None


def _words_of(line: bytes) -> Words | None:
    """All four fields, in order, in one system of units, with whatever follows them; else None."""
    parts = re.split(r", *", _text(line))
    if len(parts) < len(_FIELDS):
        return None
    numbers, units = [], set()
    for (name, metric, imperial), part in zip(_FIELDS, parts, strict=False):
        found = _FIELD.fullmatch(part)
        if found is None or found[1] != name or found[3] not in (metric, imperial):
            return None
        is_metric = found[3] == metric
        units.add(is_metric)
        number = float(found[2]) * (1.0 if is_metric else _MM_PER_INCH)
        numbers.append(min(_U32_MAX, round(number * _PARTS_PER_MM)))
    if len(units) > 1:
        return None
    words = [word for number in numbers for word in (number >> 16, number & 0xFFFF)]
    return (*words, sum(_FLAGS.get(part, 0) for part in set(parts[len(_FIELDS) :])))


def _frame_of(words: Sequence[int]) -> bytes:
    numbers = [(words[i] << 16 | words[i + 1]) / _PARTS_PER_MM for i in range(0, 8, 2)]
    fields = [f"{name} {n:5.2f} {unit}" for (name, unit, _), n in zip(_FIELDS, numbers, strict=True)]
    fields += [name for name, bit in _FLAGS.items() if words[8] & bit]
    return ", ".join(fields).encode() + b"\r\n"


def _flags(words: Words) -> int:
    """A lens that is dirty or blinded measures no rain: its zero is not dry."""
    return Quality.OBSTRUCTED if words[8] else 0


FAMILY: Final = Family(_cut, _words_of, _frame_of, _flags, begin=(b"P\n", b"M\n", b"H\n"), ask=b"R\n")
