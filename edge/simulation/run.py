"""A gateway and its ward in one virtual loop: the real service on virtual devices, judged by what phones received.

    world ----> virtual buses ----> [ the service, as on a gateway ] ----> phones

Only time, threads, ports and the network's last hop are replaced; bytes, schedule, core, journal (a real file) and
delivery are the production ones. Same seed, same sequence.
"""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from drivers.stage import Stage
from drivers.virtual import MemoryPort, virtual_wire
from drivers.world import World
from edge.config import Config
from edge.service import Outside, Service
from edge.simulation.loop import VirtualClock, VirtualLoop, run
from edge.threads import at_once
from gateway.forward import Tag
from gateway.message import Message
from gateway.outcome import Outcome, Verdict

WALL_START_NS: Final = 1_795_000_000_000_000_000  # 2026-11-18T22:06:40Z, any moment will do


@dataclass(frozen=True, slots=True)
class Received:
    """One message at a phone, as bytes that were parsed again. `t_s` = virtual seconds since the start."""

    t_s: float
    key: str
    headline: str
    incident: dict[str, Any]


@dataclass(slots=True)
class Phone:
    """A receiver in memory. `answer(received)` may refuse, delay by raising later, or acknowledge."""

    id: str
    answer: Callable[[Received], Outcome] = lambda _received: Outcome(Verdict.ACCEPTED)
    received: list[Received] = field(default_factory=list)

    async def prepare(self) -> str:
        """Always there."""
        return ""

    async def tell(self, message: Message, person: str | None, key: str) -> Outcome:
        """Receive one message."""
        incident = json.loads(json.dumps(message.incident))
        one = Received(asyncio.get_running_loop().time(), key, message.headline, incident)
        self.received.append(one)
        return self.answer(one)

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class Server:
    """A sink in memory. `answer(lines)` may refuse; what it accepted is kept by (boot, seq)."""

    id: str
    answer: Callable[[Sequence[str]], Outcome] = lambda _lines: Outcome(Verdict.ACCEPTED)
    taken: dict[tuple[str, int], list[tuple[str, ...]]] = field(default_factory=dict)

    async def send(self, lines: Sequence[str], tag: Tag) -> Outcome:
        """Take one batch."""
        outcome = self.answer(lines)
        if outcome.verdict is Verdict.ACCEPTED:
            self.taken.setdefault((tag.boot, tag.seq), []).append(tuple(lines))
        return outcome

    async def close(self) -> None:
        """Nothing is held."""


class Ward:
    """One virtual ward with one gateway. `live` may be called again with the same state: that is a restart."""

    def __init__(self, config: Config, world: World, state: Path, *, seed: int = 0) -> None:
        self.config = config
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop, WALL_START_NS)
        self.stage = Stage(world, self.loop.time)
        self.rng = random.Random(seed)
        self.phones = [Phone(one.id) for one in config.site.notifier]
        self.servers = [Server(one.id) for one in config.site.sink]
        self.buses = {
            bus.id: virtual_wire(bus, config.devices, self.stage, self.rng) for bus in config.site.bus
        }
        self.service: Service | None = None
        self._state = state

    def live(self, for_s: float, script: Callable[["Ward"], None] | None = None) -> None:
        """Live through `for_s` virtual seconds; `script` may set timers on the loop before it starts."""
        outside = Outside(
            clock=self.clock,
            open_port=lambda bus: MemoryPort(self.buses[bus.id]),
            notifiers=self.phones,
            blocking=lambda _name: at_once,
            rng=self.rng,
            sinks=lambda _hooks: self.servers,
            serve=False,
        )

        async def main() -> None:
            self.service = Service(self.config, self._state, outside)
            self.stage.begin()
            await self.service.start()
            if script is not None:
                script(self)
            stop = asyncio.Event()
            self.loop.call_later(for_s, stop.set)
            await self.service.run(stop)
            await self.service.stop()

        run(main(), self.loop)
