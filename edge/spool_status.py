"""What the spool says of itself: for `wardwatch spool`, the snapshot and the metrics, from the agent or a file."""

from dataclasses import dataclass, field
from typing import Any, Final

from gateway.batch import SinkCounts
from gateway.spool import Spool

S: Final = 1_000_000_000
MB: Final = 1_000_000


@dataclass(slots=True)
class StoreStats:
    """Plain counters. `lost`: points that never reached the disk; `counts` as of the last look (each minute)."""

    batches: int = 0
    points: int = 0
    lost: int = 0
    failures: int = 0
    used_bytes: int = 0
    counts: dict[str, SinkCounts] = field(default_factory=dict)
    dead: dict[str, dict[str, int]] = field(default_factory=dict)
    damaged: str | None = None
    gone: dict[str, int] = field(default_factory=dict)


def look(spool: Spool, stats: StoreStats) -> None:
    """Read what is on the disk into `stats`. Raises SpoolError."""
    stats.used_bytes = spool.used_bytes()
    stats.counts = spool.counts()
    stats.dead = spool.dead_reasons()


def status(stats: StoreStats, site_ns: int) -> dict[str, Any]:
    """What there is, how old, per sink, and what was refused with which words."""
    return {
        "v": 1,
        "used_mb": round(stats.used_bytes / MB, 2),
        "lost_points": stats.lost,
        "damaged": stats.damaged,
        "sinks": [
            {
                "id": name,
                "produced": one.produced,
                "delivered": one.delivered,
                "rejected": one.rejected,
                "dropped": one.dropped,
                "pending": one.pending,
                "pending_batches": one.batches,
                "oldest_s": None if one.oldest_ns is None else round((site_ns - one.oldest_ns) / S, 1),
                "dead": stats.dead.get(name, {}),
            }
            for name, one in sorted(stats.counts.items())
        ],
    }
