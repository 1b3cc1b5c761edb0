"""The figures of /metrics, read from plain counters at scrape. No measured value, no name of a place or person.

Names start with `wardwatch_`, base units; counters are given without `_total`, the exposition adds it.
"""

from collections.abc import Iterable, Mapping

from edge.clock import Clock
from edge.core import Core
from edge.dispatch import Dispatch
from edge.plan import Plan
from edge.poller import Poller
from edge.recorder import Recorder
from edge.spool_status import StoreStats
from edge.web import Figure
from models.alarm import is_raised
from models.reading import Hazard

EXCHANGE_ENDS = ("exchanges", "timeouts", "crc_errors", "bad_replies", "late_replies", "exceptions")
SEND_ENDS = ("accepted", "failed", "retries")


def of_buses(pollers: Iterable[Poller], load: Mapping[str, float]) -> tuple[Figure, ...]:
    """What happens on the wires. `load`: share of each wire's time in use."""
    stats = [(poller.bus.id, poller.stats) for poller in pollers]
    events = [((bus, what), float(getattr(one, what))) for bus, one in stats for what in EXCHANGE_ENDS]
    ups = [((poller.bus.id,), float(poller.state.is_up is True)) for poller in pollers]
    loads = [((bus,), share) for bus, share in load.items()]
    return (
        _counter("bus_events", "Exchanges on the wire and how they ended.", ("bus", "what"), events),
        _gauge("bus_up", "1 = devices on this bus answer.", ("bus",), ups),
        _gauge("bus_load_ratio", "Share of the wire's time in use.", ("bus",), loads),
    )


def of_alarms(plan: Plan, core: Core) -> tuple[Figure, ...]:
    """What is raised and open."""
    raised = [plan.specs[alarm.id].hazard for alarm in core.alarms.values() if is_raised(alarm)]
    by_hazard = [((hazard.value,), float(raised.count(hazard))) for hazard in Hazard]
    is_open = float(sum(one.is_open for one in core.incidents.values()))
    return (
        _gauge("alarms_raised", "Alarms raised now.", ("hazard",), by_hazard),
        _gauge("incidents_open", "Open incidents.", (), [((), is_open)]),
    )


def of_telling(dispatch: Dispatch, recorder: Recorder) -> tuple[Figure, ...]:
    """How people were told, and what the journal kept."""
    rows = dispatch.notifier_rows()
    sends = [((row["id"], what), float(row[what])) for row in rows for what in SEND_ENDS]
    pending = [((row["id"],), float(row["pending"])) for row in rows]
    undurable = float(dispatch.undurable_n)
    commits = [(("done",), float(recorder.commits_n)), (("failed",), float(recorder.failures_n))]
    return (
        _counter("pushes", "Sends to a notifier and how they ended.", ("notifier", "what"), sends),
        _gauge("pushes_pending", "Sends that no receiver has accepted yet.", ("notifier",), pending),
        _counter("pushes_undurable", "Pushes that left before their row was durable.", (), [((), undurable)]),
        _counter("journal_commits", "Commits of the journal.", ("what",), commits),
    )


def of_store(stats: StoreStats) -> tuple[Figure, ...]:
    """What was produced, and what became of it at each sink; as of the spool's last look."""
    ends = [
        ((sink, what), float(getattr(one, what)))
        for sink, one in stats.counts.items()
        for what in ("delivered", "rejected", "dropped")
    ]
    pending = [((sink,), float(one.pending)) for sink, one in stats.counts.items()]
    return (
        _counter("points_produced", "Points sealed since the start.", (), [((), float(stats.points))]),
        _counter("points_lost", "Points that never reached the disk.", (), [((), float(stats.lost))]),
        _counter("points", "What became of points at a sink.", ("sink", "what"), ends),
        _gauge("points_pending", "Points that a sink still has to get.", ("sink",), pending),
        _gauge("spool_bytes", "Bytes of the spool in use.", (), [((), float(stats.used_bytes))]),
    )


def of_clock(clock: Clock) -> Figure:
    """Whether wall times can be believed."""
    synced = float(clock.wall().synced)
    return _gauge("clock_synced", "1 = the kernel calls the clock synchronised.", (), [((), synced)])


_Rows = Iterable[tuple[tuple[str, ...], float]]


def _counter(name: str, help: str, labels: tuple[str, ...], rows: _Rows) -> Figure:
    return Figure(f"wardwatch_{name}", help, "counter", labels, tuple(rows))


def _gauge(name: str, help: str, labels: tuple[str, ...], rows: _Rows) -> Figure:
    return Figure(f"wardwatch_{name}", help, "gauge", labels, tuple(rows))
