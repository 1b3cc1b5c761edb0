"""What goes to the ward's platform: live values, retained topics, and history for the spool. Beside telling, never in
its way: nothing here waits, and a server that is away changes nothing for detection.

    Output --> readings --> live message (at once) --> brokers
                       \\-> history rows -- sealed --> store
           --> incidents, alarms --> history rows, retained topics
    tick   --> beats (sensors, places, gateway), sealing
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

from edge.beats import Beats
from edge.config import Config
from edge.core import Core, Output
from edge.history import History
from edge.live import Live
from edge.plan import Plan
from edge.readings import Readings
from edge.topics import Retained, Topics
from gateway.series import Points, Value
from models.incident import Incident
from models.judge import ContactRule

NS_PER_MS: Final = 1_000_000
BEAT_NS: Final = 5_000_000_000  # how late the rows `place`, `sensor` and `gateway` may be


@runtime_checkable
class Broker(Protocol):
    """A sink with topics and a connection of its own (`gateway.mqtt`)."""

    id: str
    stats: Any

    async def run(self) -> None:
        """Keep a connection until cancelled."""

    async def leave(self) -> None:
        """Say offline."""

    def publish_live(self, payload: bytes) -> None:
        """Best effort, at once."""

    def retain(self, topic: str, payload: bytes | None) -> None:
        """Keep the newest; None empties it."""


class Uplink:
    """Feeds brokers and the store. `seal(points, n)` takes a full batch; `gateway_row()` the gateway's own figures."""

    def __init__(
        self,
        config: Config,
        plan: Plan,
        core: Core,
        *,
        brokers: Iterable[Broker],
        wall_offset_ns: Callable[[], int],
        as_json: Callable[[Incident], Mapping[str, Any]],
        gateway_row: Callable[[], Mapping[str, Value]],
        seal: Callable[[Points, int], None],
    ) -> None:
        self._core = core
        self._brokers = tuple(brokers)
        self._offset_ns = wall_offset_ns
        self._as_json = as_json
        self._gateway_row = gateway_row
        self._seal = seal
        self._hears = _alarms_by_sensor(plan)
        self._readings = Readings(plan.channels)
        self.history = History(config.site)
        self.live = Live(self._offset_ns, self._publish)
        self._beats = Beats(config.site)
        self._told: list[tuple[str, int]] | None = None
        self._beat_ns = 0
        self._topics = Topics(self._level, self._wall_ms)
        self._retain(self._topics.incidents(core.incidents.values(), as_json))

    def take(self, output: Output) -> None:
        """Hand on one output of the core."""
        if output.batch is not None:
            for reading in self._readings.of(output.batch):
                self.history.reading(reading)
                if self._brokers:
                    self.live.add(reading)
                    self._topics.reading(reading)
        for event in output.events:
            spec = self._core.plan.specs[event.alarm]
            self.history.alarm(event, spec, self._core.incident_of(event.alarm))
        for incident in output.incidents:
            self.history.incident(incident)
        if self._brokers:
            self._retain(self._topics.incidents(output.incidents, self._as_json))
        if self.history.is_due(output.site_ns):
            self.flush()

    def tick(self, site_ns: int) -> None:
        """What the clock brings."""
        told = [(one.id, one.revision) for one in self._core.incidents.values()]
        if told != self._told or site_ns - self._beat_ns >= BEAT_NS:  # a look at all channels is not cheap
            self._told, self._beat_ns = told, site_ns
            views, incidents = self._core.judge.view(), self._core.incidents.values()
            for measurement, tags, fields in self._beats.due(site_ns, views, incidents, self._gateway_row):
                self.history.row(measurement, tags, site_ns, fields)
        if self._brokers:
            self._retain(self._topics.due(site_ns))
        if self.history.is_due(site_ns):
            self.flush()

    def flush(self) -> None:
        """Seal what is open."""
        points, n = self.history.take()
        if n:
            self._seal(points, n)

    def _publish(self, payload: bytes) -> None:
        for broker in self._brokers:
            broker.publish_live(payload)

    def _retain(self, topics: Iterable[Retained]) -> None:
        for topic, payload in topics:
            for broker in self._brokers:
                broker.retain(topic, payload)

    def _wall_ms(self, site_ns: int) -> int:
        return (site_ns + self._offset_ns()) // NS_PER_MS

    def _level(self, sensor: str) -> int:
        return max((self._core.alarms[alarm].level for alarm in self._hears.get(sensor, ())), default=0)


def _alarms_by_sensor(plan: Plan) -> dict[str, list[str]]:
    """Which alarms hear a sensor."""
    hears: dict[str, list[str]] = {}
    for rule in plan.rules:
        for channel in rule.channels if isinstance(rule, ContactRule) else (rule.channel,):
            hears.setdefault(channel.split("/")[0], []).append(rule.id)
    return hears
