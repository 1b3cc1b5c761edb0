"""Watches the sinks and the spool: what is wrong with them becomes faults, which are alarms like any other.

A sink has one fault at a time (`gateway.outcome.Fault`). The spool grows when more than half of it is in use and a
backlog is older than an hour; it drops when a count of dropped points rose.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from edge import plan
from edge.store import Store
from edge.uplink import Broker
from gateway.forward import Forwarder, Sink
from gateway.outcome import Fault
from models.site import Limits

HOUR_NS: Final = 3_600_000_000_000
MB: Final = 1_000_000


class _Stats(Protocol):
    fault: Fault | None
    reason: str


@dataclass(frozen=True, slots=True)
class SinkState:
    """How one sink stands: its fault in one word, "" when well, and the words for it."""

    id: str
    fault: str
    reason: str


class SinkWatch:
    """`fault(alarm, is_there, why)` is called on changes only."""

    def __init__(
        self,
        sinks: Sequence[Sink],
        forwarders: Sequence[Forwarder],
        store: Store,
        limits: Limits,
        fault: Callable[[str, bool, str], None],
    ) -> None:
        brokers = {sink.id: sink.stats for sink in sinks if isinstance(sink, Broker)}
        self._sources: dict[str, tuple[_Stats, ...]] = {
            one.sink.id: (*((brokers[one.sink.id],) if one.sink.id in brokers else ()), one.stats)
            for one in forwarders
        }
        self._store = store
        self._limit_bytes = limits.spool_mb * MB
        self._fault = fault
        self._told: dict[str, bool] = {}
        self._dropped: int | None = None

    def states(self) -> list[SinkState]:
        """All sinks now."""
        found = []
        for name, sources in self._sources.items():
            bad = next((one for one in sources if one.fault is not None), None)
            found.append(SinkState(name, bad.fault or "" if bad else "", bad.reason if bad else ""))
        return found

    def tick(self) -> None:
        """Tell what changed."""
        for sink in self.states():
            for kind in plan.SINK_TROUBLES:
                self._tell(plan.sink_id(sink.id, kind), sink.fault == kind, sink.reason)
        if not self._sources:
            return
        counts = self._store.stats.counts
        used = self._store.stats.used_bytes
        is_growing = used > self._limit_bytes / 2 and self._store.oldest_pending_ns() > HOUR_NS
        self._tell(plan.GROWING_ID, is_growing, f"{used / MB:.0f} of {self._limit_bytes / MB:.0f} MB")
        dropped = sum(one.dropped for one in counts.values()) + self._store.stats.lost
        has_more = self._dropped is not None and dropped > self._dropped
        self._tell(plan.DROPPING_ID, has_more, f"{dropped} points so far")
        if counts:  # looked at the disk: what was dropped before this start is no news
            self._dropped = dropped

    def _tell(self, alarm: str, is_there: bool, why: str) -> None:
        if self._told.get(alarm) is not is_there:  # also at the start: it may have been told before
            self._told[alarm] = is_there
            self._fault(alarm, is_there, why if is_there else "")
