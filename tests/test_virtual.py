"""The virtual wire in virtual time: its times to the microsecond, who is answered."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from tests.virtual_wire import (
    FOREIGN,
    MODULE,
    NONE_ACTIVE,
    ONE_AND_THREE,
    READ_EIGHT,
    Wire,
    fault,
    play,
    pressed,
)


@pytest.mark.parametrize(
    ("baud", "framing", "bits", "turnaround_s"),
    [
        (9600, "8N1", 10, 0.0),  # 8 + 21 characters and two silences are the 37.5 ms of the field
        (9600, "8E1", 11, 0.003),  # a parity bit, a slow device
        (19200, "8N2", 11, 0.0),  # the last speed with 3.5 characters
        (38400, "8N1", 10, 0.0),  # above: 1.75 ms whatever the speed
        (115200, "8N1", 10, 0.001),
    ],
)
def test_a_reply_comes_when_its_last_character_would(
    baud: int, framing: str, bits: int, turnaround_s: float
) -> None:
    silence_s = 3.5 * bits / baud if baud <= 19200 else 0.00175
    expected_s = (8 + 21) * bits / baud + silence_s + turnaround_s
    if (baud, framing) == (9600, "8N1"):
        assert round((expected_s + silence_s) * 1000, 1) == 37.5

    async def scene(wire: Wire) -> None:
        ((at_s, data),) = await wire.ask(READ_EIGHT)
        assert at_s == pytest.approx(expected_s, abs=2e-6)
        assert len(data) == 21
        assert wire.bus.stats.busy_s == pytest.approx(29 * bits / baud)

    play(scene, baud=baud, framing=framing, turnaround_s=turnaround_s)


def test_a_device_answers_in_the_bytes_of_its_maker() -> None:
    async def scene(wire: Wire) -> None:
        assert [data for _, data in await wire.ask(MODULE)] == [NONE_ACTIVE]
        await asyncio.sleep(10)
        assert [data for _, data in await wire.ask(MODULE)] == [ONE_AND_THREE]

    wire = play(scene, pressed(5) + pressed(5, "khoi-1", "smoke_contact"))
    assert (wire.bus.stats.requests, wire.bus.stats.replies) == (2, 2)
    assert wire.bus.stats.replies_by_unit == {1: 2}


def test_a_contact_is_sampled_when_the_device_starts_to_answer() -> None:
    # The request ends after 8.3 ms, silence after 12.0 ms, the reply's last byte is out after 18.2 ms.
    for at_s, reply in ((0.0119, "nut told"), (0.0121, "not yet")):

        async def scene(wire: Wire, reply: str = reply) -> None:
            ((_, data),) = await wire.ask(MODULE)
            assert data[3] == (4 if reply == "nut told" else 0)

        play(scene, pressed(at_s))


@pytest.mark.parametrize(
    ("gap_characters", "is_answered"),
    [
        (3.5, True),  # exactly the silence
        (3.49, False),  # a hair less
        (0.0, False),  # in the moment when the reply ends
        (100.0, True),
    ],
)
@pytest.mark.parametrize(
    "before", [MODULE, FOREIGN], ids=["after our reply", "after a request that nobody answers"]
)
def test_a_frame_in_the_silence_is_counted_and_not_answered(
    before: bytes, gap_characters: float, is_answered: bool
) -> None:
    character_s = 10 / 9600

    async def scene(wire: Wire) -> None:
        wire.port.write(before)
        end_s = (8 + 3.5 + 6 if before == MODULE else 8) * character_s
        if before == FOREIGN and gap_characters < 3.5:
            await asyncio.sleep(end_s + gap_characters * character_s)
        else:
            await asyncio.sleep(end_s + gap_characters * character_s + 1e-8)
        wire.came.clear()
        assert bool(await wire.ask(READ_EIGHT)) is is_answered

    assert play(scene).bus.stats.early_frames == (not is_answered)


def test_two_frames_without_silence_are_one_broken_frame() -> None:
    async def scene(wire: Wire) -> None:
        wire.port.write(MODULE)
        assert await wire.ask(READ_EIGHT) == []

    stats = play(scene).bus.stats
    assert (stats.early_frames, stats.requests) == (1, 0)


def test_a_frame_while_a_reply_is_on_the_wire_collides_and_the_reply_still_comes() -> None:
    async def scene(wire: Wire) -> None:
        wire.port.write(READ_EIGHT)
        await asyncio.sleep(0.020)  # the reply's characters run from 12.0 to 33.9 ms
        came = await wire.ask(MODULE)
        assert [len(data) for _, data in came] == [21]
        assert await wire.ask(MODULE)  # afterwards all is well

    stats = play(scene).bus.stats
    assert (stats.collisions, stats.requests, stats.early_frames) == (1, 2, 0)


def test_a_request_in_two_pieces_is_one_request_that_started_with_its_first_byte() -> None:
    async def scene(wire: Wire) -> None:
        wire.port.write(MODULE[:3])
        await asyncio.sleep(0.002)
        ((at_s, data),) = await wire.ask(MODULE[3:])
        assert data == NONE_ACTIVE
        assert at_s + 0.002 == pytest.approx((8 + 3.5 + 6) * 10 / 9600, abs=2e-6)

    play(scene)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=600), st.floats(0, 0.4)), max_size=6))
def test_hostile_bytes_are_refused_and_the_bus_answers_afterwards(storm: list[tuple[bytes, float]]) -> None:
    async def scene(wire: Wire) -> None:
        for data, wait_s in storm:
            wire.port.write(data)
            await asyncio.sleep(wait_s)
        await asyncio.sleep(1.0)
        wire.came.clear()
        assert [data for _, data in await wire.ask(MODULE)] == [NONE_ACTIVE]

    play(scene)


def test_a_frame_with_a_wrong_check_sum_is_counted_and_not_answered() -> None:
    async def scene(wire: Wire) -> None:
        assert await wire.ask(MODULE[:-1] + b"\x00") == []

    assert play(scene).bus.stats.bad_frames == 1


def test_events_name_a_contact_once_when_a_good_reply_has_told_it() -> None:
    async def scene(wire: Wire) -> None:
        for _ in range(10):
            await wire.ask(MODULE)

    # Pressed at 2.5; the replies at 3 and 4 are spoilt: the one at 5 is the first to tell. Released at 7.5.
    world = pressed(2.5) + pressed(7.5, value=0) + fault("crc", t_s=2.9, for_s=1.5)
    events = play(scene, world).events
    assert [e.what for e in events] == ["reply"] * 10
    assert {i: e.changed for i, e in enumerate(events) if e.changed} == {
        5: ("nut-1/call_point",),
        8: ("nut-1/call_point",),
    }
    assert [i for i, e in enumerate(events) if e.faults] == [3, 4]
    assert events[5].t_s == pytest.approx(5 + (8 + 3.5 + 6) * 10 / 9600, abs=2e-6)


def test_a_read_that_does_not_carry_the_contact_tells_nothing_of_it() -> None:
    one_input = (head := bytes.fromhex("01 02 00 00 00 01")) + FramerRTU.compute_CRC(head).to_bytes(2, "big")

    async def scene(wire: Wire) -> None:
        await wire.ask(one_input)
        await wire.ask(MODULE)

    assert [e.changed for e in play(scene, pressed(0)).events] == [(), ("nut-1/call_point",)]


def test_a_hand_on_the_world_is_felt_by_the_next_reply() -> None:
    async def scene(wire: Wire) -> None:
        wire.stage.set("nut-1", "call_point", 1)
        ((_, data),) = await wire.ask(MODULE)
        assert data[3] == 0b100
        wire.stage.fail("nut-1", "silent", 5.0)
        assert await wire.ask(MODULE) == []

    play(scene)
