"""What the agent says of itself: the snapshot for views, /health, and the figures for /metrics.

All three read the same plain objects and change nothing. "Not judged" is never "fine": a channel that was never
believed is `not_judged`, and a gateway whose life-safety sensors can all not be believed is `blind`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge import figures
from edge.clock import Clock
from edge.config import Config
from edge.core import Core
from edge.dispatch import Dispatch
from edge.plan import Plan
from edge.poller import Poller
from edge.recorder import Recorder
from edge.sink_watch import SinkState, SinkWatch
from edge.store import Store
from edge.web import Figure
from models.alarm import is_raised
from models.judge import ChannelView
from models.reading import KINDS, Hazard, Quality, flag_names, quality_class

S: Final = 1_000_000_000
LOAD_OVER_S: Final = 10.0


@dataclass(slots=True)
class _Load:
    """Share of the wire's time in use, over the last ten seconds or so."""

    at_ns: int
    busy_s: float = 0.0
    share: float = 0.0


class Status:
    """Reads all parts. `notes` are lasting remarks of the start (a port that is taken)."""

    def __init__(
        self,
        config: Config,
        plan: Plan,
        clock: Clock,
        core: Core,
        pollers: Sequence[Poller],
        dispatch: Dispatch,
        recorder: Recorder,
        store: Store,
        watch: SinkWatch,
    ) -> None:
        self.notes: list[str] = []
        self._config = config
        self._plan = plan
        self._clock = clock
        self._core = core
        self._pollers = pollers
        self._dispatch = dispatch
        self._recorder = recorder
        self._store = store
        self._watch = watch
        self._started_ns = clock.site_ns()
        self._places = {channel.name: channel.place for channel in plan.channels}
        self._loads = {poller.bus.id: _Load(self._started_ns) for poller in pollers}

    def tick(self) -> None:
        """Measure the buses' load; call it about once a second."""
        now_ns = self._clock.site_ns()
        for poller in self._pollers:
            load = self._loads[poller.bus.id]
            over_s = (now_ns - load.at_ns) / S
            busy_s = poller.stats.busy_s
            if over_s >= LOAD_OVER_S or (load.at_ns == self._started_ns and over_s > 0):
                load.share = max(0.0, busy_s - load.busy_s) / over_s
            if over_s >= LOAD_OVER_S:
                load.at_ns, load.busy_s = now_ns, busy_s

    def loads(self) -> dict[str, float]:
        """Share of each wire's time in use."""
        return {name: load.share for name, load in self._loads.items()}

    def snapshot(self) -> dict[str, Any]:
        """All that a view may show (deploy/docs/contracts.md, control socket)."""
        site, now_ns = self._config.site, self._clock.site_ns()
        wall = self._clock.wall()
        health = self.health()
        return {
            "v": 1,
            "ward": site.ward.id,
            "ward_name": site.ward.name,
            "gateway": site.gateway.id,
            "pid": os.getpid(),
            "boot": self._clock.boot[:4],
            "uptime_s": round((now_ns - self._started_ns) / S, 1),
            "wall": self._dispatch.wall_text(wall.ns),
            "clock": "synced" if wall.synced else "guessed",
            "state": health["state"],
            "reasons": health["reasons"],
            "places": [{"id": place.id, "name": place.name} for place in site.place],
            "channels": [self._channel(view, now_ns) for view in self._core.judge.view()],
            "alarms": self._alarms(now_ns),
            "incidents": [self._dispatch.as_json(one) for one in self._core.incidents.values()],
            "buses": [self._bus(poller) for poller in self._pollers],
            "sinks": [self._sink(one) for one in self._watch.states()],
            "notifiers": self._dispatch.notifier_rows(),
            "deliveries": self._dispatch.delivery_rows(),
            "events": list(self._dispatch.events),
        }

    def health(self) -> dict[str, Any]:
        """State and reasons: `blind` when no life-safety sensor (or no sensor at all) can be believed."""
        reasons = [
            f"{alarm.id}: {self._core.reason_of(alarm.id)}"
            for alarm in self._core.alarms.values()
            if self._plan.specs[alarm.id].hazard is Hazard.TROUBLE and is_raised(alarm)
        ]
        reasons += [
            f"bus {poller.bus.id}: {text}"
            for poller in self._pollers
            for text in poller.roll_call.findings.values()
        ]
        reasons += self.notes
        if self._recorder.damaged:
            reasons.append(f"incidents.db was damaged: {self._recorder.damaged}")
        if self._store.stats.damaged:
            reasons.append(f"spool.db was damaged: {self._store.stats.damaged}")
        reasons += [
            f"notifier {row['id']}: {row['reason']}"
            for row in self._dispatch.notifier_rows()
            if row["reason"]
        ]
        views = self._core.judge.view()
        life = [view for view in views if view.name.split("/")[0] in self._plan.life_safety]
        watched = life or views
        believed = [view for view in watched if view.value is not None and not view.is_stale]
        if watched and not believed:
            what = "life-safety sensor" if life else "sensor"
            return {"state": "blind", "reasons": [f"no {what} can be believed now", *reasons]}
        waiting = sum(view.value is None for view in watched)
        if waiting:
            reasons.append(f"{waiting} channels were never believed since the start: not judged")
        return {"state": "degraded" if reasons else "ok", "reasons": reasons}

    def figures(self) -> Sequence[Figure]:
        """What /metrics shows."""
        return (
            *figures.of_buses(self._pollers, self.loads()),
            *figures.of_alarms(self._plan, self._core),
            *figures.of_telling(self._dispatch, self._recorder),
            *figures.of_store(self._store.stats),
            figures.of_clock(self._clock),
        )

    def _channel(self, view: ChannelView, now_ns: int) -> dict[str, Any]:
        sensor, kind = view.name.split("/")
        flags = view.quality
        bound = "at_least" if flags & Quality.BOUND_HIGH else "at_most" if flags & Quality.BOUND_LOW else None
        if view.is_blind:
            state = "blind"
        elif view.is_stale and view.value is not None:
            state = "stale"
        else:
            state = "judged" if view.judged else "not_judged"
        return {
            "channel": view.name,
            "sensor": sensor,
            "kind": kind,
            "place": self._places[view.name],
            "value": view.value,
            "unit": KINDS[kind].unit,
            "age_s": None if view.good_at_ns is None else round((now_ns - view.good_at_ns) / S, 1),
            "class": "none" if view.seen_at_ns is None else quality_class(flags).value,
            "flags": flag_names(flags),
            "state": state,
            "bound": bound,
        }

    def _alarms(self, now_ns: int) -> list[dict[str, Any]]:
        return [
            {
                "id": alarm.id,
                "hazard": self._plan.specs[alarm.id].hazard.value,
                "place": self._plan.specs[alarm.id].place,
                "state": alarm.state.value,
                "mask": alarm.mask.value,
                "level": alarm.level,
                "judged": alarm.judged,
                "since_s": round((now_ns - alarm.since_ns) / S, 1),
                "acked_by": alarm.acked_by,
            }
            for alarm in self._core.alarms.values()
        ]

    def _sink(self, sink: SinkState) -> dict[str, Any]:
        kinds = {one.id: one.kind for one in self._config.site.sink}
        counts = self._store.stats.counts.get(sink.id)
        return {
            "id": sink.id,
            "kind": kinds.get(sink.id, ""),
            "fault": sink.fault,
            "reason": sink.reason,
            "delivered": counts.delivered if counts else 0,
            "pending": counts.pending if counts else 0,
        }

    def _bus(self, poller: Poller) -> dict[str, Any]:
        stats = poller.stats
        return {
            "id": poller.bus.id,
            "port": poller.bus.port,
            "up": poller.state.is_up is True,
            "load": round(self._loads[poller.bus.id].share, 3),
            "exchanges": stats.exchanges,
            "timeouts": stats.timeouts,
            "late": stats.late_replies,
            "errors": stats.crc_errors + stats.bad_replies + stats.exceptions,
            "reason": poller.state.reason,
        }
