"""Virtual devices on a virtual wire: real bytes at the moments when a real wire would carry them.

    request: its characters from the first byte's arrival | silence | turnaround | reply: its characters
                                                                                  handed over with the last ^

A pty or a port in memory moves bytes at once whatever the baud rate, so `VirtualBus` keeps the time from the
bus's baud and framing. It only uses the loop's timers: the same engine serves a pty (`drivers.pty`) and,
through `MemoryPort`, a loop in virtual time.

What it demands of the one who asks, judged from the arrival of bytes:
- A frame that starts less than 3.5 characters (1.75 ms above 19,200 baud) after the end of the previous one,
  whoever sent it, came early: it is counted and not answered. More bytes within that time after a whole
  request make both one broken frame.
- A frame that starts while a reply is prepared or on the wire is a collision: counted, not answered. A reply
  still comes whole, because that is the harder case for the one who asked: it answers nothing.

Faults (`drivers.faults`) are those of the bus and of any sensor of the unit that is asked.

Limits: one master; a device answers what `drivers.registers.answer` answers; replies never overlap, a second
one waits for the first. Randomness is a passed generator.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from drivers.faults import pieces, spoil
from drivers.modbus import FRAME_BYTES_MAX, char_s, has_valid_crc, silence_s
from drivers.plug import Plug
from drivers.port import PortError
from drivers.registers import Device, answer
from drivers.stage import Stage
from drivers.virtual_events import BusStats, Event, count, told_channels
from drivers.virtual_uart import VirtualSensor
from models.reading import CONTACTS
from models.site import Bus

# Our choice: quick devices. The silence before a reply comes on top of it.
TURNAROUND_S: Final = 0.001
# What is exactly on time must not look early because of the last digit of a float.
_TOLERANCE_S: Final = 1e-6


@dataclass(frozen=True, slots=True)
class _Reply:
    unit: int
    plain: bytes
    data: bytes  # what the faults leave of `plain`
    faults: frozenset[str]
    contacts: dict[str, float]


class VirtualBus:
    """The devices of one bus on one wire. Needs a running loop from `attach` on; not thread-safe."""

    def __init__(
        self,
        bus: Bus,
        devices: Iterable[Device],
        stage: Stage,
        rng: random.Random,
        observe: Callable[[Event], None] = lambda _event: None,
        turnaround_s: float = TURNAROUND_S,
    ) -> None:
        self.id = bus.id
        self.stats = BusStats()
        self.char_s = char_s(bus.baud, bus.framing)
        self.silence_s = silence_s(bus.baud, bus.framing)
        self._turnaround_s = turnaround_s
        self._devices = {device.unit: device for device in devices if device.bus == bus.id}
        self._stage = stage
        self._rng = rng
        self._observe = observe
        self._deliver: Callable[[bytes], None] | None = None
        self._plugged: Callable[[bool], None] = lambda _is_plugged: None
        self._frame = bytearray()
        self._frame_fault = ""
        self._frame_end_s = 0.0
        self._frame_timer: asyncio.TimerHandle | None = None
        self._replies: set[asyncio.TimerHandle] = set()
        self._sending_until_s = -1.0
        self._free_s = -1.0
        self._last_reply = b""
        self._contacts: dict[str, float] = {}
        self._plug = Plug(bus.id, stage, self._plug_changed)

    @property
    def is_plugged(self) -> bool:
        """Whether the port is there now."""
        return self._plug.is_in

    def attach(self, deliver: Callable[[bytes], None], plugged: Callable[[bool], None]) -> None:
        """Connects the other end: `deliver` gets what is on the wire, `plugged` each change of the plug."""
        self._deliver, self._plugged = deliver, plugged
        self._plug.start()

    def detach(self) -> None:
        """Nobody is at the other end; what is on the wire is lost. Idempotent."""
        self._deliver = None
        self._plug.stop()
        self._hush()

    def receive(self, data: bytes) -> None:
        """Bytes of the other end, which is attached, begin to arrive now."""
        if not data:
            return
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if not self._frame:
            self._frame_end_s = now_s
            self._frame_fault = self._trespass(now_s)
        elif _is_frame(bytes(self._frame)) and not self._frame_fault:
            in_silence = now_s < self._frame_end_s + self.silence_s - _TOLERANCE_S
            self._frame_fault = "early" if in_silence else "collision"
        self._frame += data[: FRAME_BYTES_MAX + 1 - len(self._frame)]
        wire_s = min(len(data), FRAME_BYTES_MAX) * self.char_s
        self._frame_end_s = max(self._frame_end_s, now_s) + wire_s
        self.stats.busy_s += wire_s
        if self._frame_timer:
            self._frame_timer.cancel()
        over_s = self._frame_end_s + self.silence_s + self._turnaround_s
        self._frame_timer = loop.call_at(over_s, self._frame_over)

    def _trespass(self, now_s: float) -> str:
        if now_s < self._sending_until_s - _TOLERANCE_S:
            return "collision"
        return "early" if now_s < self._free_s + self.silence_s - _TOLERANCE_S else ""

    def _frame_over(self) -> None:
        frame, trespass = bytes(self._frame), self._frame_fault
        self._frame.clear()
        faults = self._stage.faults(self.id)
        device = self._devices.get(frame[0])
        if device:
            faults = faults.union(*(self._stage.faults(sensor.id) for sensor in device.sensors))
        if "echo" in faults and self._deliver:
            self._deliver(frame)
        if trespass or not _is_frame(frame):
            self._refuse(frame[0], trespass or "bad")
        elif device is None:
            self.stats.foreign_frames += 1
        else:
            count(self.stats.requests_by_unit, device.unit)
            self.stats.requests += 1
            if not faults & {"silent", "unplug"}:
                self._answer(device, frame, faults)

    def _refuse(self, unit: int, why: str) -> None:
        self.stats.early_frames += why == "early"
        self.stats.collisions += why == "collision"
        self.stats.bad_frames += why == "bad"
        self._observe(Event(self._frame_end_s, self.id, unit, why))

    def _answer(self, device: Device, frame: bytes, faults: frozenset[str]) -> None:
        contacts: dict[str, float] = {}

        def feel(sensor: str, kind: str) -> float | None:
            value = self._stage.value(sensor, kind)
            if kind in CONTACTS and value is not None:
                contacts[f"{sensor}/{kind}"] = value
            return value

        data = answer(device, frame, feel)
        if data is None:
            return
        told = told_channels(device, frame, data)
        contacts = {channel: value for channel, value in contacts.items() if channel in told}
        spoilt = spoil(data, self._last_reply, faults, self._rng)
        reply = _Reply(device.unit, data, spoilt, faults, contacts)
        if "late" in faults:
            wait_s = self._rng.uniform(0.1, 3.0) * device.profile.link.reply_ms / 1000
            self._at(asyncio.get_running_loop().time() + wait_s, partial(self._begin, reply))
        else:
            self._begin(reply)

    def _begin(self, reply: _Reply) -> None:
        now_s = asyncio.get_running_loop().time()
        free_s = max(self._sending_until_s, self._frame_end_s + self.silence_s if self._frame else now_s)
        if now_s < free_s - _TOLERANCE_S:
            self._at(free_s, partial(self._begin, reply))
            return
        at_s = now_s
        parts = pieces(reply.data, reply.faults, self.char_s, self._rng)
        for wait_s, data in parts[:-1]:
            at_s += wait_s
            self._at(at_s, partial(self._hand_over, data))
        at_s += parts[-1][0]
        self._sending_until_s = at_s
        self.stats.busy_s += len(reply.data) * self.char_s
        self._at(at_s, partial(self._sent, reply, parts[-1][1]))

    def _sent(self, reply: _Reply, last: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        self._sending_until_s = self._free_s = now_s
        self._last_reply = reply.plain
        self.stats.replies += 1
        count(self.stats.replies_by_unit, reply.unit)
        changed: tuple[str, ...] = ()
        if reply.faults <= {"split", "echo"}:
            changed = tuple(c for c, value in reply.contacts.items() if value != self._contacts.get(c, 0.0))
            self._contacts.update(reply.contacts)
        event = Event(now_s, self.id, reply.unit, "reply", changed, tuple(sorted(reply.faults)))
        self._hand_over(last)
        self._observe(event)

    def _hand_over(self, data: bytes) -> None:
        if self._deliver:
            self._deliver(data)

    def _at(self, when_s: float, step: Callable[[], None]) -> None:
        def run() -> None:
            self._replies.discard(handle)
            step()

        handle = asyncio.get_running_loop().call_at(when_s, run)
        self._replies.add(handle)

    def _hush(self) -> None:
        for handle in self._replies:
            handle.cancel()
        self._replies.clear()
        if self._frame_timer:
            self._frame_timer.cancel()
        self._frame.clear()
        self._sending_until_s = -1.0

    def _plug_changed(self, is_in: bool) -> None:
        self._hush()
        self._plugged(is_in)


class VirtualWire(Protocol):
    """What stands behind a port: a bus of devices, or one UART sensor (`drivers.virtual_uart`)."""

    id: str
    stats: BusStats

    @property
    def is_plugged(self) -> bool:
        """Whether the port is there now."""

    def attach(self, deliver: Callable[[bytes], None], plugged: Callable[[bool], None]) -> None:
        """Connect the other end."""

    def detach(self) -> None:
        """Nobody is at the other end."""

    def receive(self, data: bytes) -> None:
        """Bytes of the other end."""


def virtual_wire(
    bus: Bus,
    devices: Iterable[Device],
    stage: Stage,
    rng: random.Random,
    observe: Callable[[Event], None] = lambda _event: None,
) -> VirtualWire:
    """The virtual devices of a bus, whichever sort they are."""
    mine = [device for device in devices if device.bus == bus.id]
    if mine and mine[0].profile.uart is not None:
        return VirtualSensor(bus, mine[0], stage, rng, observe)
    return VirtualBus(bus, mine, stage, rng, observe)


class MemoryPort:
    """A `drivers.port.Port` onto a virtual bus in the same loop."""

    def __init__(self, bus: VirtualWire) -> None:
        self._bus = bus
        self._is_open = False

    async def open(self, received: Callable[[bytes], None], lost: Callable[[PortError], None]) -> None:
        """Raises PortError while the bus is unplugged."""
        if not self._bus.is_plugged:
            raise PortError(f"{self._bus.id}: unplugged")

        def plugged(is_plugged: bool) -> None:
            if not is_plugged:
                self.close()
                lost(PortError(f"{self._bus.id}: unplugged"))

        self._bus.attach(received, plugged)
        self._is_open = True

    def write(self, data: bytes) -> None:
        """Puts a request on the wire; raises PortError after the port was lost or closed."""
        if not self._is_open:
            raise PortError(f"{self._bus.id}: not open")
        self._bus.receive(data)

    def close(self) -> None:
        """Idempotent."""
        if self._is_open:
            self._is_open = False
            self._bus.detach()


def _is_frame(data: bytes) -> bool:
    return len(data) <= FRAME_BYTES_MAX and has_valid_crc(data)
