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

import numpy as np

from drivers import registers
from drivers.line import DeviceException, Line, WireError
from drivers.port import Port, PortError
from drivers.reader import reader
from drivers.registers import Device
from drivers.stream import StreamLine
from drivers.tcp_line import TcpLine
from edge.clock import Clock
from edge.pump import Pump
from edge.roll_call import RollCall
from edge.schedule import Schedule, Turn
from edge.seen import Seen
from edge.wire import Wire
from models.reading import Batch, Quality
from models.site import Bus

log = logging.getLogger(__name__)

WAIT_MAX_S: Final = 1.0  # all turns are under way: one of the others takes the next
REOPEN_S: Final = (0.5, 5.0)  # first and longest pause before a lost port is opened again
STILL_WORKING: Final = frozenset({5, 6})  # Modbus exceptions "acknowledge" and "server device busy"


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
                indexes = np.array([channel_index[name] for name in request.channels], np.int32)
                indexes.setflags(write=False)
                self.seen.append(Seen(device, request, reader(device, request), indexes))
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
        for turn in self.schedule.turns:
            turn.silent_n = 0
        self.schedule.begin(asyncio.get_running_loop().time())
        if isinstance(self.line, TcpLine):
            await Pump(
                self.line, self.schedule, self.seen, self.roll_call, self._settle, self.bus.in_flight
            ).run()
        else:
            await self._take_turns()

    async def _take_turns(self) -> None:
        """One question after another."""
        loop = asyncio.get_running_loop()
        while True:
            turn, wait_s = self.schedule.next(loop.time(), self.line.ready_in_s)
            if turn is None:
                await asyncio.sleep(min(wait_s, WAIT_MAX_S))
                continue
            seen = self.seen[turn.index]
            try:
                await self.roll_call.admit(seen.device)
                self._settle(turn, await self.line.exchange(seen.request))
            except WireError as error:
                self._settle(turn, error)

    def _settle(self, turn: Turn, result: bytes | WireError) -> None:
        """What became of a question: to the core, to the schedule, to the log when it begins and when it ends."""
        seen = self.seen[turn.index]
        now_s = asyncio.get_running_loop().time()
        was_silent = turn.is_silent
        if isinstance(result, bytes):
            try:
                values, flags = self._decode(seen, result)
            except WireError as error:
                result = error
        if isinstance(result, bytes):
            seen.note(result, "", now_s)
            self._handle(
                Batch(self._clock.site_ns(), seen.channels, np.array(values), np.array(flags, np.uint32))
            )
            self.schedule.answered(turn, now_s)
            self._is_up()
            if was_silent:
                log.info("device_answers bus=%s unit=%d", self.bus.id, turn.unit)
            return
        seen.note(self.line.heard, str(result), now_s)
        if isinstance(result, DeviceException) and result.code in STILL_WORKING:
            self.schedule.busy(turn, now_s)
            self._is_up()
            return
        self._failed(seen)
        if isinstance(result, DeviceException):
            self.schedule.answered(turn, now_s)  # it lives; it refuses this question
            return
        self.schedule.silent(turn, now_s)
        if turn.is_silent:
            self.roll_call.forget(seen.device)
        if turn.is_silent and not was_silent:
            log.warning("device_silent bus=%s unit=%d reason=%s", self.bus.id, turn.unit, result)
            self._all_silent()

    def _decode(self, seen: Seen, reply: bytes) -> tuple[list[float], list[int]]:
        try:
            return seen.read(reply)
        except Exception as error:  # the device boundary: a decoder that raises must not take the bus down
            unit = seen.device.unit
            log.exception("decoder_failed bus=%s unit=%d reply=%s", self.bus.id, unit, reply.hex(" "))
            raise WireError(f"decoder failed: {error}") from error

    def _failed(self, seen: Seen) -> None:
        n = len(seen.channels)
        nothing = np.full(n, np.nan), np.full(n, Quality.COMMS, np.uint32)
        self._handle(Batch(self._clock.site_ns(), seen.channels, *nothing))

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
            self._failed(seen)

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
