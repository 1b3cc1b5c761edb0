"""The core: one event in (a batch, the time, a fault, a command), what changed out. Synchronous; same in, same out.

    Batch ----> judge ----> evidence --+
    Tick  ----> judge ----> blind -----+--> alarm machine --> incidents --> Output
    Fault (bus, journal) --------------+
    Command (ack, reset, close, ...) --+

Nothing here waits, reads a clock or writes; `edge.service` hands each Output on. Several alarms of one hazard at one
place are one incident; "no data" of the sensors of a dead bus is muted, because the bus is told. Fire is never muted.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from edge.plan import BUS_DOWN_OFF_NS, Plan, bus_down_id, silent_id
from models import alarm as alarms
from models import incident as incidents
from models import orders
from models.alarm import Acked, Alarm, AlarmEvent, AlarmInput, Condition, Mask, Reset, Unknown
from models.evidence import Contribution, Evidence
from models.incident import Incident, IncidentError
from models.judge import Judge, Judgement
from models.reading import BAD, Batch

ALARM_TICK: Final = alarms.Tick()
SHOW_CLOSED_NS: Final = 600_000_000_000  # a closed incident stays on screens for ten minutes


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""

    site_ns: int


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of our own equipment began or ended: `alarm` is its trouble alarm, `why` says what was seen."""

    site_ns: int
    alarm: str
    is_there: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """Somebody acts on an incident. `do` = ack | under_control | reset | close."""

    site_ns: int
    do: str
    incident: str
    by: str
    via: str
    revision: int | None = None
    cause: str = ""


Event = Batch | Tick | Fault | Command


@dataclass(slots=True)
class Output:
    """What one event changed: newest states, each once. `refused` says why a command was not carried out."""

    site_ns: int
    batch: Batch | None = None
    alarms: dict[str, Alarm] = field(default_factory=dict)
    events: list[AlarmEvent] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    refused: str = ""


class Core:
    """Alarms and incidents of one gateway. `new_id()` gives the next incident number."""

    def __init__(
        self,
        plan: Plan,
        judge: Judge,
        *,
        kept_alarms: Mapping[str, Alarm],
        kept_incidents: Iterable[Incident],
        new_id: Callable[[], str],
        close_after_ns: int,
    ) -> None:
        self.plan = plan
        self.judge = judge
        self.alarms = {name: kept_alarms.get(name, Alarm(name)) for name in plan.specs}
        self.incidents = {incident.id: incident for incident in kept_incidents}
        self._new_id = new_id
        self._close_after_ns = close_after_ns
        self._evidence: dict[str, Evidence] = {}  # newest of each alarm since the start
        # Sensors that nothing believable came from since the start: the first believable value says "not silent",
        # and ends a silence that was told before the restart.
        self._unheard = set(plan.sensor_bus)

    def start(self, site_ns: int) -> Output:
        """Close what an older configuration left behind: incidents whose alarm is gone or whose place moved."""
        out = Output(site_ns)
        for incident in list(self.incidents.values()):
            self._keep(incidents.orphaned(incident, self.alarms, self.plan.specs, site_ns), out)
        return out

    def handle(self, event: Event) -> Output:
        """Take one event."""
        match event:
            case Batch():
                return self._judged(self.judge.judge(event), event.site_ns)
            case Tick(site_ns):
                return self._tick(site_ns)
            case Fault():
                return self._fault(event)
            case Command():
                return self._command(event)

    def reason_of(self, alarm: str) -> str:
        """Why an alarm is raised, in the words of its newest evidence."""
        evidence = self._evidence.get(alarm)
        if evidence is None:
            return "since before the restart"
        return ", ".join(one.why for one in evidence.contributions) or "over, watched a little longer"

    def incident_of(self, alarm: str) -> str | None:
        """The open incident that this alarm belongs to."""
        return next((one.id for one in self.incidents.values() if one.is_open and alarm in one.alarms), None)

    def next_deadline_ns(self) -> int | None:
        """Site ns of the next Tick that can change something."""
        times = [self.judge.next_tick_ns()]
        times += [alarms.next_deadline(alarm) for alarm in self.alarms.values()]
        times += [incidents.next_deadline(one, self._close_after_ns) for one in self.incidents.values()]
        return min((at for at in times if at is not None), default=None)

    def _judged(self, judgement: Judgement, site_ns: int) -> Output:
        out = Output(site_ns, batch=judgement.batch)
        for evidence in judgement.evidence:
            given = Condition(evidence.level) if evidence.judged else Unknown()
            self._evidence[evidence.alarm] = evidence
            self._feed(evidence.alarm, given, out)
        for sensor, is_blind in judgement.blind:
            self._silent(sensor, is_blind, out)
        for sensor in self._first_heard(judgement):
            self._silent(sensor, False, out)
        return out

    def _first_heard(self, judgement: Judgement) -> set[str]:
        """Sensors with their first believable value since the start."""
        batch = judgement.batch
        if not self._unheard or batch is None:
            return set()
        believed = batch.channel[(batch.quality & BAD) == 0]
        return self._unheard & {self.plan.channels[i].sensor for i in believed}

    def _silent(self, sensor: str, is_blind: bool, out: Output) -> None:
        self._unheard.discard(sensor)
        self._set_fault(silent_id(sensor), is_blind, "no believable value", out)

    def _fault(self, event: Fault) -> Output:
        out = Output(event.site_ns)
        self._set_fault(event.alarm, event.is_there, event.why, out)
        for sensor, bus in self.plan.sensor_bus.items():
            if bus_down_id(bus) != event.alarm:
                continue
            name = silent_id(sensor)
            if event.is_there:
                self._mask(name, Mask.SUPPRESSED, None, out)
            elif self.alarms[name].mask is Mask.SUPPRESSED:
                self._mask(name, Mask.SUPPRESSED, event.site_ns + BUS_DOWN_OFF_NS, out)
        return out

    def _set_fault(self, name: str, is_there: bool, why: str, out: Output) -> None:
        self._evidence[name] = Evidence(
            name,
            out.site_ns,
            judged=True,
            level=int(is_there),
            contributions=(Contribution(name, 1.0, None, None, out.site_ns, why),) if is_there else (),
        )
        self._feed(name, Condition(int(is_there)), out)

    def _tick(self, site_ns: int) -> Output:
        out = self._judged(self.judge.tick(site_ns), site_ns)
        out.batch = None
        for name, alarm in list(self.alarms.items()):
            due_ns = alarms.next_deadline(alarm)
            if due_ns is not None and due_ns <= site_ns:
                self._feed(name, ALARM_TICK, out)
        for incident in list(self.incidents.values()):
            self._keep(incidents.time(incident, site_ns, self._close_after_ns), out)
            if incident.closed_ns is not None and site_ns - incident.closed_ns > SHOW_CLOSED_NS:
                del self.incidents[incident.id]
        return out

    def _command(self, event: Command) -> Output:
        out = Output(event.site_ns)
        incident = self.incidents.get(event.incident)
        try:
            if incident is None:
                raise IncidentError(f"no incident {event.incident} is open")
            self._order(incident, event, out)
        except IncidentError as error:
            out.refused = str(error)
        return out

    def _order(self, incident: Incident, event: Command, out: Output) -> None:
        """Alarms first where the incident's new revision looks at them (see `models.orders`)."""
        who, now_ns = (event.by, event.via), event.site_ns
        match event.do:
            case "ack" | "under_control":
                new = (
                    orders.ack(incident, *who, event.revision, now_ns)
                    if event.do == "ack"
                    else orders.under_control(incident, *who, now_ns)
                )
                self._keep(new, out)
                if new is not None and incidents.is_acked(new):
                    self._feed_all(incident, Acked(event.by), out)
            case "reset" | "close":
                orders.require_over(incident, self.alarms, event.cause)
                self._feed_all(incident, Reset(event.by), out)
                now = self.incidents[incident.id]
                order = orders.reset if event.do == "reset" else orders.close
                self._keep(order(now, self.alarms, *who, event.cause, now_ns), out)
            case _:
                raise IncidentError(f"cannot {event.do}: ack, under_control, reset or close")

    def _feed_all(self, incident: Incident, given: AlarmInput, out: Output) -> None:
        for name in incident.alarms:
            if name in self.alarms:
                self._feed(name, given, out)

    def _mask(self, name: str, mask: Mask, until_ns: int | None, out: Output) -> None:
        after, events = alarms.mask(self.alarms[name], mask, out.site_ns, until_ns)
        self._changed(name, after, events, out)

    def _feed(self, name: str, given: AlarmInput, out: Output) -> None:
        after, events = alarms.advance(self.alarms[name], self.plan.timing[name], given, out.site_ns)
        self._changed(name, after, events, out)

    def _changed(
        self,
        name: str,
        after: Alarm,
        events: tuple[AlarmEvent, ...],
        out: Output,
    ) -> None:
        before = self.alarms[name]
        self.alarms[name] = after
        if after.revision != before.revision:
            out.alarms[name] = after
        out.events.extend(events)
        spec, incident = self.plan.specs[name], self._open_incident(name)
        new = incidents.follow(
            incident,
            spec,
            self.alarms,
            self.plan.specs,
            self._evidence.get(name),
            out.site_ns,
            self._new_id,
        )
        if new is not None:  # what is told of it are the values of now, not of when its limit was crossed
            new = replace(new, evidence=tuple(map(self.judge.refreshed, new.evidence)))
        self._keep(new, out)
        newest = new or incident
        if newest is not None and (by := orders.answered_by(newest, after)):
            self._feed(name, Acked(by), out)

    def _open_incident(self, name: str) -> Incident | None:
        key = incidents.key_of(self.plan.specs[name])
        for incident in self.incidents.values():
            if incident.key == key and incident.is_open:
                return incident
        return None

    def _keep(self, incident: Incident | None, out: Output) -> None:
        if incident is None:
            return
        self.incidents[incident.id] = incident
        out.incidents = [one for one in out.incidents if one.id != incident.id] + [incident]
