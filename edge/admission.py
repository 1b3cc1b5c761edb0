"""Whether a bus can carry what its site asks of it: the wire's time, as arithmetic before anything opens.

An exchange costs at least its characters both ways and two silences of 3.5 characters; the device's own thinking
time comes on top and is not known before it was asked. So the share given here is a lower limit: above 1 the site
is impossible and is refused, above 0.7 it will be late whenever a device is slow.

Source: Modbus over Serial Line 1.02, 2.5.1.1: silence 3.5 characters, fixed at 1.75 ms above 19200 baud. The limit
of 0.7 is our choice.
"""

from collections.abc import Iterable
from typing import Final

from drivers import registers
from drivers.registers import Device
from models.problem import Problem
from models.site import Bus

BUSY_SHARE: Final = 0.7
_SILENCE_CHARACTERS: Final = 3.5
_SILENCE_FAST_S: Final = 0.00175
_FAST_BAUD: Final = 19200


def character_s(bus: Bus) -> float:
    """Seconds for one character: start bit, data bits, parity bit if any, stop bits."""
    bits = 1 + int(bus.framing[0]) + (bus.framing[1] != "N") + int(bus.framing[2])
    return bits / bus.baud


def share(bus: Bus, devices: Iterable[Device]) -> float:
    """The least part of the wire's time that the polls need: 1.0 = all of it. `period_s = "max"` takes the rest."""
    silence_s = _SILENCE_FAST_S if bus.baud > _FAST_BAUD else _SILENCE_CHARACTERS * character_s(bus)
    total = 0.0
    for device in devices:
        if device.bus != bus.id or device.period_s == "max":
            continue
        for request in registers.requests(device):
            exchange_s = (len(request.tx) + request.expected) * character_s(bus) + 2 * silence_s
            total += exchange_s / device.period_s
    return total


def problems(buses: Iterable[Bus], devices: tuple[Device, ...]) -> list[Problem]:
    """Buses that cannot carry their polls, and those that are nearly full."""
    found = []
    for bus in buses:
        need = share(bus, devices)
        if bus.port.startswith("tcp:") or need <= BUSY_SHARE:
            continue
        what = f"would need at least {100 * need:.0f} % of the wire's time"
        advice = "raise period_s or baud, read several inputs as one module, or move devices to another bus"
        found.append(Problem(f"bus.{bus.id}", what, advice, is_notice=need <= 1.0))
    return found
