"""Whether a bus can carry what its site asks of it, and how late a fire may be read: arithmetic before anything opens.

*Share.* An exchange costs at least its characters both ways and two silences; the device's own thinking time is not
known before it was asked. So the share is a lower limit: above 1 the site is impossible and is refused, above 0.7 it
will be late whenever a device is slow.

*Worst case* of a life-safety sensor, with every other device on its bus dead: it was asked just before the contact
closed, the longest best-effort question is on the wire, and all other life safety goes before it:

    W = period + max(C of best effort) + sum(C of the other life safety) + C

C is what a question costs that nobody answers: silence, request, reply time-out, the reply's own characters, rest. Each
lost frame adds C + late_ms. On a network there is no wire time; the questions share `in_flight`.

Source: Modbus over Serial Line 1.02, 2.5.1.1 (silence). The limit of 0.7 is our choice; W <= limits.fire_within_s.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from drivers import modbus, registers
from drivers.line import Request
from drivers.registers import Device
from models.problem import Problem
from models.site import Bus, Site
from models.site_alarms import fire_sensors

BUSY_SHARE: Final = 0.7


@dataclass(frozen=True, slots=True)
class Worst:
    """How late a device that watches for fire may be read: `read_s` in the worst case, `lost_s` more a lost frame."""

    bus: str
    unit: int
    sensors: tuple[str, ...]
    places: tuple[str, ...]
    period_s: float
    others_s: float  # one best-effort question, and all other life safety
    own_s: float
    lost_s: float

    @property
    def read_s(self) -> float:
        """The bound."""
        return self.period_s + self.others_s + self.own_s


def share(bus: Bus, devices: Iterable[Device]) -> float:
    """The least part of the wire's time that the polls need: 1.0 = all of it. `period_s = "max"` takes the rest."""
    character_s, silence_s = modbus.char_s(bus.baud, bus.framing), modbus.silence_s(bus.baud, bus.framing)
    total = 0.0
    for device in devices:
        if device.bus != bus.id or device.period_s == "max" or device.profile.uart is not None:
            continue
        for request in registers.requests(device):
            exchange_s = (len(request.tx) + request.expected) * character_s + 2 * silence_s
            total += exchange_s / device.period_s
    return total


def cost_s(bus: Bus, request: Request) -> float:
    """What the question costs the bus when nobody answers."""
    waits_s = (request.timeout_ms + request.rest_ms) / 1e3
    if bus.port.startswith("tcp:"):
        return waits_s / bus.in_flight
    characters_s = (len(request.tx) + request.expected) * modbus.char_s(bus.baud, bus.framing)
    return waits_s + characters_s + modbus.silence_s(bus.baud, bus.framing)


def worst(site: Site, devices: Sequence[Device]) -> tuple[Worst, ...]:
    """The bound of each device that feeds a fire alarm, in the site's order."""
    watching = {sensor for alarm in site.alarm for sensor in fire_sensors(site, alarm)}
    return tuple(
        one
        for bus in site.bus
        for one in _of_bus(bus, [device for device in devices if device.bus == bus.id], watching)
    )


def _of_bus(bus: Bus, devices: Sequence[Device], watching: set[str]) -> Iterable[Worst]:
    life, other = [], [0.0]
    for device in devices:
        costs = [(cost_s(bus, request), request) for request in registers.requests(device)]
        if watching & {sensor.id for sensor in device.sensors}:
            life.append((device, costs))
        else:
            other += [cost for cost, _ in costs]
    life_s = sum(cost for _, costs in life for cost, _ in costs)
    for device, costs in life:
        own_s, slowest = max(costs, key=lambda one: one[0])
        mine = tuple(sensor for sensor in device.sensors if sensor.id in watching)
        yield Worst(
            bus=bus.id,
            unit=device.unit,
            sensors=tuple(sensor.id for sensor in mine),
            places=tuple(dict.fromkeys(sensor.place for sensor in mine)),
            period_s=0.0 if device.period_s == "max" else float(device.period_s),
            others_s=max(other) + life_s - own_s,
            own_s=own_s,
            lost_s=own_s + slowest.late_ms / 1e3,
        )


def problems(site: Site, devices: Sequence[Device]) -> list[Problem]:
    """Buses that cannot carry their polls, those that are nearly full, and fires that would be read too late."""
    found = []
    for bus in site.bus:
        need = share(bus, devices)
        if bus.port.startswith("tcp:") or need <= BUSY_SHARE:
            continue
        what = f"would need at least {100 * need:.0f} % of the wire's time"
        advice = "raise period_s or baud, read several inputs as one module, or move devices to another bus"
        found.append(Problem(f"bus.{bus.id}", what, advice, is_notice=need <= 1.0))
    limit_s = site.limits.fire_within_s
    for one in worst(site, devices):
        if one.read_s > limit_s:
            found.append(_too_late(one, limit_s))
    return found


def _too_late(one: Worst, limit_s: float) -> Problem:
    what = (
        f"may be read {one.read_s:.1f} s late when the other devices of {one.bus} are dead "
        f"(period {one.period_s:g} s + others {one.others_s:.1f} s + its own question {one.own_s:.1f} s), "
        f"more than limits.fire_within_s = {limit_s:g}"
    )
    advice = "shorten its period_s, raise baud, lower reply_ms in [sensor.profile.link], or move devices to another bus"
    return Problem(f"sensor.{one.sensors[0]}", what, advice)
