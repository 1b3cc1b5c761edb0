"""Rows that come by the clock: how each sensor and place stands (10 min, places on change), the gateway (60 s).

Elapsed site time counts, so a clock that steps makes neither a burst nor a gap.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.series import Value
from models.incident import Incident, IncidentState
from models.judge import ChannelView
from models.reading import Hazard
from models.site import Site

S: Final = 1_000_000_000
SLOW_NS: Final = 600 * S
GATEWAY_NS: Final = 60 * S
_OVER: Final = (IncidentState.CLEARED, IncidentState.CLOSED)
# Worst first: what a place or a sensor is called when several things are true.
SENSOR_STATES: Final = ("blind", "stale", "not_judged", "ok")

Beat = tuple[str, dict[str, str], dict[str, Value]]  # measurement, tags, fields


@dataclass(slots=True)
class Beats:
    """Remembers when each was told, and what places were told to be."""

    site: Site
    _slow_ns: int | None = None
    _gateway_ns: int | None = None
    _places: dict[str, tuple[str, int]] = field(default_factory=dict)

    def due(
        self,
        site_ns: int,
        views: Iterable[ChannelView],
        incidents: Iterable[Incident],
        gateway_row: Callable[[], Mapping[str, Value]],
    ) -> Iterator[Beat]:
        """The rows to tell now."""
        is_slow = _is_due(self._slow_ns, site_ns, SLOW_NS)
        views = tuple(views)
        for place, (state, level) in _places(self.site, views, incidents).items():
            if is_slow or self._places.get(place) != (state, level):
                yield self._place(place, state, level)
            self._places[place] = (state, level)
        if is_slow:
            self._slow_ns = site_ns
            yield from self._sensors(views, site_ns)
        if _is_due(self._gateway_ns, site_ns, GATEWAY_NS):
            self._gateway_ns = site_ns
            yield "gateway", {}, dict(gateway_row())

    def _place(self, id: str, state: str, level: int) -> Beat:
        place = next(one for one in self.site.place if one.id == id)
        fields: dict[str, Value] = {"lat": place.lat, "lon": place.lon, "name": place.name}
        return "place", {"place": id}, fields | {"state": state, "level": level}

    def _sensors(self, views: tuple[ChannelView, ...], site_ns: int) -> Iterator[Beat]:
        places = {sensor.id: sensor.place for sensor in self.site.sensor}
        for sensor, mine in _by_sensor(views).items():
            seen = max((view.good_at_ns for view in mine if view.good_at_ns is not None), default=None)
            age_s = None if seen is None else round((site_ns - seen) / S, 1)
            tags = {"place": places[sensor], "sensor": sensor}
            yield "sensor", tags, {"age_s": age_s, "state": sensor_state(mine)}


def sensor_state(views: Iterable[ChannelView]) -> str:
    """The worst word that is true of a sensor's channels: blind, stale, not_judged, ok."""
    words = {
        "blind" if v.is_blind else "stale" if v.is_stale else "ok" if v.judged else "not_judged"
        for v in views
    }
    return next(word for word in SENSOR_STATES if word in words)


def _is_due(told_ns: int | None, site_ns: int, every_ns: int) -> bool:
    return told_ns is None or site_ns - told_ns >= every_ns


def _by_sensor(views: tuple[ChannelView, ...]) -> dict[str, list[ChannelView]]:
    found: dict[str, list[ChannelView]] = {}
    for view in views:
        found.setdefault(view.name.split("/")[0], []).append(view)
    return found


def _places(
    site: Site, views: tuple[ChannelView, ...], incidents: Iterable[Incident]
) -> dict[str, tuple[str, int]]:
    """(state, level) of each place: alarm, pre_alarm, trouble, not_judged (nobody can say) or ok."""
    by_sensor = _by_sensor(views)
    found: dict[str, tuple[str, int]] = {}
    open_here: dict[str, list[Incident]] = {}
    for one in incidents:
        if one.state not in _OVER:
            open_here.setdefault(one.place, []).append(one)
    for place in site.place:
        here = open_here.get(place.id, [])
        hazards = [one for one in here if one.hazard is not Hazard.TROUBLE]
        states = {
            sensor_state(by_sensor[s.id]) for s in site.sensor if s.place == place.id and s.id in by_sensor
        }
        if hazards:
            is_pre = all(one.state is IncidentState.PRE_ALARM for one in hazards)
            found[place.id] = ("pre_alarm" if is_pre else "alarm", max(one.level for one in hazards))
        elif here or states & {"blind", "stale"}:
            found[place.id] = ("trouble", 0)
        else:
            found[place.id] = ("ok" if states == {"ok"} else "not_judged", 0)
    return found
