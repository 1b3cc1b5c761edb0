"""One task a bus: opens its port, asks one question at a time, hands each reply to the core at once.

A vanished adapter, a dead device and a garbled reply are ordinary days here: they become a COMMS batch (value NaN:
"asked, no answer"), a count, one log line when it starts and one when it ends. A bus is *down* when its port cannot
be opened or was lost, or when all of several devices on it fell silent; that is one fault, told by the core once,
instead of one for each sensor. An exception reply "busy" is no value and no failure: the last state stays with its
age, and the device is asked again soon.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers import registers
from drivers.line import DeviceException, Line, Request, WireError
from drivers.port import Port, PortError
from drivers.registers import Device
from drivers.stream import StreamLine
from drivers.tcp_line import TcpLine
from edge.clock import Clock
from edge.roll_call import RollCall
from edge.schedule import Schedule, Turn
from edge.wire import Wire
from models.reading import Batch, Quality, Sample, make_batch
from models.site import Bus

log = logging.getLogger(__name__)

WAIT_MAX_S: Final = 1.0  # all turns are under way: one of the others takes the next
REOPEN_S: Final = (0.5, 5.0)  # first and longest pause before a lost port is opened again
STILL_WORKING: Final = frozenset({5, 6})  # Modbus exceptions "acknowledge" and "server device busy"


@dataclass(slots=True)
class Seen:
    """What became of one question the last time, for people who look. `why`: "" = it was answered."""

    device: Device
    request: Request
    heard: bytes = b""
    why: str = "not asked yet"
    at_s: float = 0.0  # loop seconds
    good_n: int = 0
    bad_n: int = 0  # since the last answer

    def note(self, heard: bytes, why: str, at_s: float) -> None:
        """An exchange ended."""
        self.heard, self.why, self.at_s = heard, why, at_s
        self.good_n, self.bad_n = (self.good_n, self.bad_n + 1) if why else (self.good_n + 1, 0)


@dataclass(slots=True)
class BusState:
    """What the screen and the metrics may say about a bus."""

    is_up: bool | None = None  # None = not known yet
    reason: str = "not opened yet"
    opened_n: int = 0
    failed_n: int = 0


class Poller:
    """The task of one bus.

    `handle(batch)` is called with each reply and each failure; `bus_is(up, reason)` when the bus's state changes.
    `elsewhere`: devices of the site's other serial wires.
    """

    def __init__(
        self,
        bus: Bus,
        devices: Sequence[Device],
        *,
        open_port: Callable[[Bus], Port],
        channel_index: Mapping[str, int],
        life_safety: frozenset[str],
        clock: Clock,
        rng: random.Random,
        handle: Callable[[Batch], None],
        bus_is: Callable[[bool, str], None],
        elsewhere: Sequence[Device] = (),
    ) -> None:
        self.bus = bus
        self.state = BusState()
        self.devices = tuple(devices)
        self.line = _wire(bus, self.devices, open_port(bus))
        self.stats = self.line.stats
        self.roll_call = RollCall(bus.id, self.line, self.devices, elsewhere)
        self._index = channel_index
        self._clock = clock
        self._rng = rng
        self._handle = handle
        self._bus_is = bus_is
        self.seen: list[Seen] = []
        turns: list[Turn] = []
        for device in self.devices:
            is_life_safety = any(sensor.id in life_safety for sensor in device.sensors)
            period_s = 0.0 if device.period_s == "max" else float(device.period_s)
            if registers.every_s(device) > period_s / 2:
                period_s = 0.0  # it talks about as often as it is wanted: take each report as it comes
            for request in registers.requests(device):
                turns.append(Turn(device.unit, len(self.seen), period_s, is_life_safety))
                self.seen.append(Seen(device, request))
        self.schedule = Schedule(turns, 0.0)

    async def run(self) -> None:
        """Poll until cancelled."""
        pause_s = REOPEN_S[0]
        while True:
            try:
                await self.line.open()
                self.state.opened_n += 1
                pause_s = REOPEN_S[0]
                await self._poll()
            except PortError as error:
                self._is_down(str(error))
            finally:
                self.line.close()
            await asyncio.sleep(pause_s * self._rng.uniform(0.8, 1.2))
            pause_s = min(pause_s * 2, REOPEN_S[1])

    async def _poll(self) -> None:
        self.roll_call.begin()
        wrong = await self.roll_call.wrong_wire()
        if wrong is not None:
            raise PortError(wrong)
        now_s = asyncio.get_running_loop().time()
        for turn in self.schedule.turns:
            turn.due_s, turn.silent_n = now_s, 0
        if self.bus.in_flight == 1:
            await self._take_turns()
            return
        try:
            async with asyncio.TaskGroup() as group:
                for n in range(self.bus.in_flight):
                    group.create_task(self._take_turns(), name=f"ask[{self.bus.id}] {n + 1}")
        except* PortError as errors:
            raise PortError(str(errors.exceptions[0])) from None

    async def _take_turns(self) -> None:
        """One question after another. With several of us, nobody takes a turn that is under way."""
        loop = asyncio.get_running_loop()
        while True:
            now, wait_s = self.schedule.next(loop.time(), self.line.ready_in_s)
            if now is None:
                await asyncio.sleep(min(wait_s, WAIT_MAX_S))
                continue
            now.is_asked = True
            try:
                await self._ask(now)
            finally:
                now.is_asked = False

    async def _ask(self, turn: Turn) -> None:
        seen = self.seen[turn.index]
        device, request = seen.device, seen.request
        loop = asyncio.get_running_loop()
        was_silent = turn.is_silent
        try:
            await self.roll_call.admit(device)
            reply = await self.line.exchange(request)
            samples = self._decode(device, request, reply)
        except DeviceException as error:
            seen.note(self.line.heard, str(error), loop.time())
            if error.code in STILL_WORKING:
                self.schedule.busy(turn, loop.time())
                self._is_up()
                return
            self._failed(request)
            self.schedule.answered(turn, loop.time())  # it lives; it refuses this question
        except WireError as error:
            seen.note(self.line.heard, str(error), loop.time())
            self._failed(request)
            self.schedule.silent(turn, loop.time())
            if turn.is_silent:
                self.roll_call.forget(device)
            if turn.is_silent and not was_silent:
                log.warning("device_silent bus=%s unit=%d reason=%s", self.bus.id, turn.unit, error)
                self._all_silent()
        else:
            seen.note(reply, "", loop.time())
            self._handle(self._batch(request, samples))
            self.schedule.answered(turn, loop.time())
            self._is_up()
            if was_silent:
                log.info("device_answers bus=%s unit=%d", self.bus.id, turn.unit)

    def _decode(self, device: Device, request: Request, reply: bytes) -> tuple[Sample, ...]:
        try:
            return registers.decode(device, request, reply)
        except Exception as error:  # the device boundary: a decoder that raises must not take the bus down
            log.exception("decoder_failed bus=%s unit=%d reply=%s", self.bus.id, device.unit, reply.hex(" "))
            raise WireError(f"decoder failed: {error}") from error

    def _batch(self, request: Request, samples: Sequence[Sample]) -> Batch:
        return make_batch(
            self._clock.site_ns(),
            (self._index[name] for name in request.channels),
            (sample.value for sample in samples),
            (sample.quality for sample in samples),
        )

    def _failed(self, request: Request) -> None:
        n = len(request.channels)
        channels = (self._index[name] for name in request.channels)
        self._handle(make_batch(self._clock.site_ns(), channels, [float("nan")] * n, [Quality.COMMS] * n))

    def _all_silent(self) -> None:
        units = {turn.unit for turn in self.schedule.turns}
        if len(units) > 1 and all(turn.is_silent for turn in self.schedule.turns):
            self._tell(False, "no device on this bus answers: look at power, wiring A/B, baud")

    def _is_up(self) -> None:
        self._tell(True, "")

    def _is_down(self, reason: str) -> None:
        self.state.failed_n += 1
        self._tell(False, reason)
        for seen in self.seen:
            seen.why = reason
            self._failed(seen.request)

    def _tell(self, is_up: bool, reason: str) -> None:
        if is_up != self.state.is_up:
            log.log(
                logging.INFO if is_up else logging.WARNING,
                "bus_%s bus=%s reason=%s",
                "up" if is_up else "down",
                self.bus.id,
                reason or "-",
            )
        elif reason == self.state.reason:
            return
        self.state.is_up, self.state.reason = is_up, reason
        self._bus_is(is_up, reason)


def _wire(bus: Bus, devices: Sequence[Device], port: Port) -> Wire:
    if devices and devices[0].profile.uart is not None:
        return StreamLine(port, devices[0].profile, bus.baud, bus.framing)
    return TcpLine(port) if bus.port.startswith("tcp:") else Line(port, bus.baud, bus.framing)
