"""What history is made of: series and their rows, as plain records without I/O.

A *point* is one row with at least one value left = one line of line protocol. A value that is None or NaN is
left out of its line: missing is never zero. Rows carry site time; whole milliseconds pack smallest, and no
label is finer than that.
"""

from dataclasses import dataclass

Value = float | int | bool | str | None
Row = tuple[int, tuple[Value, ...]]  # site time ns, one value for each field of the series


@dataclass(frozen=True, slots=True)
class Series:
    """What repeats from line to line. `tags` sorted by key, without empty values; `fields` in their order."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    fields: tuple[str, ...]


Points = dict[Series, list[Row]]


def n_points(points: Points) -> int:
    """How many rows have a value left.

    >>> s = Series("reading", (("sensor", "a"),), ("depth_m", "co_ppm"))
    >>> n_points({s: [(0, (0.2, None)), (5, (float("nan"), None))]})
    1
    """
    return sum(any(v is not None and v == v for v in row) for rows in points.values() for _, row in rows)
