"""The judge against its twin on random streams, at exact boundaries, and in the cases from the field."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evidence import Evidence
from models.judge import Channel, ContactRule, Judge, Judgement, ThresholdRule
from models.reading import BOUNDED, KINDS, Hazard, Quality, make_batch
from tests.naive import NaiveJudge

S = 10**9
NAN = math.nan
COMMS = int(Quality.COMMS)


def channel(
    name: str, period_s: float = 5, blind_s: float = 600, warmup_s: float = 0, **more: object
) -> Channel:
    sensor, kind = name.split("/")
    info = KINDS[kind]
    times = int(period_s * S), int(blind_s * S), int(warmup_s * S)
    return replace(Channel(name, sensor, kind, "ngo-12", *times, info.low, info.high), **more)


def depth(sensor: str = "level", **more: object) -> Channel:
    return channel(f"{sensor}/depth_m", **{"source": f"{sensor}/distance_m", "mount_height_m": 3.2, **more})


def fire(name: str) -> Channel:
    return channel(name, period_s=0.5, blind_s=30)


def send(judge: Judge, at_s: float, **values: object) -> Judgement:
    """Judge one reply: `sensor__kind=value` or `=(value, flags)`."""
    names = [name.replace("__", "/").replace("_of_", "-") for name in values]
    pairs = [value if isinstance(value, tuple) else (value, 0) for value in values.values()]
    index, value, flags = [judge.index[n] for n in names], [p[0] for p in pairs], [int(p[1]) for p in pairs]
    return judge.judge(make_batch(int(at_s * S), index, value, flags))


def brief(evidence: Sequence[Evidence]) -> list[tuple[str, bool, int, tuple[str, ...]]]:
    return [(e.alarm, e.judged, e.level, tuple(c.channel for c in e.contributions)) for e in evidence]


# --- random streams against the twin

WARD = [
    channel("level/distance_m", warmup_s=5),
    # goes blind before its mother: its rule is not judged, its sensor is not blind
    depth(blind_s=10),
    channel("air/temperature_c", period_s=2, blind_s=100, warmup_s=4),
    channel("air/humidity_pct", period_s=2, blind_s=100),
    channel("head-1/smoke_contact", period_s=0.5, blind_s=30, warmup_s=2),
    channel("head-2/smoke_contact", period_s=0.5, blind_s=30),
    channel("button/call_point", period_s=0.5, blind_s=30),
    channel("head-3/heat_contact", period_s=2, blind_s=30),
    # blind before it is stale
    channel("box/raw_0", period_s=60, blind_s=30, warmup_s=5),
]
RULES: list[ThresholdRule | ContactRule] = [
    ThresholdRule("flood", Hazard.FLOOD, "level/depth_m", (0.05, 0.15, 0.30, 0.50), deadband=0.03),
    ThresholdRule("far", Hazard.TROUBLE, "level/distance_m", (3.1, 3.2), deadband=0.01),
    ContactRule(
        "fire-a", ("head-1/smoke_contact", "head-2/smoke_contact", "button/call_point"), (False, False, True)
    ),
    ThresholdRule("cold", Hazard.AIR, "air/temperature_c", (10.0, 5.0, 0.0), above=False, deadband=1.0),
    ThresholdRule("wet", Hazard.AIR, "air/humidity_pct", (90.0,)),
    ContactRule("fire-b", ("head-3/heat_contact", "head-2/smoke_contact"), (False, True), 60 * S),
    ThresholdRule("state", Hazard.TROUBLE, "head-1/smoke_contact", (1.0,)),
]
REPLIES = [
    ["level/distance_m"],
    ["air/temperature_c", "air/humidity_pct"],
    ["head-1/smoke_contact", "head-2/smoke_contact", "button/call_point", "head-3/heat_contact"],
    [c.name for c in WARD if c.source is None],
]
VALUES = {
    "distance_m": [3.2, 3.19, 3.15, 3.05, 3.049, 2.9, 2.7, 2.71, 2.73, 2.74, 0.15, 4.0, -1.0, 101.0, 1e300],
    "temperature_c": [20.0, 11.0, 10.0, 6.0, 5.0, 1.0, 0.0, -3.0, 2000.0],
    "humidity_pct": [50.0, 90.0, 89.9, 110.0],
    "raw_0": [0.0, 1e300, -1.0],
}
# The times at which something turns: periods, stale, warm-up, blind, windows.
GAPS_S = [
    0.0,
    0.0,
    0.5,
    0.5,
    1.0,
    1.6,
    1.625,
    2.0,
    4.0,
    5.0,
    6.5,
    16.25,
    30.0,
    60.0,
    100.0,
    119.0,
    120.0,
    600.0,
]
FLAGS = [
    *[0] * 4,
    *map(int, Quality),
    int(Quality.BOUND_HIGH | Quality.STUCK),
    int(Quality.BOUND_LOW),
    int(BOUNDED),
]


@st.composite
def samples(draw: st.DrawFn, name: str) -> tuple[str, float, int]:
    kind = name.split("/")[1]
    usual = VALUES.get(kind, [0.0, 0.0, 1.0, 1.0, 0.5])
    value = draw(st.sampled_from([*usual, *usual, NAN, math.inf]))
    return name, value, draw(st.sampled_from(FLAGS))


@st.composite
def replies(draw: st.DrawFn) -> list[tuple[str, float, int]]:
    names = draw(st.sampled_from(REPLIES))
    if draw(st.integers(0, 5)) == 0:
        return [(name, NAN, COMMS) for name in names]
    return [draw(samples(name)) for name in draw(st.permutations(names))]


steps = st.lists(
    st.tuples(
        st.sampled_from(GAPS_S).map(lambda s: int(s * S)) | st.sampled_from([-S, 1, -1]),
        st.none() | replies(),
    ),
    max_size=40,
)


def same_evidence(ours: Sequence[Evidence], twins: Sequence[Evidence]) -> None:
    mute = [replace(e, contributions=tuple(replace(c, why="") for c in e.contributions)) for e in ours]
    assert mute == list(twins)


def same_batch(judge: Judge, judgement: Judgement, twins: list[tuple[str, float, int]]) -> None:
    assert judgement.batch.channel.tolist() == [judge.index[name] for name, _, _ in twins]
    assert judgement.batch.quality.tolist() == [flags for _, _, flags in twins]
    np.testing.assert_array_equal(judgement.batch.value, [value for _, value, _ in twins])


@settings(max_examples=150, deadline=None)
@given(steps, st.sampled_from([0, 7 * S]))
def test_the_judge_and_its_twin_say_the_same_about_any_stream(
    stream: list[tuple[int, list[tuple[str, float, int]] | None]], start_ns: int
) -> None:
    judge, twin = Judge(WARD, RULES, start_ns), NaiveJudge(WARD, RULES, start_ns)
    now_ns = start_ns
    for gap_ns, reply in stream:
        now_ns += gap_ns
        if reply is None:
            ours, (evidence, blind) = judge.tick(now_ns), twin.tick(now_ns)
            assert ours.batch.channel.size == 0
        else:
            names, values, flags = zip(*reply, strict=True)
            ours = judge.judge(make_batch(now_ns, map(judge.index.get, names), values, flags))
            final, evidence, blind = twin.judge(now_ns, reply)
            same_batch(judge, ours, final)
        same_evidence(ours.evidence, evidence)
        assert list(ours.blind) == blind
        # exact after a tick; a batch may leave a time that has become too early, never one that is too late
        said, due = judge.next_tick_ns() or math.inf, twin.next_change()
        assert said == due if reply is None else said <= due
    for seen in judge.view():
        ours_seen = (
            seen.value, seen.quality, seen.good_at_ns, seen.seen_at_ns,
            seen.is_stale, seen.is_blind, seen.is_warming, seen.judged,
        )  # fmt: skip
        assert ours_seen == twin.view(seen.name), seen.name
    assert sum(e.judged for e in map(judge.evidence_of, (r.id for r in RULES))) == sum(
        bool(key[0]) for key in twin.told.values()
    )
    # time alone: nothing happens before the stated time, and following it ends with nothing left to happen
    for _ in range(200):
        at_ns = judge.next_tick_ns()
        if at_ns is None:
            break
        for t in (at_ns - 1, at_ns) if at_ns > twin.now else (twin.now,):
            ours, (evidence, blind) = judge.tick(t), twin.tick(t)
            same_evidence(ours.evidence, evidence)
            assert list(ours.blind) == blind
            assert t != at_ns - 1 or not (evidence or blind)
    assert judge.next_tick_ns() is None
    assert all(seen.is_blind for seen in judge.view())


@settings(max_examples=60, deadline=None)
@given(steps, st.integers(0, 8))
def test_a_batch_may_be_split_and_its_channels_told_in_any_order(
    stream: list[tuple[int, list[tuple[str, float, int]] | None]], cut: int
) -> None:
    whole, split = Judge(WARD, RULES, 0), Judge(WARD, RULES, 0)
    impossible = int(Quality.RANGE)
    now_ns = 0
    for gap_ns, reply in stream:
        now_ns += gap_ns
        if reply is None:
            assert whole.tick(now_ns).blind == split.tick(now_ns).blind
            continue
        # PAIR is a property of one reply: leave out what would set it
        clean = [s for s in reply if not whole_flags(s) & impossible]
        parts = [clean], [list(reversed(clean[cut:])), list(reversed(clean[:cut]))]
        for judge, batches in zip((whole, split), parts, strict=True):
            for part in batches:
                columns = ([s[i] for s in part] for i in range(3))
                names, values, flags = columns
                judge.judge(make_batch(now_ns, map(judge.index.get, names), values, flags))
        for rule in RULES:
            ours, other = whole.evidence_of(rule.id), split.evidence_of(rule.id)
            assert (ours.judged, ours.level) == (other.judged, other.level)
            assert set(ours.contributions) == set(other.contributions)
        assert whole.view() == split.view()


def whole_flags(sample: tuple[str, float, int]) -> int:
    name, value, flags = sample
    return NaiveJudge(WARD, [], 0)._checked(name, value, Quality(flags))[2]


# --- limits

ABOVE = ThresholdRule("r", Hazard.FLOOD, "box/raw_0", (1.0, 2.0), deadband=0.25)
BELOW = ThresholdRule("r", Hazard.AIR, "box/raw_0", (2.0, 1.0), above=False, deadband=0.25)
UP, DOWN = math.inf, -math.inf


@pytest.mark.parametrize(
    ("rule", "values", "levels"),
    [
        # exactly at the limit reaches it, one step below does not
        (ABOVE, [np.nextafter(1.0, DOWN), 1.0], [0, 1]),
        # exactly limit - deadband still holds, the next smaller number leaves
        (ABOVE, [1.0, 0.75, np.nextafter(0.75, DOWN)], [1, 1, 0]),
        # two levels at once up; down one by one, each by its own deadband
        (ABOVE, [5.0, 1.75, 1.7, 0.75, 0.7], [2, 2, 1, 1, 0]),
        # from the top to nothing in one sample
        (ABOVE, [5.0, 0.0], [2, 0]),
        # between deadband and limit nothing rises that was not there
        (ABOVE, [0.8, 0.99], [0, 0]),
        # below: exactly at the limit reaches it, one step above does not
        (BELOW, [np.nextafter(2.0, UP), 2.0], [0, 1]),
        # below: exactly limit + deadband still holds, the next larger number leaves
        (BELOW, [2.0, 2.25, np.nextafter(2.25, UP)], [1, 1, 0]),
        # below: all levels at once
        (BELOW, [0.5, 1.25, 1.3, 2.3], [2, 2, 1, 0]),
        # "at least": raises, never lowers
        (ABOVE, [(1.5, Quality.BOUND_HIGH), (0.1, Quality.BOUND_HIGH), 0.1], [1, 1, 0]),
        # "at most": lowers, never raises
        (
            ABOVE,
            [(5.0, Quality.BOUND_LOW), 5.0, (1.5, Quality.BOUND_LOW), (0.1, Quality.BOUND_LOW)],
            [0, 2, 1, 0],
        ),
        # below, "at least": lowers, never raises
        (BELOW, [(0.5, Quality.BOUND_HIGH), 0.5, (3.0, Quality.BOUND_HIGH)], [0, 2, 0]),
        # below, "at most": raises, never lowers
        (BELOW, [(0.5, Quality.BOUND_LOW), (3.0, Quality.BOUND_LOW), 3.0], [2, 2, 0]),
        # a saturated head that repeats its ceiling stays up although a driver calls it stuck
        (ABOVE, [(5.0, Quality.BOUND_HIGH | Quality.STUCK)] * 3, [2, 2, 2]),
        # bad samples move nothing, up or down
        (ABOVE, [(5.0, Quality.SPIKE), 5.0, (0.0, Quality.NO_ECHO), (NAN, Quality.COMMS)], [0, 2, 2, 2]),
        # noted ones feed
        (ABOVE, [(5.0, Quality.TIME), (0.0, Quality.GAP)], [2, 0]),
    ],
)
def test_a_level_rises_at_its_limit_and_falls_beyond_its_deadband(
    rule: ThresholdRule, values: list[float | tuple[float, int]], levels: list[int]
) -> None:
    judge = Judge([channel("box/raw_0")], [rule], 0)
    got = []
    for t, value in enumerate(values):
        send(judge, t, box__raw_0=value)
        got.append(judge.evidence_of("r").level)
    assert got == levels


def test_a_contribution_says_which_limit_since_when_and_why() -> None:
    judge = Judge([channel("level/distance_m"), depth()], [RULES[0]], 0)
    send(judge, 1, level__distance_m=3.0)
    send(judge, 6, level__distance_m=2.79)
    assert judge.evidence_of("flood").contributions[0].since_ns == 6 * S
    [up] = judge.evidence_of("flood").contributions
    assert (up.value, up.limit, up.bound, up.why) == (0.41, 0.30, None, "0.41 m >= 0.30 m")
    send(judge, 11, level__distance_m=2.92)
    [held] = judge.evidence_of("flood").contributions
    assert (held.limit, held.since_ns, held.why) == (0.30, 6 * S, "0.28 m, not yet below 0.27 m")
    # back on level 2, which has been reached since the first sample
    send(judge, 16, level__distance_m=3.0)
    assert judge.evidence_of("flood").contributions[0].since_ns == 1 * S
    send(judge, 21, level__distance_m=(0.2, Quality.BOUND_LOW))
    [least] = judge.evidence_of("flood").contributions
    assert (least.bound, least.why) == ("at_least", "at least 3.00 m >= 0.50 m")


def test_evidence_comes_only_when_judged_level_or_contributors_change() -> None:
    judge = Judge([channel("box/raw_0")], [ABOVE], 0)
    told = [
        brief(send(judge, t, box__raw_0=v).evidence)
        for t, v in enumerate([0.0, 0.5, 1.0, 1.5, 2.0, 2.0, 0.0])
    ]
    up = ("box/raw_0",)
    assert told == [
        [("r", True, 0, ())], [], [("r", True, 1, up)], [], [("r", True, 2, up)], [], [("r", True, 0, ())]
    ]  # fmt: skip


def test_a_depth_that_reaches_the_limit_is_not_lost_to_binary_fractions() -> None:
    # 2.5 - 2.2 is 0.2999999999999998 in binary
    channels = [channel("level/distance_m"), depth(mount_height_m=2.5)]
    judge = Judge(channels, [ThresholdRule("r", Hazard.FLOOD, "level/depth_m", (0.30,))], 0)
    assert send(judge, 1, level__distance_m=2.2).batch.value.tolist() == [2.2, 0.3]
    assert judge.evidence_of("r").level == 1


# --- contacts

HEADS = ("a/smoke_contact", "b/smoke_contact", "c/heat_contact")
BUTTON = "n/call_point"


def fire_ward(*certified: bool) -> Judge:
    names = (*HEADS, BUTTON)
    return Judge(
        [fire(n) for n in names], [ContactRule("fire", names, certified or (False, False, False, True))], 0
    )


def closed(judge: Judge, at_s: float, names: str) -> Evidence:
    """One reply of all four contacts: those whose sensor's letter is in `names` are 1."""
    send(
        judge, at_s,
        a__smoke_contact=float("a" in names), b__smoke_contact=float("b" in names),
        c__heat_contact=float("c" in names), n__call_point=float("n" in names),
    )  # fmt: skip
    return judge.evidence_of("fire")


@pytest.mark.parametrize(
    ("story", "levels"),
    [
        # nobody: judged, no fire
        ([(1, "")], [0]),
        # one head is an indication, whatever its age
        ([(1, "a"), (1000, "a")], [1, 1]),
        # a call point confirms alone and at once
        ([(1, "n")], [2]),
        # a call point and any other: further criteria
        ([(1, "n"), (2, "nb")], [2, 3]),
        # two heads confirm; three are further criteria
        ([(1, "a"), (2, "ab"), (3, "abc")], [1, 2, 3]),
        # the first is back for exactly the window when the second comes: confirmed
        ([(1, "a"), (2, ""), (122, "b")], [1, 0, 2]),
        # one nanosecond more: only an indication
        ([(1, "a"), (2, ""), (122.000000001, "b")], [1, 0, 1]),
        # a head that never went back counts however long ago it rose
        ([(1, "a"), (500, "ab")], [1, 2]),
        # the same head twice is one head
        ([(1, "a"), (2, ""), (3, "a")], [1, 0, 1]),
        # all back: absent, although two were active a moment ago
        ([(1, "ab"), (2, "")], [2, 0]),
    ],
)
def test_contacts_of_a_place_confirm_each_other(story: list[tuple[float, str]], levels: list[int]) -> None:
    judge = fire_ward()
    assert [closed(judge, at_s, names).level for at_s, names in story] == levels


def test_a_certified_head_confirms_alone() -> None:
    assert closed(fire_ward(True, False, False, True), 1, "a").level == 2


def test_contributions_stand_in_the_order_in_which_they_rose() -> None:
    judge = fire_ward()
    closed(judge, 1, "c")
    closed(judge, 2, "ca")
    evidence = closed(judge, 3, "an")
    assert [(c.channel, c.value, c.since_ns, c.why) for c in evidence.contributions] == [
        ("c/heat_contact", 0.0, 1 * S, "was active until 0 s ago"),
        ("a/smoke_contact", 1.0, 2 * S, "active"),
        (BUTTON, 1.0, 3 * S, "active"),
    ]


def test_a_tick_ends_the_window_of_a_contact_that_went_back() -> None:
    judge = fire_ward()
    closed(judge, 1, "ab")
    for t in range(2, 122):
        closed(judge, t, "a")
    assert judge.evidence_of("fire").level == 2
    assert brief(judge.tick(122 * S).evidence) == []
    assert brief(judge.tick(122 * S + 1).evidence) == [("fire", True, 1, (HEADS[0],))]


def test_another_contributor_is_news_at_the_same_level() -> None:
    judge = fire_ward()
    closed(judge, 1, "abc")
    news = send(judge, 2, n__call_point=1.0).evidence
    assert brief(news) == [("fire", True, 3, (*HEADS, BUTTON))]
    assert send(judge, 3, n__call_point=1.0).evidence == ()


def test_the_end_of_a_window_is_a_time_to_tick() -> None:
    slow = [channel(name, period_s=1000, blind_s=10_000) for name in HEADS]
    judge = Judge(slow, [ContactRule("fire", HEADS, (False,) * 3)], 0)
    send(judge, 1, a__smoke_contact=1.0, b__smoke_contact=1.0, c__heat_contact=0.0)
    send(judge, 2, b__smoke_contact=0.0)
    assert judge.next_tick_ns() == 122 * S + 1
    assert judge.tick(100 * S).evidence == ()
    assert judge.next_tick_ns() == 122 * S + 1


def test_no_fire_is_judged_only_when_every_contact_has_been_seen() -> None:
    judge = fire_ward()
    assert not judge.evidence_of("fire").judged
    assert send(judge, 1, a__smoke_contact=0.0, b__smoke_contact=0.0, n__call_point=0.0).evidence == ()
    # the unseen one answers nonsense, then believably
    assert send(judge, 2, c__heat_contact=(NAN, Quality.OPEN)).evidence == ()
    assert brief(send(judge, 3, c__heat_contact=0.0).evidence) == [("fire", True, 0, ())]


def test_an_active_contact_counts_while_others_were_never_seen() -> None:
    judge = fire_ward()
    assert brief(send(judge, 1, n__call_point=1.0).evidence) == [("fire", True, 2, (BUTTON,))]
    assert brief(send(judge, 2, n__call_point=0.0).evidence) == [("fire", False, 0, ())]


def test_a_dead_contact_makes_no_fire_unjudged_but_hides_no_fire() -> None:
    judge = fire_ward()
    closed(judge, 0, "")
    for t in range(1, 30):
        send(judge, t, a__smoke_contact=0.0, b__smoke_contact=0.0, n__call_point=0.0)
    judgement = judge.tick(30 * S)
    assert judgement.blind == (("c", True),)
    assert brief(judgement.evidence) == [("fire", False, 0, ())]
    assert brief(send(judge, 31, a__smoke_contact=1.0).evidence) == [("fire", True, 1, (HEADS[0],))]
    back = send(judge, 32, c__heat_contact=0.0)
    assert back.blind == (("c", False),)


# --- cases from the field

FIELD = [channel("level/distance_m", warmup_s=5), depth(), fire(BUTTON)]
FIELD_RULES = [RULES[0], ContactRule("fire", (BUTTON,), (True,))]


def test_already_there_before_the_first_poll_and_again_after_an_outage() -> None:
    judge = Judge(FIELD, FIELD_RULES, 0)
    first = send(judge, 1, n__call_point=1.0, level__distance_m=2.8)
    assert brief(first.evidence) == [
        ("fire", True, 2, (BUTTON,))
    ]  # the level's sensor warms up: not judged yet
    assert brief(send(judge, 6, n__call_point=1.0, level__distance_m=2.8).evidence) == [
        ("flood", True, 3, ("level/depth_m",))
    ]
    out = [judge.tick(t * S) for t in range(7, 607)]
    assert [b for j in out for b in j.blind] == [("n", True), ("level", True)]
    # unknown, neither raised nor cleared: the level stays in what is not judged
    assert [line for j in out for line in brief(j.evidence)] == [
        ("fire", False, 2, (BUTTON,)),
        ("flood", False, 3, ("level/depth_m",)),
    ]
    again = send(judge, 607, n__call_point=1.0, level__distance_m=2.8)
    assert brief(again.evidence) == [("fire", True, 2, (BUTTON,))]
    assert again.blind == (("level", False), ("n", False))
    assert judge.evidence_of("fire").contributions[0].since_ns == 1 * S
    assert brief(send(judge, 612, level__distance_m=2.8).evidence) == [("flood", True, 3, ("level/depth_m",))]
    assert judge.evidence_of("flood").contributions[0].since_ns == 6 * S


def test_busy_is_not_zero() -> None:
    # a module with a closed call point says "busy" for 60 s: no sample at all; the blind time here is 100 s
    button = replace(fire(BUTTON), blind_ns=100 * S)
    judge = Judge([button], [ContactRule("fire", (BUTTON,), (True,))], 0)
    send(judge, 1, n__call_point=1.0)
    for t in range(2, 62):
        assert judge.tick(t * S).evidence == ()
    [view] = judge.view()
    assert (view.value, view.is_stale, view.is_blind, view.good_at_ns) == (1.0, True, False, 1 * S)
    assert Quality.STALE in Quality(view.quality)
    evidence = judge.evidence_of("fire")
    assert (evidence.judged, evidence.level) == (True, 2)
    assert evidence.contributions[0].why == "active, last known 60 s ago"
    assert judge.tick(101 * S - 1).blind == ()
    assert brief(judge.tick(101 * S).evidence) == [("fire", False, 2, (BUTTON,))]


def test_failed_polls_feed_nothing_and_keep_the_last_value_with_its_age() -> None:
    judge = Judge(FIELD, FIELD_RULES, 0)
    for t in (1, 6):
        send(judge, t, level__distance_m=2.8, n__call_point=1.0)
    for t in (11, 16, 21, 26):
        failed = send(judge, t, level__distance_m=(NAN, COMMS), n__call_point=(NAN, COMMS))
        assert failed.evidence == ()
        assert failed.batch.quality.tolist() == [COMMS, COMMS, COMMS]
    views = {view.name: view for view in judge.view()}
    assert views["level/depth_m"].value == 0.4
    assert views["level/depth_m"].good_at_ns == views["level/depth_m"].seen_at_ns == 6 * S
    assert views["level/depth_m"].is_stale
    assert views["level/depth_m"].quality == COMMS | Quality.STALE


def test_a_saturated_level_keeps_the_flood_raised_for_hours() -> None:
    judge = Judge(FIELD, FIELD_RULES, 0)
    told = []
    for t in range(0, 4 * 3600, 5):
        told += brief(send(judge, t, level__distance_m=(0.15, Quality.BOUND_LOW | Quality.STUCK)).evidence)
        told += brief([e for e in judge.tick(t * S).evidence if e.alarm == "flood"])
    assert told == [("flood", True, 4, ("level/depth_m",))]


# --- time, wiring, misuse


def test_time_that_does_not_advance_is_no_time_and_no_crash() -> None:
    judge = fire_ward()
    closed(judge, 100, "a")
    assert closed(judge, 50, "ab").level == 2  # counts at 100 s
    assert judge.evidence_of("fire").contributions[1].since_ns == 100 * S
    assert judge.tick(0).evidence == ()


def test_a_sensor_is_blind_with_one_of_its_channels_and_back_with_all() -> None:
    pair = [channel("air/temperature_c", blind_s=10), channel("air/humidity_pct", blind_s=10)]
    judge = Judge(pair, [], 0)
    send(judge, 5, air__temperature_c=20.0)
    assert judge.tick(10 * S - 1).blind == ()
    assert judge.tick(10 * S).blind == (("air", True),)
    assert send(judge, 11, air__temperature_c=20.0).blind == ()
    assert send(judge, 12, air__temperature_c=20.0, air__humidity_pct=50.0).blind == (("air", False),)


def test_warming_up_is_not_judged_and_not_fine() -> None:
    judge = Judge([channel("box/raw_0", warmup_s=60)], [ABOVE], 0)
    assert send(judge, 1, box__raw_0=5.0).batch.quality.tolist() == [Quality.WARMUP]
    assert (
        send(judge, 60.999999999, box__raw_0=5.0).evidence == ()
    )  # also: stale meanwhile, so it begins again
    assert judge.view()[0].is_warming
    for t in range(65, 121, 5):
        assert send(judge, t, box__raw_0=5.0).evidence == ()
    assert brief(send(judge, 120.999999999, box__raw_0=5.0).evidence) == [("r", True, 2, ("box/raw_0",))]
    # a lapse of three periods and a little: not judged again, the level is neither raised nor cleared
    assert brief(send(judge, 140, box__raw_0=0.0).evidence) == [("r", False, 2, ("box/raw_0",))]


@pytest.mark.parametrize(
    ("channels", "rule"),
    [
        # levels out of order, twice, none; a deadband that is none
        (["box/raw_0"], lambda: replace(ABOVE, levels=(2.0, 1.0))),
        (["box/raw_0"], lambda: replace(ABOVE, levels=(1.0, 1.0))),
        (["box/raw_0"], lambda: replace(ABOVE, levels=())),
        (["box/raw_0"], lambda: replace(ABOVE, deadband=-0.1)),
        # a rule of nobody, of one contact twice, of a number
        (["n/call_point"], lambda: ContactRule("fire", (), ())),
        (["n/call_point"], lambda: ContactRule("fire", (BUTTON, BUTTON), (True, True))),
        (["box/raw_0"], lambda: ContactRule("fire", ("box/raw_0",), (False,))),
        # two channels of one name
        (["box/raw_0", "box/raw_0"], lambda: ABOVE),
    ],
)
def test_a_ward_that_makes_no_sense_is_a_programmers_error(
    channels: list[str], rule: Callable[[], ThresholdRule | ContactRule]
) -> None:
    with pytest.raises(AssertionError):
        Judge([channel(name) for name in channels], [rule()], 0)


def test_an_index_that_is_no_channel_is_a_programmers_error() -> None:
    judge = fire_ward()
    for index in (-1, 4):
        with pytest.raises(AssertionError):
            judge.judge(make_batch(0, [index], [0.0], [0]))


def test_a_reply_with_more_channels_than_a_batch_holds_is_refused() -> None:
    many = [channel(f"s{i}/distance_m") for i in range(200)] + [depth(f"s{i}") for i in range(200)]
    with pytest.raises(AssertionError):
        Judge(many, [], 0).judge(make_batch(1, range(200), [1.0] * 200, [0] * 200))


def test_a_ward_without_channels_or_rules_can_be_judged() -> None:
    judge = Judge([], [], 0)
    assert judge.tick(S).evidence == judge.judge(make_batch(S, [], [], [])).evidence == ()
    assert judge.next_tick_ns() is None
    assert judge.view() == []
