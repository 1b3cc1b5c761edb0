"""The open batch: what was read, judged and told since the last sealing, as rows of line protocol series.

Measurements and fields are those of deploy/docs/contracts.md (Line protocol): `reading`, `alarm`, `incident`, `place`,
`sensor`, `gateway`. Times are site ns; they become wall time when the batch is stamped. Pure: no file, no clock.

Sealed every 10 s, or at 2,000 points: what a power cut may cost, and what memory may hold. When no value came for 3 s
(the wire stands still), what is there is sealed at once: once in five minutes, because each sealing wears the card.
"""

from collections.abc import Mapping
from typing import Final

from edge.readings import Reading
from gateway.series import Points, Row, Series, Value
from models.alarm import AlarmEvent
from models.incident import AlarmSpec, Incident
from models.site import Site

MS: Final = 1_000_000  # no label is finer, and whole milliseconds pack smallest
SEAL_AFTER_NS: Final = 10_000_000_000
SEAL_POINTS_MAX: Final = 2_000
QUIET_NS: Final = 3_000_000_000
EARLY_EVERY_NS: Final = 300_000_000_000


class History:
    """Rows that are not sealed yet."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._ward = (("gateway", site.gateway.id), ("ward", site.ward.id))
        self._readings: dict[tuple[str, tuple[str, ...]], Series] = {}
        self._open: dict[
            tuple[str, tuple[str, ...]], list[Row]
        ] = {}  # hashing a series for each reading costs
        self._points: Points = {}
        self._first_ns: int | None = None
        self._value_ns: int | None = None  # the newest value that is not sealed
        self._early_ns: int | None = None
        self.points_n = 0

    def is_due(self, site_ns: int) -> bool:
        """Whether it should be sealed now."""
        if self._first_ns is None:
            return False
        if site_ns - self._first_ns >= SEAL_AFTER_NS or self.points_n >= SEAL_POINTS_MAX:
            return True
        is_quiet = self._value_ns is not None and site_ns - self._value_ns >= QUIET_NS
        if is_quiet and (self._early_ns is None or site_ns - self._early_ns >= EARLY_EVERY_NS):
            self._early_ns = site_ns
            return True
        return False

    def take(self) -> tuple[Points, int]:
        """All rows and how many; the next batch begins."""
        points, n = self._points, self.points_n
        self._points, self.points_n, self._first_ns, self._value_ns = {}, 0, None, None
        self._open = {}
        return points, n

    def reading(self, one: Reading) -> None:
        """What one sensor said in one reply."""
        key = (one.sensor, one.fields)
        rows = self._open.get(key)
        if rows is None:
            series = self._readings.get(key)
            if series is None:
                tags = {"place": one.place, "sensor": one.sensor}
                series = self._readings[key] = self._series("reading", tags, (*one.fields, "quality"))
            rows = self._open[key] = self._points.setdefault(series, [])
        rows.append((one.site_ns - one.site_ns % MS, (*one.values, one.quality)))
        self._count(one.site_ns)
        if one.values:
            self._value_ns = one.site_ns

    def alarm(self, event: AlarmEvent, spec: AlarmSpec, incident: str | None) -> None:
        """A transition of an alarm."""
        fields = {"state": event.after.value, "level": event.level, "incident": incident}
        self.row(
            "alarm", {"alarm": spec.id, "hazard": spec.hazard.value, "place": spec.place}, event.at_ns, fields
        )

    def incident(self, one: Incident) -> None:
        """A revision of an incident."""
        first = min((ack.at_ns for ack in one.acks), default=None)
        fields: dict[str, Value] = {
            "id": one.id,
            "state": one.state.value,
            "revision": one.revision,
            "priority": one.priority,
            "level": one.level,
            "ack_s": None if first is None else round((first - one.opened_ns) / 1e9, 1),
            "drill": one.drill,
        }
        self.row("incident", {"hazard": one.hazard.value, "place": one.place}, one.changed_ns, fields)

    def row(
        self, measurement: str, tags: Mapping[str, str], site_ns: int, fields: Mapping[str, Value]
    ) -> None:
        """Any other row: `place`, `sensor`, `gateway`."""
        self._add(self._series(measurement, tags, tuple(fields)), site_ns, tuple(fields.values()))

    def _series(self, measurement: str, tags: Mapping[str, str], fields: tuple[str, ...]) -> Series:
        return Series(measurement, tuple(sorted((*self._ward, *tags.items()))), fields)

    def _add(self, series: Series, site_ns: int, values: tuple[Value, ...]) -> None:
        self._points.setdefault(series, []).append((site_ns - site_ns % MS, values))
        self._count(site_ns)

    def _count(self, site_ns: int) -> None:
        self.points_n += 1
        if self._first_ns is None:
            self._first_ns = site_ns
