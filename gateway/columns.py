"""Codec `columns-1` of a sealed batch: every field of a series is a column, and columns hold small steps.

    blob = zlib( head length u32 | head (JSON) | codes u8[columns] | width of firsts u8 | widths u8[..] | planes )

Times, floats on a decimal grid (`columns_grid.py`) and ints become whole numbers, these become small steps from
row to row (times: changes of the step, since polls are regular), and steps become planes of bytes
(`columns_steps.py`). zlib level 1, one block for each part, so that each has a Huffman table of its own.

A column's code is its grid, or says that it holds ints. What is on no grid (NaN, -0.0, infinities, values
finer than 10**-6) is *odd* and stands beside its column with its 8 bytes; None is a *gap*. Columns of strings,
of booleans, of mixed types, or with ints over 64 bits stand as JSON in the head: they are short and rare.

Exact: `decode(encode(p)) == p` bit for bit, series and rows in order. Hostile blobs raise ColumnsError and
cost at most RAW_BYTES_MAX and VALUES_MAX of memory. Measured on a ward's values: 0.6 bytes and 0.2 us a value at 64
devices of 8 values; short batches are mostly names (tests/bench/spool.py).
"""

import json
import zlib
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from gateway.columns_grid import GRIDS, from_grid, to_grid
from gateway.columns_steps import (
    Ints,
    Lengths,
    from_planes,
    places_of,
    starts_of,
    steps_of,
    sums_of,
    to_planes,
)
from gateway.series import Points, Row, Series, Value

__all__ = ["CODEC", "RAW_BYTES_MAX", "VALUES_MAX", "ColumnsError", "decode", "encode"]

CODEC: Final = "columns-1"
VALUES_MAX: Final = 1 << 20  # a batch of 2,000 points of 256 fields has half of it
RAW_BYTES_MAX: Final = 1 << 24

_INT: Final = GRIDS
_JSON: Final = GRIDS + 1
_GRAIN_NS: Final = 1_000_000
_INT_LIMIT: Final = 1 << 63


class ColumnsError(ValueError):
    """The bytes are no batch of ours."""


@dataclass(slots=True)
class _Pool:
    """The columns of one type, end to end: their values, lengths, and which column of the batch each is."""

    values: list[Any] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)

    def add(self, column: int, values: tuple[Value, ...], kinds: set[type], fill: float) -> None:
        if type(None) in kinds:
            start = len(self.values)
            self.gaps += [start + i for i, v in enumerate(values) if v is None]
            values = tuple(fill if v is None else v for v in values)
        self.values += values
        self.lengths.append(len(values))
        self.columns.append(column)


def encode(points: Points) -> bytes:
    """The batch as bytes. At most VALUES_MAX values; times and ints of int64.

    >>> s = Series("reading", (("sensor", "a"),), ("depth_m", "quality"))
    >>> decode(encode({s: [(0, (0.214, 0)), (1_000_000, (None, 4))]}))[s]
    [(0, (0.214, 0)), (1000000, (None, 4))]
    """
    assert sum(len(rows) * (len(series.fields) + 1) for series, rows in points.items()) <= VALUES_MAX
    floats, ints, plain = _Pool(), _Pool(), []
    n_columns = 0
    for series, rows in points.items():
        for values in zip(*(values for _, values in rows), strict=True):
            kinds = set(map(type, values))
            match kinds - {type(None)}:
                case one if one == {float}:
                    floats.add(n_columns, values, kinds, 0.0)
                case one if one == {int} and _fits(values):
                    ints.add(n_columns, values, kinds, 0)
                case _:
                    plain.append(values)
            n_columns += 1
        if not rows:
            n_columns += len(series.fields)
    codes = np.full(n_columns, _JSON, np.uint8)
    codes[ints.columns] = _INT
    numbers = np.array(floats.values, np.float64)
    grids, on_grid, odd = to_grid(numbers, np.array(floats.lengths, np.intp))
    codes[floats.columns] = grids
    grain_ns, times, lengths = _times(points)
    parts = (
        (steps_of(on_grid, floats.lengths), floats.lengths),
        (steps_of(np.array(ints.values, np.int64), ints.lengths), ints.lengths),
        (times, lengths),
        *(
            (steps_of(np.array(where, np.int64), [len(where)]), [len(where)])
            for where in (odd, floats.gaps, ints.gaps)
        ),
        (numbers[odd].view(np.int64), [len(odd)]),
    )
    # JSON names what is repeated; its own spelling of NaN is understood by the reader below.
    names = [[series.measurement, series.tags, series.fields, len(rows)] for series, rows in points.items()]
    head = json.dumps(
        [grain_ns, names, plain, [len(odd), len(floats.gaps), len(ints.gaps)]],
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode("utf-8", "surrogatepass")
    bits, planes = to_planes(parts)
    raw = (len(head).to_bytes(4, "little") + head, codes.tobytes() + bits, *planes)
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(part) + packer.flush(zlib.Z_BLOCK) for part in raw)
    return packed + packer.flush()


def decode(blob: bytes) -> Points:
    """The batch of `encode`. Raises ColumnsError."""
    try:
        return _decode(blob)
    except (ValueError, TypeError, KeyError, RecursionError, zlib.error) as problem:
        raise ColumnsError(f"not a {CODEC} batch: {problem}") from problem


def _decode(blob: bytes) -> Points:
    unpacker = zlib.decompressobj()
    raw = unpacker.decompress(blob, RAW_BYTES_MAX)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("cut short, too long, or with something behind it")
    after_head = 4 + int.from_bytes(raw[:4], "little")
    grain_ns, names, plain, (n_odd, n_float_gaps, n_int_gaps) = json.loads(
        raw[4:after_head].decode("utf-8", "surrogatepass")
    )
    series = [_series(*name) for name in names]
    lengths = [n for _, n in series]
    if sum(n * (len(one.fields) + 1) for one, n in series) > VALUES_MAX:
        raise ValueError("too many values")
    per_column = np.repeat(np.array(lengths, np.intp), [len(one.fields) for one, _ in series])
    codes = np.frombuffer(raw, np.uint8, len(per_column), after_head)
    if np.any(codes > _JSON):
        raise ValueError("a code that is none")
    is_float = codes < GRIDS
    float_lengths, int_lengths = per_column[is_float], per_column[codes == _INT]
    floats_k, ints, times, odd, float_gaps, int_gaps, odd_bits = from_planes(
        raw,
        after_head + len(codes),
        (
            float_lengths,
            int_lengths,
            np.array(lengths, np.intp),
            *_ones(n_odd, n_float_gaps, n_int_gaps, n_odd),
        ),
    )
    floats = from_grid(sums_of(floats_k, float_lengths), np.repeat(codes[is_float], float_lengths))
    floats[places_of(odd, len(floats))] = odd_bits.view(np.float64)
    float_values: list[Any] = floats.tolist()
    int_values: list[Any] = sums_of(ints, int_lengths).tolist()
    for values, gaps in ((float_values, float_gaps), (int_values, int_gaps)):
        for i in places_of(gaps, len(values)).tolist():
            values[i] = None
    return _rows(series, codes.tolist(), (float_values, int_values, plain), _clock(times, lengths, grain_ns))


def _rows(
    series: list[tuple[Series, int]], codes: list[int], pools: tuple[list[Any], ...], times: list[int]
) -> Points:
    points: Points = {}
    floats, ints, plain = pools
    i_float = i_int = i_plain = i_time = i_code = 0
    for one, n in series:
        columns: list[list[Value]] = []
        for code in codes[i_code : i_code + len(one.fields)] if n else ():
            if code == _JSON:
                columns.append(_plain(plain[i_plain] if i_plain < len(plain) else None, n))
                i_plain += 1
            elif code == _INT:
                columns.append(ints[i_int : i_int + n])
                i_int += n
            else:
                columns.append(floats[i_float : i_float + n])
                i_float += n
        i_code += len(one.fields)
        rows = zip(*columns, strict=True) if columns else iter([()] * n)
        kept: list[Row] = list(zip(times[i_time : i_time + n], rows, strict=True))
        i_time += n
        if one in points:
            raise ValueError("a series twice")
        points[one] = kept
    return points


def _series(measurement: str, tags: list[tuple[str, str]], fields: list[str], n: int) -> tuple[Series, int]:
    one = Series(measurement, tuple((k, v) for k, v in tags), tuple(fields))
    words = (measurement, *fields, *(word for tag in one.tags for word in tag))
    if not all(type(word) is str for word in words) or type(n) is not int or not 0 <= n <= VALUES_MAX:
        raise ValueError("a series that is none")
    return one, n


def _plain(column: Any, n: int) -> list[Value]:
    if type(column) is not list or len(column) != n:
        raise ValueError("a column of another length")
    if not all(v is None or type(v) in (float, int, bool, str) for v in column):
        raise ValueError("a value that is none")
    return column


def _fits(values: tuple[Any, ...]) -> bool:
    known = [v for v in values if v is not None]
    return bool(min(known) >= -_INT_LIMIT and max(known) < _INT_LIMIT)


def _times(points: Points) -> tuple[int, Ints, list[int]]:
    """Grain in ns, and of each series: its first time after the one of the series before, the first step, the
    changes of the step."""
    lengths = [len(rows) for rows in points.values()]
    ns = np.array([at_ns for rows in points.values() for at_ns, _ in rows], np.int64)
    grain_ns = _GRAIN_NS if not np.any(ns % _GRAIN_NS) else 1
    steps = steps_of(ns // grain_ns, lengths)
    starts = starts_of(lengths)
    firsts = steps[starts]
    steps[starts] = 0
    steps = steps_of(steps, lengths)
    steps[starts] = np.diff(firsts, prepend=0)
    return grain_ns, steps, lengths


def _clock(changes: Ints, lengths: list[int], grain_ns: int) -> list[int]:
    if grain_ns not in (1, _GRAIN_NS):
        raise ValueError("a grain that is none")
    of_series = np.array(lengths, np.intp)
    starts = starts_of(of_series)
    firsts = np.cumsum(changes[starts])
    changes[starts] = 0
    steps = sums_of(changes, of_series)
    steps[starts] = firsts
    times: list[int] = (sums_of(steps, of_series) * grain_ns).tolist()
    return times


def _ones(*lengths: int) -> tuple[Lengths, ...]:
    if not all(type(n) is int and 0 <= n <= VALUES_MAX for n in lengths):
        raise ValueError("a length that is none")
    return tuple(np.array([n], np.intp) for n in lengths)
