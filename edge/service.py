"""The agent's life: start in order, hand on what the core gives, stop in order.

Every outside thing is an argument (`Outside`), so the same code runs on a gateway, in a test against real ptys, and in
virtual time (`edge.simulation`). One loop; the core is called directly and nothing awaits inside it; `Dispatch` (one
object, `take`) is the only way out of it: incident rows to the journal, sends to the tellers.

    start  spool, journal -> site time -> restore -> pushes left over -> pollers, ticks, sinks, socket, web -> ready
    stop   pollers -> what is open sealed -> pushes get 3 s -> `offline` -> journal and spool written, closed

*The loop waits by `select`*: epoll rounds timers up to a millisecond, which costs 1 to 8 % of the wire's time. select
ends at descriptor 1,024; a gateway has a few dozen.
"""

import asyncio
import base64
import logging
import random
import selectors
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from drivers.port import Port
from drivers.registers import Device
from edge import about, plan, probe, spool_status
from edge.clock import Clock
from edge.config import Config
from edge.control import Control, ControlError, listen_path
from edge.core import Core, Fault, Output, Tick
from edge.dispatch import Dispatch
from edge.numbers import Numbers
from edge.poller import Poller
from edge.recorder import Recorder
from edge.sink_watch import SinkWatch
from edge.status import Status
from edge.store import Store
from edge.threads import Blocking
from edge.uplink import Broker, Uplink
from edge.web import Web
from gateway import command
from gateway.command import Key
from gateway.forward import Forwarder, Sink
from gateway.kept import newest
from gateway.series import Value
from gateway.teller import Notifier
from models.judge import Judge
from models.reading import BAD, Batch
from models.site import Bus

log = logging.getLogger(__name__)

S: Final = 1_000_000_000
TICK_MAX_S: Final = 1.0
PUSHES_AT_STOP_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Outside:
    """All that the agent touches beyond its own memory and state folder.

    `blocking(name)` gives a seam for blocking work in a thread of that name. `sinks(hooks)` makes the sinks, inside
    the loop. `serve` False: no socket and no port.
    """

    clock: Clock
    open_port: Callable[[Bus], Port]
    notifiers: Sequence[Notifier]
    blocking: Callable[[str], Blocking]
    rng: random.Random
    sinks: "Callable[[Hooks], Sequence[Sink]]" = lambda _hooks: ()
    serve: bool = True


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a sink may ask of the agent: its status payload, and to act on a signed command (raises Rejected)."""

    status: Callable[[str], bytes]
    signed: Callable[[bytes], dict[str, Any]]


def new_loop(has_wire: bool = True) -> asyncio.AbstractEventLoop:
    """With a serial wire over `select`: epoll rounds timers up to 1 ms, 7 % of a wire at 115,200 baud; else epoll."""
    if not has_wire:
        return asyncio.SelectorEventLoop(selectors.EpollSelector())
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


async def run(config: Config, state: Path, outside: Outside, *, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    service = Service(config, state, outside)
    await service.start()
    try:
        await service.run(stop)
    finally:
        await service.stop()


class Service:
    """One running agent; see the module header for the order of things."""

    def __init__(self, config: Config, state: Path, outside: Outside) -> None:
        self.config = config
        self.outside = outside
        self.plan = plan.plan(config)
        self.numbers = Numbers(config.site.gateway.id)
        self.recorder = Recorder(
            state,
            clock=outside.clock,
            blocking=outside.blocking("journal"),
            numbers=self.numbers,
            unwritable=self._unwritable,
            everything=lambda: self.dispatch.everything(),
        )
        self.store = Store(
            state,
            clock=outside.clock,
            blocking=outside.blocking("spool"),
            sinks={sink.id: sink.start for sink in config.site.sink},
            limits=config.site.limits,
            unwritable=lambda is_bad, why: self._fault(plan.SPOOL_ID, is_bad, why),
            mark=lambda: self.numbers.mark,
        )
        self._keys = {
            author.name: Key(base64.b64decode(author.key), frozenset(author.may))
            for author in config.site.author
        }
        self.pollers: list[Poller] = []
        self._has_read = False
        self._was_synced: bool | None = None
        self._started_s = asyncio.get_running_loop().time()
        self._state = state
        self._control: Control | None = None
        self._web: Web | None = None

    async def start(self) -> None:
        """Restore what was, then wire the parts. Nothing is polled yet."""
        clock, site = self.outside.clock, self.config.site
        copies = await self.store.open()
        restored = await self.recorder.open(copies.number_mark)
        clock.start(newest(restored.time, copies.time))
        now_ns = clock.site_ns()
        self.numbers.start(clock.boot, now_ns)
        judge = Judge(self.plan.channels, self.plan.rules, now_ns)
        self.core = Core(
            self.plan,
            judge,
            kept_alarms={alarm.id: alarm for alarm in restored.alarms},
            kept_incidents=(*restored.closed, *restored.incidents),
            new_id=self.numbers.next,
            close_after_ns=round(site.limits.close_after_s * S),
        )
        self.dispatch = Dispatch(
            self.config,
            self.core,
            self.recorder,
            clock,
            self.outside.notifiers,
            self.outside.rng,
            restored,
        )
        self.sinks = self.outside.sinks(Hooks(self._status_payload, self._signed))
        self.uplink = self._uplink()
        self.forwarders = [
            Forwarder(sink, self.store, self.outside.rng, self.store.rate) for sink in self.sinks
        ]
        self._watch = SinkWatch(self.sinks, self.forwarders, self.store, site.limits, self._fault)
        for bus in site.bus:
            self.pollers.append(self._poller(bus, judge))
        self.status = Status(
            self.config,
            self.plan,
            clock,
            self.core,
            self.pollers,
            self.dispatch,
            self.recorder,
            self.store,
            self._watch,
        )
        self._take(self.core.start(now_ns))
        self.dispatch.resume(restored)
        self._since = self.dispatch.wall_text(clock.wall().ns)
        self._unwritable(self.recorder.is_bad, "cannot be opened")
        self._fault(plan.SPOOL_ID, self.store.is_bad, "cannot be opened")
        log.info(
            "started site=%s config=%s open_incidents=%d",
            self.config.path,
            self.config.fingerprint,
            len(restored.incidents),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Poll, tick, serve. Until `stop`; a bug in any task ends all."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.recorder.run(), name="journal")
            if self.outside.serve:
                await self._serve()
            self.dispatch.start(group)
            tasks = [group.create_task(self._ticks(), name="tick")]
            for poller in self.pollers:
                tasks.append(group.create_task(poller.run(), name=f"poll[{poller.bus.id}]"))
            group.create_task(self.store.run(), name="spool")
            north = [group.create_task(one.run(), name=f"forward[{one.sink.id}]") for one in self.forwarders]
            north += [
                group.create_task(one.run(), name=f"mqtt[{one.id}]")
                for one in self.sinks
                if isinstance(one, Broker)
            ]
            await stop.wait()
            log.info("stopping")
            for task in tasks:
                task.cancel()
            self.uplink.flush()
            leaving = [one.leave() for one in self.sinks if isinstance(one, Broker)]
            await asyncio.gather(self.dispatch.drain(PUSHES_AT_STOP_S), *leaving)
            for task in north:
                task.cancel()
            self.recorder.stop()
            self.store.stop()

    async def stop(self) -> None:
        """Close what is open."""
        if self._control is not None:
            await self._control.stop()
        if self._web is not None:
            await self._web.stop()
        await self.recorder.close()
        await self.store.close()

    def _uplink(self) -> Uplink:
        return Uplink(
            self.config,
            self.plan,
            self.core,
            brokers=[sink for sink in self.sinks if isinstance(sink, Broker)],
            wall_offset_ns=lambda: self.outside.clock.wall().ns - self.outside.clock.site_ns(),
            as_json=self.dispatch.as_json,
            gateway_row=self._gateway_row,
            seal=self.store.seal,
        )

    def _gateway_row(self) -> dict[str, Value]:
        return about.gateway_row(self.store.stats, self.status.loads(), self.outside.clock, self._state)

    def _status_payload(self, state: str) -> bytes:
        return about.status_payload(state, self.config, self.outside.clock, self._since)

    def _signed(self, payload: bytes) -> dict[str, Any]:
        """A signed command from a broker. Raises Rejected."""
        wall = self.outside.clock.wall()
        order = command.read(payload, self._keys, lambda: (wall.ns, wall.synced))
        return self.dispatch.act(order.body, order.author, "mqtt")

    def _take(self, output: Output) -> None:
        """The one way out of the core."""
        self.dispatch.take(output)
        self.uplink.take(output)

    def _poller(self, bus: Bus, judge: Judge) -> Poller:
        def bus_is(is_up: bool, why: str) -> None:
            self._fault(plan.bus_down_id(bus.id), not is_up, why)

        return Poller(
            bus,
            [device for device in self.config.devices if device.bus == bus.id],
            open_port=self.outside.open_port,
            channel_index=judge.index,
            life_safety=self.plan.life_safety,
            clock=self.outside.clock,
            rng=self.outside.rng,
            handle=self._batch,
            bus_is=bus_is,
            elsewhere=self._elsewhere(bus),
        )

    def _elsewhere(self, bus: Bus) -> list[Device]:
        """The Modbus devices of the other wires whose adapter could be taken for this one's."""
        buses = {device.bus for device in self.config.devices if device.profile.uart is None}
        wires = {one.id for one in self.config.site.bus if one.is_wire} & buses
        if bus.id not in wires:
            return []
        return [one for one in self.config.devices if one.bus in wires and one.bus != bus.id]

    def _batch(self, batch: Batch) -> None:
        if not self._has_read and not (batch.quality & BAD).any():
            self._has_read = True
            log.info("first_reading after_s=%.3f", asyncio.get_running_loop().time() - self._started_s)
        self._take(self.core.handle(batch))

    def _fault(self, alarm: str, is_there: bool, why: str) -> None:
        self._take(self.core.handle(Fault(self.outside.clock.site_ns(), alarm, is_there, why)))

    def _unwritable(self, is_bad: bool, why: str) -> None:
        self._fault(plan.JOURNAL_ID, is_bad, why)

    def _answer(self, request: dict[str, Any], user: str) -> dict[str, Any]:
        if request.get("do") == "view":
            return self.status.snapshot()
        if request.get("do") == "spool":
            return spool_status.status(self.store.stats, self.outside.clock.site_ns())
        if request.get("do") == "probe":
            return probe.answer(self.pollers, str(request.get("sensor")), asyncio.get_running_loop().time())
        return self.dispatch.act(request, user, "local")

    async def _ticks(self) -> None:
        clock = self.outside.clock
        while True:
            now_ns = clock.site_ns()
            self._take(self.core.handle(Tick(now_ns)))
            self.dispatch.repeat(now_ns)
            self.status.tick()
            self.uplink.tick(now_ns)
            self._watch.tick()
            self._clock_is(clock.wall().synced)
            due = [
                at for at in (self.core.next_deadline_ns(), self.dispatch.next_repeat_ns()) if at is not None
            ]
            wait_s = min([TICK_MAX_S, *((at - clock.site_ns()) / S for at in due)])
            await self.dispatch.changed(max(wait_s, 0.001))

    def _clock_is(self, synced: bool) -> None:
        if synced is not self._was_synced:
            self._was_synced = synced
            self._fault(
                plan.CLOCK_ID, not synced, "" if synced else "the kernel does not call it synchronised"
            )

    async def _serve(self) -> None:
        control = Control(listen_path(self._state), self._answer)
        try:
            await control.start()
            self._control = control
        except (ControlError, OSError) as error:
            log.error("control_socket_failed reason=%s", error)
        if self.config.site.web is None:
            return
        web = Web(self.config.site.web.listen, health=self.status.health, figures=self.status.figures)
        try:
            await web.start()
        except OSError as error:
            log.error("web_failed listen=%s reason=%s", self.config.site.web.listen, error.strerror)
            self.status.notes.append(
                f"web port {self.config.site.web.listen} cannot be opened: {error.strerror}"
            )
        self._web = web
