"""The spool: sealing ten minutes of a small ward, against gzipped line protocol appended to a file."""

import gzip
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edge.bench.row import RUNS, Row, each_us
from gateway import columns, lineproto
from gateway.series import Points, Series
from gateway.spool_file import open_spool

_S = 1_000_000_000
_DEVICES, _SECONDS = 64, 10


def rows() -> Iterator[Row]:
    """Microseconds and bytes for a value."""
    points = _points(random.Random(1))
    n = sum(len(rows) * (len(series.fields) - 1) for series, rows in points.items())
    with tempfile.TemporaryDirectory(prefix="wardwatch-bench-") as folder:
        spool = open_spool(Path(folder) / "spool.db", None).spool
        spool.use_sinks({"ward": "now"})

        def ours() -> None:
            blob = columns.encode(points)
            spool.seal(blob, columns.CODEC, 640, boot="b", site_ns=0, guess_ns=0, is_synced=True)

        def bare() -> None:
            with (Path(folder) / "log").open("ab") as log:
                log.write(gzip.compress("\n".join(lineproto.lines(points, 0)).encode(), 1))

        cost, base = each_us(ours, 5) / n, each_us(bare, 5) / n
        spool.close()
    size = len(columns.encode(points)) / n
    lines = len(gzip.compress("\n".join(lineproto.lines(points, 0)).encode(), 1)) / n
    yield Row("spool, encode and seal", cost, "us a value", base, "gzipped lines in a log", RUNS)
    yield Row("spool, size", size, "bytes a value", lines, "gzipped lines in a log", 1)


def _points(rng: random.Random) -> Points:
    """Ten seconds of 64 devices of eight values that wander in steps of their resolution."""
    found: Points = {}
    for device in range(_DEVICES):
        series = Series("reading", (("sensor", f"s-{device}"),), (*(f"raw_{i}" for i in range(8)), "quality"))
        now = [rng.randrange(100, 900) for _ in range(8)]
        for second in range(_SECONDS):
            now = [value + rng.choice((-1, 0, 0, 1)) for value in now]
            found.setdefault(series, []).append((second * _S, (*(value / 10 for value in now), 0)))
    return found
