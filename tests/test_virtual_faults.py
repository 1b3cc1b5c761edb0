"""What each fault of a virtual device does to its replies, in virtual time."""

import asyncio
import itertools
import random

import pytest
from pymodbus.framer import FramerRTU

from drivers.port import PortError
from drivers.world import FAULTS
from tests.virtual_wire import FOREIGN, MODULE, NONE_ACTIVE, READ_EIGHT, Wire, fault, play


def test_a_silent_sensor_silences_its_unit_and_no_other() -> None:
    async def scene(wire: Wire) -> None:
        assert await wire.ask(MODULE) == []
        assert await wire.ask(READ_EIGHT) != []

    assert play(scene, fault("silent")).events[0].unit == 2


def test_a_silent_bus_silences_all_until_its_time_is_over() -> None:
    async def scene(wire: Wire) -> None:
        assert await wire.ask(MODULE) == []
        assert await wire.ask(READ_EIGHT) == []
        await asyncio.sleep(10)
        assert await wire.ask(MODULE) != []

    play(scene, fault("silent", "rs485-1", for_s=5))


def test_a_late_reply_comes_up_to_three_time_outs_later_and_is_seen_to_begin() -> None:
    plain_s = (8 + 3.5 + 6) * 10 / 9600

    async def scene(wire: Wire) -> None:
        delays_ms = []
        for _ in range(50):
            (first_s, first), (last_s, rest) = await wire.ask(MODULE)
            assert first + rest == NONE_ACTIVE
            assert len(first) == 1
            assert last_s - first_s == pytest.approx(5 * 10 / 9600, abs=2e-6)
            delays_ms.append((last_s - plain_s) * 1000)
        # The module's reply time-out is 100 ms.
        assert 10 <= min(delays_ms) < 60
        assert 240 < max(delays_ms) <= 300

    play(scene, fault("late"))


def test_a_late_reply_waits_for_the_wire_and_meets_no_other_reply_on_it() -> None:
    async def scene(wire: Wire) -> None:
        for _ in range(50):
            wire.port.write(MODULE)
            await asyncio.sleep(0.030)
            for _ in range(8):
                await wire.ask(READ_EIGHT, 0.050)

    wire = play(scene, fault("late"))
    stats = wire.bus.stats
    assert stats.replies_by_unit[1] == 50
    assert stats.replies_by_unit[2] + stats.collisions + stats.early_frames == 400
    assert stats.replies_by_unit[2] > 340
    replies = [event for event in wire.events if event.what == "reply"]
    for before, after in itertools.pairwise(replies):
        characters = {1: 6, 2: 21}[after.unit]
        assert after.t_s - before.t_s > characters * 10 / 9600 - 2e-6


def test_a_wrong_check_sum_differs_from_the_right_one_and_nothing_else() -> None:
    async def scene(wire: Wire) -> None:
        ((_, data),) = await wire.ask(MODULE)
        assert data[:-2] == NONE_ACTIVE[:-2]
        assert data[-2:] != NONE_ACTIVE[-2:]

    play(scene, fault("crc"))


def test_a_flipped_bit_is_one_bit_and_not_always_the_same() -> None:
    async def scene(wire: Wire) -> None:
        flips = set()
        for _ in range(20):
            ((_, data),) = await wire.ask(MODULE)
            flips.add(int.from_bytes(data, "big") ^ int.from_bytes(NONE_ACTIVE, "big"))
        assert all(flip.bit_count() == 1 for flip in flips)
        assert len(flips) > 5

    play(scene, fault("flip"))


def test_a_split_reply_comes_in_pieces_with_pauses_and_is_whole() -> None:
    async def scene(wire: Wire) -> None:
        came = await wire.ask(READ_EIGHT)
        assert len(came) == 3
        assert len(b"".join(data for _, data in came)) == 21
        for (t0, _), (t1, data) in itertools.pairwise(came):
            assert t1 - t0 > len(data) * 10 / 9600 + 0.00099

    play(scene, fault("split", "eight"))


def test_a_merged_reply_has_the_stale_one_glued_before_it() -> None:
    async def scene(wire: Wire) -> None:
        ((_, stale),) = await wire.ask(READ_EIGHT)
        ((_, data),) = await wire.ask(MODULE)
        assert data == stale + NONE_ACTIVE
        ((_, data),) = await wire.ask(MODULE)
        assert data == NONE_ACTIVE + NONE_ACTIVE  # one stale frame, not all that ever were

    play(scene, fault("merge"))


def test_garbage_stands_before_a_reply_or_instead_of_it() -> None:
    async def scene(wire: Wire) -> None:
        seen = [data for _ in range(20) for _, data in await wire.ask(MODULE)]
        with_reply = [data for data in seen if data.endswith(NONE_ACTIVE) and len(data) > 6]
        assert len(seen) == 20
        assert 3 < len(with_reply) < 17

    play(scene, fault("garbage"))


def test_an_echo_brings_the_request_back_before_the_reply() -> None:
    async def scene(wire: Wire) -> None:
        assert [data for _, data in await wire.ask(MODULE)] == [MODULE, NONE_ACTIVE]
        assert [data for _, data in await wire.ask(FOREIGN)] == [FOREIGN]

    play(scene, fault("echo", "rs485-1"))


def test_a_busy_device_answers_exception_six() -> None:
    async def scene(wire: Wire) -> None:
        ((_, data),) = await wire.ask(MODULE)
        assert data[:3] == bytes.fromhex("01 82 06")
        assert data[3:] == FramerRTU.compute_CRC(data[:3]).to_bytes(2, "big")

    play(scene, fault("busy"))


def test_an_unplugged_port_is_lost_at_once_and_opens_again_when_it_is_back() -> None:
    async def scene(wire: Wire) -> None:
        await asyncio.sleep(4.99)
        assert await wire.ask(READ_EIGHT, 0.5) == []  # it went with the reply on the wire
        ((at_s, error),) = wire.lost
        assert at_s == pytest.approx(5.0)
        assert "unplugged" in str(error)
        with pytest.raises(PortError):
            wire.port.write(MODULE)
        with pytest.raises(PortError):
            await wire.open()
        await asyncio.sleep(10)
        await wire.open()
        assert [data for _, data in await wire.ask(MODULE)] == [NONE_ACTIVE]
        wire.stage.fail("rs485-1", "unplug", 3.0)  # a hand pulls the plug
        assert len(wire.lost) == 2

    play(scene, fault("unplug", "rs485-1", 5, 10))


def test_nothing_is_handed_to_a_port_that_is_gone() -> None:
    seen: list[bool | bytes] = []

    async def scene(wire: Wire) -> None:
        wire.port.close()
        wire.bus.attach(seen.append, seen.append)
        await asyncio.sleep(4.985)
        wire.bus.receive(READ_EIGHT)  # its reply is on the wire from 4.997 to 5.019
        await asyncio.sleep(20)

    play(scene, fault("unplug", "rs485-1", 5, 10))
    assert seen == [False, True]


@pytest.mark.parametrize("seed", range(40))
def test_a_plug_is_pulled_once_at_whatever_moment_the_world_began(seed: int) -> None:
    # Sums of floats round down as often as up: a timer that fires a hair early must not fire for ever.
    rng = random.Random(seed)
    start_s, pulled_s = rng.uniform(0, 1e5), rng.uniform(0.1, 1e3)

    async def scene(wire: Wire) -> None:
        await asyncio.sleep(start_s)
        wire.stage.begin()
        await asyncio.sleep(pulled_s + 1)
        ((at_s, _),) = wire.lost
        assert at_s == pytest.approx(start_s + pulled_s)
        await asyncio.sleep(1)
        await wire.open()

    play(scene, fault("unplug", "rs485-1", pulled_s, 1.5), begins=False)


def test_an_unplugged_sensor_is_silent() -> None:
    async def scene(wire: Wire) -> None:
        assert await wire.ask(MODULE) == []

    play(scene, fault("unplug"))


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_does_something_and_ends(kind: str) -> None:
    target = "rs485-1" if kind == "unplug" else "nut-1"

    async def scene(wire: Wire) -> None:
        plain = await wire.ask(MODULE)
        await asyncio.sleep(4)
        during = [await wire.ask(MODULE) for _ in range(4)] if kind != "unplug" else []
        assert plain not in during
        assert bool(wire.lost) is (kind == "unplug")
        await asyncio.sleep(10)
        if kind == "unplug":
            await wire.open()
        assert [data for _, data in await wire.ask(MODULE)] == [NONE_ACTIVE]

    play(scene, fault(kind, target, 3, 10))


def test_the_same_seed_plays_the_same_bytes_at_the_same_times() -> None:
    async def scene(wire: Wire) -> None:
        for _ in range(20):
            await wire.ask(MODULE)
            heard.append(list(wire.came))

    heard: list[list[tuple[float, bytes]]] = []
    world = fault("late") + fault("flip") + fault("garbage", t_s=10)
    runs = []
    for seed in (7, 7, 8):
        heard = []
        play(scene, world, seed=seed)
        runs.append(heard)
    assert runs[0] == runs[1] != runs[2]
