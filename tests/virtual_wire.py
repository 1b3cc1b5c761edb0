"""What tests of the virtual wire share: a small site, an open port in virtual time, frames of makers."""

import asyncio
import random
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path

from pymodbus.framer import FramerRTU

import drivers
from drivers import profile, registers
from drivers.port import PortError
from drivers.stage import Stage
from drivers.virtual import MemoryPort, VirtualBus
from drivers.virtual_events import Event
from drivers.world import parse
from edge.simulation.loop import VirtualLoop, run
from models.site import Bus, Gateway, Place, Sensor, Site, Ward

MODULE = bytes.fromhex("01 02 00 00 00 08 79 cc")  # read 8 inputs of unit 1 (vectors/relay.toml)
NONE_ACTIVE = bytes.fromhex("01 02 01 00 a1 88")  # relay.toml "inputs none active"
ONE_AND_THREE = bytes.fromhex("01 02 01 05 61 8b")  # relay.toml "inputs 0 and 2 active"
FOREIGN = bytes.fromhex("1a 03 00 00 00 01 87 e1")  # modbus_frames.toml: unit 26, not on this bus

EIGHT = {
    "schema": 1,
    "title": "eight registers",
    "source": "these tests",
    "confidence": "unproven",
    "link": {"reply_ms": 200.0},
    "value": [{"kind": f"raw_{i}", "table": "holding", "address": i} for i in range(8)],
}
# Read 8 holding registers of unit 2: its CRC is pymodbus's.
READ_EIGHT = (body := bytes.fromhex("02 03 00 00 00 08")) + FramerRTU.compute_CRC(body).to_bytes(2, "big")


def site(baud: int, framing: str) -> tuple[Site, Bus]:
    bus = Bus(id="rs485-1", port="virtual:rs485-1", baud=baud, framing=framing)
    contacts = [("khoi-1", 1, "smoke_contact"), ("nut-1", 3, "call_point")]
    sensors = [
        Sensor(id=i, device="di-8", place="p", bus="rs485-1", unit=1, input=n, kind=kind)
        for i, n, kind in contacts
    ]
    sensors.append(Sensor(id="eight", device="eight", place="p", bus="rs485-1", unit=2))
    ward = Ward(id="w", name="W")
    whole = Site(
        schema_=1,
        ward=ward,
        gateway=Gateway(id="g", place="p"),
        place=(Place(id="p", name="P"),),
        bus=(bus,),
        sensor=tuple(sensors),
    )
    return whole, bus


def profiles() -> dict[str, profile.Profile]:
    text = (Path(drivers.__file__).parent / "devices" / "di-8.toml").read_text()
    parsed = {"di-8": profile.parse("di-8", tomllib.loads(text)), "eight": profile.parse("eight", EIGHT)}
    assert all(problems == [] for _, problems in parsed.values())
    return {name: found for name, (found, _) in parsed.items() if found}


class Wire:
    """A virtual bus with an open port: what came back when, which events, and how to ask."""

    def __init__(self, world: str, baud: int, framing: str, turnaround_s: float, seed: int) -> None:
        parsed, problems = parse(tomllib.loads(world))
        assert parsed is not None, problems
        self.loop = asyncio.get_running_loop()
        whole, bus = site(baud, framing)
        self.stage = Stage(parsed, self.loop.time)
        self.events: list[Event] = []
        self.bus = VirtualBus(
            bus,
            registers.devices(whole, profiles()),
            self.stage,
            random.Random(seed),
            self.events.append,
            turnaround_s,
        )
        self.port = MemoryPort(self.bus)
        self.came: list[tuple[float, bytes]] = []
        self.lost: list[tuple[float, PortError]] = []

    async def open(self) -> None:
        await self.port.open(
            lambda data: self.came.append((self.loop.time(), data)),
            lambda error: self.lost.append((self.loop.time(), error)),
        )

    async def ask(self, request: bytes, wait_s: float = 1.0) -> list[tuple[float, bytes]]:
        """What comes within `wait_s`, each with seconds since the request."""
        self.came.clear()
        start_s = self.loop.time()
        self.port.write(request)
        await asyncio.sleep(wait_s)
        return [(t - start_s, data) for t, data in self.came]

    @property
    def bytes(self) -> bytes:
        return b"".join(data for _, data in self.came)


def play(
    scene: Callable[[Wire], Awaitable[None]],
    world: str = "",
    baud: int = 9600,
    framing: str = "8N1",
    turnaround_s: float = 0.0,
    seed: int = 1,
    begins: bool = True,
) -> Wire:
    async def main() -> Wire:
        wire = Wire(world, baud, framing, turnaround_s, seed)
        if begins:
            wire.stage.begin()
        await wire.open()
        await scene(wire)
        wire.port.close()
        return wire

    return run(main(), VirtualLoop())


def fault(kind: str, target: str = "nut-1", t_s: float = 0, for_s: float = 1000) -> str:
    return f'[[fault]]\nt_s = {t_s}\ntarget = "{target}"\nfault = "{kind}"\nfor_s = {for_s}\n'


def pressed(t_s: float, sensor: str = "nut-1", kind: str = "call_point", value: int = 1) -> str:
    rows = [(0, 0), (t_s, value)] if t_s else [(0, value)]
    return "".join(
        f'[[value]]\nt_s = {t}\nsensor = "{sensor}"\nkind = "{kind}"\nvalue = {v}\n' for t, v in rows
    )
