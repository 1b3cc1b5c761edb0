"""Which wire is this, who answers on it, and do they hold what they must? Asked before any value is believed.

*The wire.* Adapters without a serial number swap their names over a reboot. Where a site has several serial wires, a
unit that stands on this one alone must answer, or no unit that belongs on another wire alone; else the wire is not
believed at all (the bus is down, and says which wire this seems to be). Wires with the same units cannot be told
apart: `check` says so.

*The device.* A model that can be recognised (`know`) is asked who it is at open and after every silence; a stranger's
values are not believed. `setup` is compared at the same moments; a difference is a finding, not a fault: it is written
where the site says `write = true`, and read back.

Sources: Klipper issue 4975 (twins); ARCHITECTURE section 7.
"""

import logging
from collections.abc import Sequence
from typing import Final

from drivers import identity, registers
from drivers.device_file import Setup
from drivers.line import DeviceException, WireError
from drivers.registers import Device
from edge.wire import Wire

log = logging.getLogger(__name__)

ASKED_MAX: Final = 4  # units asked before the wire is taken for what the site says


class Stranger(WireError):
    """Another device answers under this unit number."""


class RollCall:
    """Of one bus. `findings`: what is not as the site says, by unit."""

    def __init__(self, bus: str, line: Wire, devices: Sequence[Device], elsewhere: Sequence[Device]) -> None:
        self.findings: dict[int, str] = {}
        self._bus = bus
        self._line = line
        mine, theirs = {one.unit for one in devices}, {one.unit for one in elsewhere}
        self._only_here = _by_unit([one for one in devices if one.unit not in theirs])
        self._only_there = _by_unit([one for one in elsewhere if one.unit not in mine])
        self._unknown: set[int] = set()
        self._devices = tuple(devices)

    def begin(self) -> None:
        """The port was opened: nobody is known yet."""
        self._unknown = {one.unit for one in self._devices if one.profile.know or one.profile.setup}

    def knows(self, device: Device) -> bool:
        """Whether `admit` has nothing to ask."""
        return device.unit not in self._unknown

    def forget(self, device: Device) -> None:
        """The device was silent: it may be another one now."""
        if device.profile.know or device.profile.setup:
            self._unknown.add(device.unit)

    async def wrong_wire(self) -> str | None:
        """Why this is another wire than the site says. Raises PortError."""
        if not self._only_there:
            return None
        for device in self._only_here[:ASKED_MAX]:
            if await self._answers(device):
                return None
        for device in self._only_there[:ASKED_MAX]:
            if await self._answers(device):
                return f"unit {device.unit} answers, which belongs on bus {device.bus}: are the adapters swapped?"
        return None

    async def admit(self, device: Device) -> None:
        """Before the first question to a device. Raises Stranger, or the errors of the exchange."""
        if device.unit not in self._unknown:
            return
        request = identity.know_request(device)
        if request is not None:
            why = identity.stranger(device, request, await self._line.exchange(request))
            if why is not None:
                self._find(device, why)
                raise Stranger(why)
        differences = [
            text for row in device.profile.setup if (text := await self._compare(device, row)) is not None
        ]
        self._find(device, "; ".join(differences))
        self._unknown.discard(device.unit)

    async def _compare(self, device: Device, row: Setup) -> str | None:
        request = identity.held_request(device, row)
        text = identity.differs(row, request, await self._line.exchange(request))
        may_write = any(sensor.write for sensor in device.sensors) and row.table in identity.WRITE
        if text is None or not may_write:
            return text
        log.warning("setup_written bus=%s unit=%d %s", self._bus, device.unit, text)
        await self._line.exchange(identity.write_request(device, row))
        return identity.differs(row, request, await self._line.exchange(request))

    async def _answers(self, device: Device) -> bool:
        """Whether anybody answers under that unit number; a refusal is an answer."""
        try:
            await self._line.exchange(registers.requests(device)[0])
        except DeviceException:
            return True
        except WireError:
            return False
        return True

    def _find(self, device: Device, text: str) -> None:
        if text and self.findings.get(device.unit) != text:
            log.warning("device_differs bus=%s unit=%d %s", self._bus, device.unit, text)
        if text:
            self.findings[device.unit] = text
        else:
            self.findings.pop(device.unit, None)


def _by_unit(devices: Sequence[Device]) -> list[Device]:
    return list({one.unit: one for one in devices}.values())
