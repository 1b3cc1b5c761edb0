"""Which samples are believed: the checks of one sample, of one reply, of a derived value, and of silence."""

import math

import numpy as np
import pytest

from models.derive import depth_flags, depth_m
from models.judge import Channel, Judge
from models.quality import checked_flags
from models.reading import KINDS, Quality, QualityClass, make_batch, quality_class

S = 10**9
NAN = math.nan
Q = Quality


def ward(*names: str, **times_s: float) -> Judge:
    period, blind, warmup = (
        int(times_s.get(k, d) * S) for k, d in (("period", 5), ("blind", 600), ("warmup", 0))
    )
    channels = []
    for name in names:
        sensor, kind = name.split("/")
        info = KINDS[kind]
        channels.append(Channel(name, sensor, kind, "ngo-5", period, blind, warmup, info.low, info.high))
    return Judge(channels, [], 0)


@pytest.mark.parametrize(
    ("kind", "value", "flags", "expect"),
    [
        # ends of the physical range are possible, the next numbers are not
        ("humidity_pct", 0.0, 0, 0),
        ("humidity_pct", 105.0, 0, 0),
        ("humidity_pct", np.nextafter(105.0, 106), 0, Q.RANGE),
        ("humidity_pct", np.nextafter(0.0, -1), 0, Q.RANGE),
        # a negative depth is water below the street, no fault
        ("depth_m", -0.4, 0, 0),
        # no value without a reason gets one; with a reason it keeps its own
        ("distance_m", NAN, 0, Q.SENTINEL),
        ("distance_m", NAN, Q.NO_ECHO, Q.NO_ECHO),
        ("distance_m", NAN, Q.COMMS, Q.COMMS),
        # a bound without a value says nothing
        ("distance_m", NAN, Q.BOUND_LOW, Q.BOUND_LOW | Q.SENTINEL),
        ("distance_m", NAN, Q.BOUND_LOW | Q.STUCK, Q.BOUND_LOW | Q.SENTINEL),
        # a note is no reason
        ("distance_m", NAN, Q.TIME, Q.TIME | Q.SENTINEL),
        # infinity is no measurement, not even of a raw number without limits
        ("raw_3", math.inf, 0, Q.RANGE),
        ("raw_3", -math.inf, 0, Q.RANGE),
        ("raw_3", 1e308, 0, 0),
        # contacts are 0 or 1
        ("call_point", 1.0, 0, 0),
        ("call_point", 0.5, 0, Q.RANGE),
        ("call_point", 2.0, 0, Q.RANGE),
        # bounded is not bad: what a ceiling provokes is cleared
        (
            "smoke_db_m",
            20.0,
            Q.BOUND_HIGH | Q.STUCK | Q.SPIKE | Q.NOISE | Q.DEAD | Q.HELD | Q.OBSTRUCTED,
            Q.BOUND_HIGH,
        ),
        # other reasons stay
        ("smoke_db_m", 20.0, Q.BOUND_HIGH | Q.STUCK | Q.COUNTER, Q.BOUND_HIGH | Q.COUNTER),
        # without a bound nothing is cleared
        ("smoke_db_m", 20.0, Q.STUCK | Q.RATE, Q.STUCK | Q.RATE),
    ],
)
def test_a_sample_is_checked_by_itself(kind: str, value: float, flags: int, expect: int) -> None:
    info = KINDS[kind]
    assert Q(checked_flags(value, int(flags), info.low, info.high, int(info.is_contact))) == Q(expect)


@pytest.mark.parametrize("flag", [0, *Q])
def test_the_class_decides_whether_a_sample_is_believed(flag: int) -> None:
    judge = ward("box/raw_0")
    judge.judge(make_batch(S, [0], [7.0], [int(flag)]))
    [seen] = judge.view()
    is_believed = quality_class(flag) != QualityClass.BAD
    assert (seen.value == 7.0, seen.good_at_ns == S) == (is_believed, is_believed)
    assert seen.seen_at_ns == (None if flag == Q.COMMS else S)


@pytest.mark.parametrize(
    ("reply", "expect"),
    [
        # an impossible humidity makes the temperature of the same reply suspect
        ({"a/temperature_c": 20.0, "a/humidity_pct": 110.0}, [Q.PAIR, Q.RANGE]),
        # whatever stands first
        ({"a/humidity_pct": 110.0, "a/temperature_c": 20.0}, [Q.RANGE, Q.PAIR]),
        # two impossible ones need no further word
        ({"a/humidity_pct": 110.0, "a/temperature_c": 9999.0}, [Q.RANGE, Q.RANGE]),
        # the profile's own range counts like ours
        ({"a/humidity_pct": (104.0, Q.RANGE), "a/temperature_c": 20.0}, [Q.RANGE, Q.PAIR]),
        # a sentinel is an honest "no value": siblings stand
        ({"a/humidity_pct": (NAN, Q.SENTINEL), "a/temperature_c": 20.0}, [Q.SENTINEL, 0]),
        # an analogue head that runs out of its range in a fire does not hide the contact beside it
        ({"a/smoke_db_m": 101.0, "a/smoke_contact": 1.0}, [Q.RANGE, 0]),
        # an impossible contact makes the whole reply suspect, contacts too
        ({"a/smoke_contact": 2.0, "b/call_point": 1.0, "a/smoke_db_m": 0.1}, [Q.RANGE, Q.PAIR, Q.PAIR]),
        # a driver that said so already is not contradicted
        ({"a/humidity_pct": 110.0, "a/temperature_c": (20.0, Q.PAIR)}, [Q.RANGE, Q.PAIR]),
    ],
)
def test_an_impossible_value_makes_its_siblings_suspect(
    reply: dict[str, float | tuple[float, int]], expect: list[int]
) -> None:
    judge = ward(*reply)
    pairs = [value if isinstance(value, tuple) else (value, 0) for value in reply.values()]
    batch = make_batch(S, range(len(pairs)), [p[0] for p in pairs], [int(p[1]) for p in pairs])
    assert judge.judge(batch).batch.quality.tolist() == expect


@pytest.mark.parametrize(
    ("mount_m", "distance_m", "expect_m"),
    [
        (3.20, 2.986, 0.214),  # the contract's example
        (3.20, 3.25, -0.05),  # water below the street stays negative
        (3.20, 3.20, 0.0),  # dry
        (2.5, 2.2, 0.3),  # 0.2999999999999998 in binary
        (3.20, NAN, NAN),  # no echo is never depth 0
    ],
)
def test_depth_is_height_less_distance(mount_m: float, distance_m: float, expect_m: float) -> None:
    np.testing.assert_equal(depth_m(mount_m, distance_m), expect_m)


@pytest.mark.parametrize(
    ("distance", "depth"),
    [
        (Q.BOUND_LOW, Q.BOUND_HIGH),  # closer than the blanking distance: at least this deep
        (Q.BOUND_HIGH, Q.BOUND_LOW),  # farther than the head sees: at most this deep
        (Q.BOUND_LOW | Q.BOUND_HIGH, Q.BOUND_LOW | Q.BOUND_HIGH),
        (Q.NO_ECHO | Q.TIME, Q.NO_ECHO | Q.TIME),
        (0, 0),
    ],
)
def test_depth_carries_the_flags_of_its_distance_translated(distance: int, depth: int) -> None:
    assert Q(depth_flags(int(distance))) == Q(depth)


@pytest.mark.parametrize(
    ("period_s", "stale_s"),
    [
        (0.5, 1.625),  # three polls and a quarter of one
        (2, 6.5),
        (60, 181),  # the allowance ends at a second
    ],
)
def test_a_channel_is_stale_after_three_missed_polls_and_a_little(period_s: float, stale_s: float) -> None:
    judge = ward("box/raw_0", period=period_s, blind=10_000)
    judge.judge(make_batch(100 * S, [0], [1.0], [0]))
    for t, is_stale in ((100 + stale_s - 1e-9, False), (100 + stale_s, True)):
        judge.tick(round(t * S))
        assert judge.view()[0].is_stale is is_stale


def test_a_bad_sample_neither_refreshes_a_channel_nor_replaces_its_value() -> None:
    judge = ward("box/raw_0", blind=20)
    judge.judge(make_batch(0, [0], [1.0], [0]))
    for t in range(5, 20, 5):
        judge.judge(make_batch(t * S, [0], [9.0], [int(Q.SPIKE)]))
    [seen] = judge.view()
    assert (seen.value, seen.good_at_ns, seen.seen_at_ns, seen.quality) == (1.0, 0, 15 * S, int(Q.SPIKE))
    assert judge.tick(20 * S).blind == (("box", True),)


def test_a_channel_never_heard_is_blind_counted_from_the_start() -> None:
    judge = ward("box/raw_0", blind=30)
    assert judge.next_tick_ns() == 16 * S  # stale
    assert judge.tick(16 * S).blind == ()
    assert judge.next_tick_ns() == 30 * S
    assert judge.tick(30 * S).blind == (("box", True),)
    [seen] = judge.view()
    assert (seen.value, seen.good_at_ns, seen.judged, seen.is_blind) == (None, None, False, True)


def test_warm_up_starts_again_after_a_lapse_but_not_after_one_missed_poll() -> None:
    judge = ward("box/raw_0", warmup=10)
    flags = []
    for t in (0, 5, 10, 20, 25, 41, 46, 51):  # one missed between 10 and 20; 25 -> 41 is the lapse
        flags += judge.judge(make_batch(t * S, [0], [1.0], [0])).batch.quality.tolist()
    w = int(Q.WARMUP)
    assert flags == [w, w, 0, 0, 0, w, w, 0]


def test_infinity_leaves_as_no_value() -> None:
    judged = ward("box/raw_0").judge(make_batch(0, [0], [math.inf], [0])).batch
    assert math.isnan(judged.value[0])
    assert judged.quality[0] == Q.RANGE
