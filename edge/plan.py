"""What a checked configuration means for the core: channels and rules for the judge, alarms and their timing.

Nothing here runs; it only says what belongs to what. A fire channel that says nothing believable for max(30 s,
3 periods), at most 100 s, is blind, others after 10 minutes. Every bus and every sensor gets its trouble alarm.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from drivers import registers
from drivers.registers import Device
from edge.config import Config
from models.alarm import AlarmRule
from models.incident import AlarmSpec
from models.judge import Channel, ContactRule, ThresholdRule
from models.reading import CERTIFIED_KINDS, CONTACTS, FIRE_CONTACTS, KINDS, Hazard
from models.site import Alarm, Sensor, Site
from models.site_alarms import places_within

S: Final = 1_000_000_000
FIRE_WINDOW_NS: Final = 120 * S
BLIND_OTHER_S: Final = 600.0
MAX_PERIOD_S: Final = 2.0  # what `period_s = "max"` counts as, where a period is needed to call a value stale
BUS_DOWN_ON_NS: Final = 3 * S  # a re-plugged adapter is no fault yet (our choice)
# Its sensors answer again before "no data" of theirs may be told (our choice).
BUS_DOWN_OFF_NS: Final = 10 * S


@dataclass(frozen=True, slots=True)
class Plan:
    """What the core judges and alarms. `sensor_bus` mutes "no data" of a dead bus."""

    channels: tuple[Channel, ...]
    rules: tuple[ThresholdRule | ContactRule, ...]
    specs: dict[str, AlarmSpec]
    timing: dict[str, AlarmRule]
    sensor_bus: dict[str, str]
    life_safety: frozenset[str]
    trouble_place: str


def silent_id(sensor: str) -> str:
    """The trouble alarm "this sensor says nothing believable"."""
    return f"trouble/{sensor}/silent"


def bus_down_id(bus: str) -> str:
    """The trouble alarm "this bus is down"."""
    return f"trouble/{bus}/bus_down"


def sink_id(sink: str, kind: str) -> str:
    """The trouble alarm of a sink; `kind` = one of SINK_TROUBLES."""
    return f"trouble/{sink}/{kind}"


JOURNAL_ID: Final = "trouble/journal/unwritable"
SPOOL_ID: Final = "trouble/spool/unwritable"
GROWING_ID: Final = "trouble/spool/growing"
DROPPING_ID: Final = "trouble/spool/dropping"
CLOCK_ID: Final = "trouble/clock/unsynced"
# How long a server may be away, refuse, or be another one before people are told (our choice): an outage fills the
# spool and heals by itself, a refusal needs a person.
SINK_TROUBLES: Final = {"away": 600 * S, "refusing": 60 * S, "foreign": 60 * S, "taken_over": 10 * S}
SINK_OFF_NS: Final = 60 * S
CLOCK_ON_NS: Final = 600 * S
DROPPING_OFF_NS: Final = 600 * S


def plan(config: Config) -> Plan:
    """What the core needs, from a checked configuration."""
    site = config.site
    fire_channels = {alarm.id: _fire_channels(site, alarm, config.devices) for alarm in site.alarm}
    life_safety = frozenset(name.split("/")[0] for names in fire_channels.values() for name in names)
    channels = tuple(
        channel
        for device in config.devices
        for request in registers.requests(device)
        for name in request.channels
        for channel in _channels(device, name, life_safety)
    )
    rules = tuple(_rule(site, alarm, fire_channels[alarm.id]) for alarm in site.alarm)
    specs = {alarm.id: _spec(site, alarm, life_safety) for alarm in site.alarm}
    timing = {alarm.id: _timing(alarm) for alarm in site.alarm}
    sensors = {sensor.id: sensor for device in config.devices for sensor in device.sensors}
    for rule, place, is_life in (*_south(sensors.values(), life_safety, site), *_north(site)):
        specs[rule.id] = AlarmSpec(rule.id, Hazard.TROUBLE, place, None, is_life)
        timing[rule.id] = rule
    return Plan(
        channels,
        rules,
        specs,
        timing,
        {sensor.id: sensor.bus or "" for sensor in sensors.values()},
        life_safety,
        site.gateway.place,
    )


_Trouble = tuple[AlarmRule, str, bool]  # its timing, its place, whether life safety hangs on it


def _south(sensors: Iterable[Sensor], life_safety: frozenset[str], site: Site) -> Iterator[_Trouble]:
    """Every bus may be down, every sensor silent."""
    buses: dict[str, bool] = {}
    for sensor in sensors:
        is_life = sensor.id in life_safety
        bus = sensor.bus or ""
        buses[bus] = buses.get(bus, False) or is_life
        yield AlarmRule(silent_id(sensor.id)), sensor.place, is_life
    for bus, is_life in buses.items():
        yield AlarmRule(bus_down_id(bus), BUS_DOWN_ON_NS, BUS_DOWN_OFF_NS), site.gateway.place, is_life


def _north(site: Site) -> Iterator[_Trouble]:
    """The journal, the spool, the clock and every sink."""
    here = site.gateway.place
    yield AlarmRule(JOURNAL_ID), here, True
    yield AlarmRule(SPOOL_ID), here, False
    yield AlarmRule(CLOCK_ID, CLOCK_ON_NS), here, False
    if site.sink:
        yield AlarmRule(GROWING_ID), here, False
        yield AlarmRule(DROPPING_ID, 0, DROPPING_OFF_NS), here, False
    for sink in site.sink:
        for kind, on_ns in SINK_TROUBLES.items():
            yield AlarmRule(sink_id(sink.id, kind), on_ns, SINK_OFF_NS), here, False


def _channels(device: Device, name: str, life_safety: frozenset[str]) -> tuple[Channel, ...]:
    sensor_id, kind = name.split("/")
    sensor = next(s for s in device.sensors if s.id == sensor_id)
    period_s = MAX_PERIOD_S if device.period_s == "max" else float(device.period_s)
    is_life = sensor_id in life_safety
    blind_s = min(max(30.0, 3 * period_s), 100.0) if is_life else max(BLIND_OTHER_S, 3 * period_s)

    def channel(kind: str, source: str | None) -> Channel:
        return Channel(
            name=f"{sensor_id}/{kind}",
            sensor=sensor_id,
            kind=kind,
            place=sensor.place,
            period_ns=round(period_s * S),
            blind_ns=round(blind_s * S),
            warmup_ns=round(device.profile.link.warmup_s * S),
            low=KINDS[kind].low,
            high=KINDS[kind].high,
            source=source,
            mount_height_m=sensor.mount_height_m if source else None,
        )

    measured = channel(kind, None)
    if kind == "distance_m" and sensor.mount_height_m is not None:
        return measured, channel("depth_m", name)
    return (measured,)


def _fire_channels(site: Site, alarm: Alarm, devices: tuple[Device, ...]) -> tuple[str, ...]:
    """The fire contacts of the alarm's place and of the places in it."""
    if alarm.hazard is not Hazard.FIRE or alarm.place is None:
        return (alarm.channel,) if alarm.hazard is Hazard.FIRE and alarm.channel else ()
    inside = places_within(alarm.place, {place.id: place.inside for place in site.place})
    return tuple(
        name
        for device in devices
        for request in registers.requests(device)
        for name in request.channels
        if name.split("/")[1] in FIRE_CONTACTS
        and next(s for s in device.sensors if s.id == name.split("/")[0]).place in inside
    )


def _rule(site: Site, alarm: Alarm, fire: tuple[str, ...]) -> ThresholdRule | ContactRule:
    if alarm.place is not None:
        sensors: dict[str, Sensor] = {sensor.id: sensor for sensor in site.sensor}
        certified = tuple(
            name.split("/")[1] in CERTIFIED_KINDS or sensors[name.split("/")[0]].certified for name in fire
        )
        return ContactRule(alarm.id, fire, certified, FIRE_WINDOW_NS)
    assert alarm.channel is not None  # models.site: an alarm has a channel or a place
    return ThresholdRule(
        alarm.id,
        alarm.hazard,
        alarm.channel,
        alarm.levels or ((1.0,) if alarm.channel.split("/")[1] in CONTACTS else ()),
        alarm.direction == "above",
        alarm.deadband,
    )


def _spec(site: Site, alarm: Alarm, life_safety: frozenset[str]) -> AlarmSpec:
    place = alarm.place
    if place is None:
        sensors = {sensor.id: sensor for sensor in site.sensor}
        assert alarm.channel is not None  # as above
        place = sensors[alarm.channel.split("/")[0]].place
    return AlarmSpec(alarm.id, alarm.hazard, place, alarm.priority, alarm.hazard is Hazard.FIRE)


def _timing(alarm: Alarm) -> AlarmRule:
    latch = alarm.latch if alarm.latch is not None else alarm.hazard is Hazard.FIRE
    return AlarmRule(alarm.id, round(alarm.on_s * S), round(alarm.off_s * S), latch)
