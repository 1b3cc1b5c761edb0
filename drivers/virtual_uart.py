"""A virtual UART sensor on a virtual line: it talks by itself or answers its question, in real bytes and wire time.

The counterpart of `drivers.virtual.VirtualBus` for a sensor that is alone on its line, with the same seams: a pty or a
port in memory at the other end, faults from the stage. Commands are taken and change nothing.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final

from drivers import reports
from drivers.faults import pieces, spoil
from drivers.modbus import char_s
from drivers.plug import Plug
from drivers.registers import Device
from drivers.stage import Stage
from drivers.virtual_events import BusStats, Event, count
from models.site import Bus

TURNAROUND_S: Final = 0.005
_HEARD_BYTES_MAX: Final = 64
_JITTER: Final = 0.02  # of the period: no such sensor keeps time better (our choice)


class VirtualSensor:
    """The sensor of one bus. Needs a running loop from `attach` on; not thread-safe."""

    def __init__(
        self,
        bus: Bus,
        device: Device,
        stage: Stage,
        rng: random.Random,
        observe: Callable[[Event], None] = lambda _event: None,
    ) -> None:
        self.id = bus.id
        self.stats = BusStats()
        self._char_s = char_s(bus.baud, bus.framing)
        self._device, self._stage, self._rng, self._observe = device, stage, rng, observe
        self._ask = reports.ask(device.profile)
        self._every_s = reports.every_s(device.profile)
        self._deliver: Callable[[bytes], None] | None = None
        self._plugged: Callable[[bool], None] = lambda _is_plugged: None
        self._heard = b""
        self._last = b""
        self._timers: set[asyncio.TimerHandle] = set()
        self._plug = Plug(bus.id, stage, self._plug_changed)

    @property
    def is_plugged(self) -> bool:
        """Whether the port is there now."""
        return self._plug.is_in

    def attach(self, deliver: Callable[[bytes], None], plugged: Callable[[bool], None]) -> None:
        """Connects the other end: `deliver` gets what is on the line, `plugged` each change of the plug."""
        self._deliver, self._plugged = deliver, plugged
        self._plug.start()
        self._talk_on()

    def detach(self) -> None:
        """Nobody is at the other end. Idempotent."""
        self._deliver = None
        self._plug.stop()
        self._hush()

    def receive(self, data: bytes) -> None:
        """Bytes of the other end."""
        self.stats.busy_s += len(data) * self._char_s
        self._heard = (self._heard + data)[-_HEARD_BYTES_MAX:]
        if self._ask and self._ask in self._heard:
            self._heard = b""
            self.stats.requests += 1
            count(self.stats.requests_by_unit, self._device.unit)
            late_s = 0.0
            if "late" in self._faults():
                late_s = self._rng.uniform(0.1, 3.0) * self._device.profile.link.reply_ms / 1000
            self._after(len(data) * self._char_s + TURNAROUND_S + late_s, self._say)

    def _faults(self) -> frozenset[str]:
        targets = (self.id, *(sensor.id for sensor in self._device.sensors))
        return frozenset().union(*(self._stage.faults(target) for target in targets))

    def _talk_on(self) -> None:
        if self._every_s:
            self._after(self._every_s * self._rng.uniform(1 - _JITTER, 1 + _JITTER), self._talk)

    def _talk(self) -> None:
        self._say()
        self._talk_on()

    def _say(self) -> None:
        faults = self._faults()
        if faults & {"silent", "unplug", "busy"}:
            return
        plain = reports.report(self._device.profile, self._device.channels, self._stage.value)
        parts = pieces(spoil(plain, self._last, faults, self._rng), faults, self._char_s, self._rng)
        self._last = plain
        at_s = 0.0
        for wait_s, data in parts:
            at_s += wait_s
            self.stats.busy_s += len(data) * self._char_s
            self._after(at_s, lambda data=data: self._hand_over(data))  # type: ignore[misc]  # binds this piece
        self._after(at_s, lambda: self._said(faults))

    def _said(self, faults: frozenset[str]) -> None:
        self.stats.replies += 1
        count(self.stats.replies_by_unit, self._device.unit)
        now_s = asyncio.get_running_loop().time()
        self._observe(Event(now_s, self.id, self._device.unit, "reply", (), tuple(sorted(faults))))

    def _hand_over(self, data: bytes) -> None:
        if self._deliver:
            self._deliver(data)

    def _after(self, wait_s: float, step: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(handle)
            step()

        handle = asyncio.get_running_loop().call_later(wait_s, run)
        self._timers.add(handle)

    def _hush(self) -> None:
        for handle in self._timers:
            handle.cancel()
        self._timers.clear()

    def _plug_changed(self, is_in: bool) -> None:
        self._hush()
        if is_in:
            self._talk_on()
        self._plugged(is_in)
