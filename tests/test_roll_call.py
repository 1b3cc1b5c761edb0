"""Which wire is this and who answers: swapped adapters, strangers, and registers that must hold a value."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from drivers import modbus, registers
from drivers.profile import Profile, parse
from drivers.registers import Device
from drivers.stage import Stage
from drivers.virtual import MemoryPort, VirtualBus
from drivers.world import World
from edge.clock import SystemClock
from edge.poller import Poller
from models.reading import BAD, Batch
from models.site import Bus, Gateway, Place, Sensor, Site, Ward
from tests.wire import Script, WirePort, in_virtual_time

LINK = {"reply_ms": 200.0, "late_ms": 500.0}


def profile(**more: Any) -> Profile:
    value = {"kind": "temperature_c", "table": "holding", "address": 10}
    data = {
        "schema": 1,
        "title": "t",
        "source": "s",
        "confidence": "unproven",
        "link": LINK,
        "value": [value],
    }
    found, problems = parse("probe", data | more)
    assert found is not None, problems
    return found


def devices(bus: str, *units: int, write: bool = False, of: Profile | None = None) -> list[Device]:
    sensors = [
        Sensor(id=f"{bus}-{u}", device="probe", place="p", bus=bus, unit=u, period_s=1.0, write=write)
        for u in units
    ]
    site = Site(
        schema=1, ward=Ward(id="w", name="w"), gateway=Gateway(id="g", place="p"), place=(Place(id="p", name="p"),),
        bus=(Bus(id=bus, port=f"virtual:{bus}"),), sensor=tuple(sensors),
    )  # fmt: skip
    return list(registers.devices(site, {"probe": of or profile()}))


class Seen:
    """A poller on a port, and what it told."""

    def __init__(self, port: Callable[[Bus], Any], mine: list[Device], elsewhere: list[Device]) -> None:
        self.values: list[float] = []
        self.bus: list[tuple[bool, str]] = []
        names = {point.name: i for i, point in enumerate(p for device in mine for p in device.channels)}
        self.poller = Poller(
            Bus(id="a", port="virtual:a"), mine, open_port=port, channel_index=names, life_safety=frozenset(),
            clock=SystemClock(), rng=random.Random(1), handle=self._handle, elsewhere=elsewhere,
            bus_is=lambda is_up, why: self.bus.append((is_up, why)),
        )  # fmt: skip

    def _handle(self, batch: Batch) -> None:
        self.values += batch.value[(batch.quality & BAD) == 0].tolist()

    async def run(self, for_s: float) -> None:
        task = asyncio.create_task(self.poller.run())
        await asyncio.sleep(for_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def on_virtual(there: list[Device], mine: list[Device], elsewhere: list[Device], for_s: float = 20.0) -> Seen:
    """A poller that thinks it is on the wire of `mine`, on a wire that carries `there`."""

    async def body() -> Seen:
        stage = Stage(World(), asyncio.get_running_loop().time)
        bus = VirtualBus(Bus(id=there[0].bus, port="virtual:x"), there, stage, random.Random(1))
        stage.begin()
        for device in there:
            stage.set(device.sensors[0].id, "temperature_c", 20.0)
        seen = Seen(lambda _: MemoryPort(bus), mine, elsewhere)
        await seen.run(for_s)
        return seen

    return in_virtual_time(body)


def scripted(script: Script, mine: list[Device], for_s: float) -> tuple[Seen, WirePort]:
    async def body() -> tuple[Seen, WirePort]:
        port = WirePort(script)
        seen = Seen(lambda _: port, mine, [])
        await seen.run(for_s)
        return seen, port

    return in_virtual_time(body)


def test_a_swapped_adapter_is_told_and_gives_no_value_though_a_unit_of_both_answers() -> None:
    a, b = devices("a", 1, 2), devices("b", 1, 3)
    seen = on_virtual(b, a, b)
    assert seen.values == []
    assert seen.bus == [(False, "unit 3 answers, which belongs on bus b: are the adapters swapped?")]


def test_a_wire_that_is_the_right_one_is_believed_also_with_a_dead_device() -> None:
    a, b = devices("a", 1, 2), devices("b", 1, 3)
    assert len(on_virtual(a, a, b).values) > 30
    without_2 = on_virtual([a[0]], a, b)
    assert len(without_2.values) > 15
    assert without_2.bus == [(True, "")]


def test_a_wire_with_fewer_units_than_the_other_is_known_by_who_must_not_answer() -> None:
    a, b = devices("a", 1), devices("b", 1, 3)
    assert on_virtual(b, a, b).values == []
    assert len(on_virtual(a, a, b).values) > 15


KNOW = {"table": "input", "address": 0, "type": "u32", "order": "CDAB", "equals": 0x734300C0}


def answers(known: bytes, held: dict[int, int]) -> Script:
    """Unit 1: input 0-1 `known`, holding 10 = 20, and the registers `held`, which can be written."""

    def script(frame: bytes) -> list[tuple[float, bytes]]:
        if frame[1] == 6:
            held[int.from_bytes(frame[2:4], "big")] = int.from_bytes(frame[4:6], "big")
            return [(0.005, frame)]
        _, function, address, count = modbus.parse_read(frame)
        if function == 4:
            return [(0.005, modbus.data_reply(1, 4, known))]
        word = held.get(address, 20)
        return [(0.005, modbus.data_reply(1, function, word.to_bytes(2, "big") * count))]

    return script


def test_who_does_not_say_that_he_is_it_is_not_believed() -> None:
    mine = devices("a", 1, of=profile(know=KNOW))
    good, _ = scripted(answers(bytes.fromhex("00c07343"), {}), mine, 10.0)
    assert set(good.values) == {20.0}
    bad, _ = scripted(answers(bytes.fromhex("00c01111"), {}), mine, 10.0)
    assert bad.values == []
    why = "unit 1 is no probe: input 0 is 0x111100c0, not 0x734300c0"
    assert bad.poller.roll_call.findings == {1: why}
    assert bad.poller.seen[0].why == why


def test_a_register_that_differs_is_told_and_written_only_where_the_site_allows_it() -> None:
    setup = profile(setup=[{"table": "holding", "address": 4096, "value": 0}])
    seen, port = scripted(answers(b"", {4096: 2}), devices("a", 1, of=setup), 5.0)
    assert seen.poller.roll_call.findings == {1: "holding 4096 is 2, must be 0"}
    assert set(seen.values) == {20.0}
    assert all(frame[1] != 6 for _, frame in port.written)
    seen, port = scripted(answers(b"", {4096: 2}), devices("a", 1, of=setup, write=True), 5.0)
    assert seen.poller.roll_call.findings == {}
    written = [frame for _, frame in port.written if frame[1] == 6]
    assert [frame.hex(" ") for frame in written] == ["01 06 10 00 00 00 8d 0a"]
    assert set(seen.values) == {20.0}


def test_after_a_silence_it_is_asked_again_who_it_is() -> None:
    mine = devices("a", 1, of=profile(know=KNOW))
    right, wrong = answers(bytes.fromhex("00c07343"), {}), answers(bytes.fromhex("00c01111"), {})
    asked: list[bytes] = []

    def script(frame: bytes) -> list[tuple[float, bytes]]:
        asked.append(frame)
        if len(asked) < 7:
            return list(right(frame))
        return [] if len(asked) < 14 else list(wrong(frame))

    seen, _ = scripted(script, mine, 300.0)
    assert 0 < len(seen.values) < 7
    assert "is no probe" in seen.poller.roll_call.findings[1]
