"""A stored batch as line protocol: decoded, with its wall time, and TIME in the quality where that time is a guess."""

from typing import Any

from gateway import columns, lineproto
from gateway.batch import Sealed
from gateway.series import Points, Series
from models.reading import Quality


def lines(batch: Sealed) -> list[str] | None:
    """A batch as line protocol; None when it is damaged. A guessed time is flagged in every quality."""
    if not batch.is_whole:
        return None
    try:
        points = columns.decode(batch.payload)
    except columns.ColumnsError:
        return None
    return lineproto.lines(_flagged(points) if batch.is_guessed else points, batch.offset_ns)


def _flagged(points: Points) -> Points:
    """The points with TIME in the quality of every reading."""

    def row(series: Series, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            v | Quality.TIME if name == "quality" and isinstance(v, int) else v
            for name, v in zip(series.fields, values, strict=True)
        )

    return {
        series: [(site_ns, row(series, values)) for site_ns, values in rows]
        for series, rows in points.items()
    }
