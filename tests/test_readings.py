"""What the platform gets of a reply: names, bad values, silence; and the live message."""

import asyncio
import json

import pytest

from edge.live import Live
from edge.readings import Reading, Readings
from models.judge import Channel
from models.reading import Quality, make_batch

NAN = float("nan")
S = 1_000_000_000


def channel(name: str, place: str = "ngo-12") -> Channel:
    sensor, kind = name.split("/")
    return Channel(name, sensor, kind, place, S, 30 * S, 0, -1e9, 1e9)


CHANNELS = [
    channel("level/distance_m"),
    channel("nut-1/call_point", "ngo-5"),
    channel("nut-2/call_point", "ngo-6"),
    channel("level/depth_m"),
]


def told(at_ns: int, *samples: tuple[int, float, int], of: Readings | None = None) -> list[Reading]:
    index, value, quality = zip(*samples, strict=True)
    return list((of or Readings(CHANNELS)).of(make_batch(at_ns, index, value, quality)))


def test_one_reading_a_sensor_with_its_place_and_derived_values() -> None:
    assert told(5, (0, 2.986, 0), (3, 0.214, 0)) == [
        Reading("level", "ngo-12", 5, ("distance_m", "depth_m"), (2.986, 0.214), 0)
    ]
    assert told(5, (1, 1.0, 0), (2, 0.0, Quality.WARMUP)) == [
        Reading("nut-1", "ngo-5", 5, ("call_point",), (1.0,), 0),
        Reading("nut-2", "ngo-6", 5, ("call_point",), (0.0,), Quality.WARMUP),
    ]


def test_what_may_not_be_believed_has_another_name_and_a_bound_is_not_bad() -> None:
    assert told(5, (0, 9.9, Quality.RANGE), (3, -6.7, Quality.RANGE))[0].fields == (
        "distance_m_bad",
        "depth_m_bad",
    )
    # a saturated head repeats its ceiling: STUCK beside a bound hides nothing
    one = told(5, (3, 3.1, Quality.BOUND_HIGH | Quality.STUCK))[0]
    assert one.fields == ("depth_m",)
    assert one.quality == Quality.BOUND_HIGH | Quality.STUCK


def test_silence_is_told_when_it_starts_and_then_once_a_minute() -> None:
    readings = Readings(CHANNELS)
    silent = (1, NAN, Quality.COMMS)
    seen = [at for at in range(0, 150, 5) if told(at * S, silent, of=readings)]
    assert seen == [0, 60, 120]
    assert told(150 * S, (1, 1.0, 0), of=readings)
    [again] = told(151 * S, silent, of=readings)
    assert (again.fields, again.quality) == ((), Quality.COMMS)


@pytest.mark.parametrize("n", [1, 3])
def test_what_comes_within_a_moment_shares_a_live_message(n: int) -> None:
    sent: list[bytes] = []

    async def run() -> None:
        live = Live(lambda: 1_000_000_000, sent.append)
        for i in range(n):
            live.add(Reading(f"s-{i}", "p", i * 1_000_000, ("depth_m",), (0.25,), 4))
        assert sent == []
        await asyncio.sleep(0.01)

    asyncio.run(run())
    [message] = sent
    rows = [[f"s-{i}", 1_000 + i, {"depth_m": 0.25}, 4] for i in range(n)]
    assert json.loads(message) == {"v": 1, "r": rows}


def test_live_drops_the_oldest_above_its_bound_and_counts() -> None:
    sent: list[bytes] = []

    async def run() -> int:
        live = Live(lambda: 0, sent.append)
        for i in range(2_010):
            live.add(Reading("s", "p", i * 1_000_000, (), (), 0))
        live.flush()
        return live.dropped_n

    assert asyncio.run(run()) == 10
    rows = json.loads(sent[0])["r"]
    assert (len(rows), rows[0][1], rows[-1][1]) == (2_000, 10, 2_009)
