"""The alarm machine: every (state, mask, input), each deadline to the nanosecond, unknown, restart, twin."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from models.alarm import (
    Acked,
    Alarm,
    AlarmEvent,
    AlarmInput,
    AlarmRule,
    Condition,
    Mask,
    Reset,
    Tick,
    Unknown,
    advance,
    is_present,
    is_raised,
    mask,
    next_deadline,
)
from models.alarm_table import TRANSITIONS, AlarmState
from models.kept import alarm_from_dict, alarm_to_dict

ON, OFF = 60, 600
QUICK = AlarmRule("a")
QUICK_LATCH = AlarmRule("a", latch=True)
SLOW = AlarmRule("a", ON, OFF)
SLOW_LATCH = AlarmRule("a", ON, OFF, latch=True)

INPUTS: dict[str, AlarmInput] = {
    "clear": Condition(0),
    "level1": Condition(1),
    "level2": Condition(2),
    "unknown": Unknown(),
    "ack": Acked("an"),
    "reset": Reset("binh"),
    "tick": Tick(),
}

# name: the alarm as it stands at t = 1000, judged unless it says so; "latch" rows have a latching rule.
BEFORE: dict[str, tuple[AlarmRule, dict[str, Any]]] = {
    "quick normal": (QUICK, {}),
    "quick unacked": (QUICK, {"state": AlarmState.UNACKED, "level": 1}),
    "quick unacked2": (QUICK, {"state": AlarmState.UNACKED, "level": 2}),
    "quick acked2": (QUICK, {"state": AlarmState.ACKED, "level": 2, "acked_by": "an"}),
    "quick acked": (QUICK, {"state": AlarmState.ACKED, "level": 1, "acked_by": "an"}),
    "quick returned": (QUICK, {"state": AlarmState.RETURNED_UNACKED}),
    "quick unacked silent": (QUICK, {"state": AlarmState.UNACKED, "level": 1, "judged": False}),
    "quick acked silent": (QUICK, {"state": AlarmState.ACKED, "level": 1, "acked_by": "an", "judged": False}),
    "latch acked silent": (
        QUICK_LATCH,
        {"state": AlarmState.ACKED, "level": 2, "latched": True, "acked_by": "an", "judged": False},
    ),
    "latch unacked": (QUICK_LATCH, {"state": AlarmState.UNACKED, "level": 1, "latched": True}),
    "latch unacked2": (QUICK_LATCH, {"state": AlarmState.UNACKED, "level": 2, "latched": True}),
    "latch acked": (QUICK_LATCH, {"state": AlarmState.ACKED, "level": 1, "latched": True, "acked_by": "an"}),
    "latch returned": (QUICK_LATCH, {"state": AlarmState.RETURNED_UNACKED, "latched": True}),
    "latch latched": (QUICK_LATCH, {"state": AlarmState.LATCHED, "latched": True, "acked_by": "an"}),
    "slow normal": (SLOW, {}),
    "slow pending": (SLOW, {"state": AlarmState.PENDING, "deadlines": {"on": 1001}}),
    "slow pending due": (SLOW, {"state": AlarmState.PENDING, "deadlines": {"on": 1000}}),
    "slow unacked": (SLOW, {"state": AlarmState.UNACKED, "level": 1}),
    "slow unacked going": (SLOW, {"state": AlarmState.UNACKED, "level": 1, "deadlines": {"off": 1001}}),
    "slow unacked gone": (SLOW, {"state": AlarmState.UNACKED, "level": 1, "deadlines": {"off": 1000}}),
    "slow acked": (SLOW, {"state": AlarmState.ACKED, "level": 2, "acked_by": "an"}),
    "slow acked gone": (
        SLOW,
        {"state": AlarmState.ACKED, "level": 1, "acked_by": "an", "deadlines": {"off": 1000}},
    ),
    "slow returned": (SLOW, {"state": AlarmState.RETURNED_UNACKED}),
    "slow latched": (SLOW_LATCH, {"state": AlarmState.LATCHED, "latched": True, "acked_by": "an"}),
}

# Written by hand from ISA-18.2 and the rules in the header of models/alarm.py. `.` = nothing happens;
# `what>state` = that event and the state after it; two events are joined by `+`.
WALK = """
before               | clear                              | level1              | level2              | unknown             | ack                                | reset                       | tick
quick normal         | .                                  | raised>unacked      | raised>unacked      | .                   | .                                  | .                           | .
quick unacked        | returned>returned_unacked          | .                   | rose>unacked        | .                   | acked>acked                        | .                           | .
quick unacked2       | returned>returned_unacked          | fell>unacked        | .                   | .                   | acked>acked                        | .                           | .
quick acked2         | returned>normal                    | fell>acked          | .                   | .                   | .                                  | .                           | .
quick acked          | returned>normal                    | .                   | rose>unacked        | .                   | .                                  | .                           | .
quick returned       | .                                  | raised>unacked      | raised>unacked      | .                   | acked>normal                       | reset>normal                | .
quick unacked silent | returned>returned_unacked          | .                   | rose>unacked        | .                   | acked>acked                        | reset>normal                | .
quick acked silent   | returned>normal                    | .                   | rose>unacked        | .                   | .                                  | reset>normal                | .
latch acked silent   | returned>latched                   | .                   | .                   | .                   | .                                  | reset>normal                | .
latch unacked        | returned>returned_unacked          | .                   | rose>unacked        | .                   | acked>acked                        | .                           | .
latch unacked2       | returned>returned_unacked          | .                   | .                   | .                   | acked>acked                        | .                           | .
latch acked          | returned>latched                   | .                   | rose>unacked        | .                   | .                                  | .                           | .
latch returned       | .                                  | raised>unacked      | raised>unacked      | .                   | acked>latched                      | reset>normal                | .
latch latched        | .                                  | raised>unacked      | raised>unacked      | .                   | .                                  | reset>normal                | .
slow normal          | .                                  | pending>pending     | pending>pending     | .                   | .                                  | .                           | .
slow pending         | lapsed>normal                      | .                   | .                   | .                   | .                                  | .                           | .
slow pending due     | raised>unacked                     | raised>unacked      | raised>unacked      | raised>unacked      | raised>unacked+acked>acked         | raised>unacked              | raised>unacked
slow unacked         | .                                  | .                   | .                   | .                   | acked>acked                        | .                           | .
slow unacked going   | .                                  | .                   | .                   | .                   | acked>acked                        | reset>normal                | .
slow unacked gone    | returned>returned_unacked          | returned>returned_unacked | returned>returned_unacked | returned>returned_unacked | returned>returned_unacked+acked>normal | returned>returned_unacked+reset>normal | returned>returned_unacked
slow acked           | .                                  | .                   | .                   | .                   | .                                  | .                           | .
slow acked gone      | returned>normal                    | returned>normal+pending>pending | returned>normal+pending>pending | returned>normal | returned>normal               | returned>normal             | returned>normal
slow returned        | .                                  | .                   | .                   | .                   | acked>normal                       | reset>normal                | .
slow latched         | .                                  | .                   | .                   | .                   | .                                  | reset>normal                | .
"""  # noqa: E501  a table is read by column

# A sensor that returns while its bus is down asked nobody: these cells differ under SUPPRESSED.
SUPPRESSED = {
    ("quick unacked", "clear"): "returned>normal",
    ("quick unacked2", "clear"): "returned>normal",
    ("quick unacked silent", "clear"): "returned>normal",
    ("slow unacked gone", "clear"): "returned>normal",
    ("slow unacked gone", "level1"): "returned>normal+pending>pending",
    ("slow unacked gone", "level2"): "returned>normal+pending>pending",
    ("slow unacked gone", "unknown"): "returned>normal",
    ("slow unacked gone", "ack"): "returned>normal",
    ("slow unacked gone", "reset"): "returned>normal",
    ("slow unacked gone", "tick"): "returned>normal",
}


def walk() -> list[tuple[str, str, str]]:
    head, *rows = [[cell.strip() for cell in line.split("|")] for line in WALK.strip().splitlines()]
    return [(row[0], name, want) for row in rows for name, want in zip(head[1:], row[1:], strict=True)]


def said(events: tuple[AlarmEvent, ...]) -> str:
    return "+".join(f"{event.what}>{event.after}" for event in events) or "."


def standing(name: str, under: Mask = Mask.NONE) -> tuple[Alarm, AlarmRule]:
    how, parts = BEFORE[name]
    return Alarm("a", **{"mask": under, "judged": True, **parts}), how


@pytest.mark.parametrize("under", list(Mask))
@pytest.mark.parametrize(("before", "name", "want"), walk())
def test_every_state_mask_and_input_does_what_the_table_says(
    before: str, name: str, want: str, under: Mask
) -> None:
    alarm, how = standing(before, under)
    if under is Mask.SUPPRESSED:
        want = SUPPRESSED.get((before, name), want)
    after, events = advance(alarm, how, INPUTS[name], 1000)
    assert said(events) == want
    assert after.state == (want.rpartition(">")[2] if want != "." else alarm.state)
    assert after.mask is under
    if events:
        assert after.revision == alarm.revision + 1
        assert [event.before for event in events[1:]] == [event.after for event in events[:-1]]


def test_the_walk_takes_every_row_of_the_table() -> None:
    rows = {
        (state, row.what, to) for (state, _), row in TRANSITIONS.items() for to in (row.to, row.to_latched)
    }
    taken = set()
    for before, name, want in walk():
        for under, cell in ((Mask.NONE, want), (Mask.SUPPRESSED, SUPPRESSED.get((before, name), want))):
            state = standing(before, under)[0].state
            for event in cell.split("+") if cell != "." else ():
                what, after = event.split(">")
                taken.add((state, what, after))
                state = AlarmState(after)
    assert taken == rows


def run(
    how: AlarmRule, steps: list[tuple[int, AlarmInput]], alarm: Alarm | None = None
) -> tuple[Alarm, list[str]]:
    alarm = alarm or Alarm(how.id)
    heard = []
    for at_ns, what in steps:
        alarm, events = advance(alarm, how, what, at_ns)
        heard += [f"{event.at_ns} {event.what} {event.level}" for event in events]
    return alarm, heard


@pytest.mark.parametrize(
    ("at_ns", "want"),
    [
        (ON - 1, []),  # one ns before: not yet
        (ON, ["60 raised 1"]),  # at it
        (ON + 1, ["61 raised 1"]),  # late ticks fire when they come
    ],
)
def test_an_on_delay_ends_at_its_nanosecond(at_ns: int, want: list[str]) -> None:
    _, heard = run(SLOW, [(0, Condition(1)), (at_ns, Tick())])
    assert heard == ["0 pending 0", *want]


@pytest.mark.parametrize(
    ("at_ns", "want"),
    [(100 + OFF - 1, []), (100 + OFF, ["700 returned 0"]), (100 + OFF + 1, ["701 returned 0"])],
)
def test_an_off_delay_ends_at_its_nanosecond(at_ns: int, want: list[str]) -> None:
    _, heard = run(SLOW, [(0, Condition(1)), (ON, Tick()), (100, Condition(0)), (at_ns, Tick())])
    assert heard[2:] == want


@pytest.mark.parametrize(("at_ns", "want"), [(129, []), (130, ["130 rose 3"]), (131, ["131 rose 3"])])
def test_a_rise_must_hold_for_the_on_delay(at_ns: int, want: list[str]) -> None:
    _, heard = run(SLOW, [(0, Condition(1)), (ON, Tick()), (70, Condition(3)), (at_ns, Tick())])
    assert heard[2:] == want


@pytest.mark.parametrize(("at_ns", "want"), [(699, []), (700, ["700 fell 1"]), (701, ["701 fell 1"])])
def test_a_fall_must_hold_for_the_off_delay(at_ns: int, want: list[str]) -> None:
    _, heard = run(SLOW, [(0, Condition(3)), (ON, Tick()), (100, Condition(1)), (at_ns, Tick())])
    assert heard[2:] == want


@pytest.mark.parametrize(
    ("at_ns", "want"), [(1499, []), (1500, ["1500 unmasked 0"]), (1501, ["1501 unmasked 0"])]
)
def test_a_mask_ends_at_its_nanosecond_judged_or_not(at_ns: int, want: list[str]) -> None:
    alarm, _ = mask(Alarm("a"), Mask.SUPPRESSED, 0, until_ns=1500)
    assert next_deadline(alarm) == 1500
    after, heard = run(QUICK, [(at_ns, Tick())], alarm)
    assert heard == want
    assert after.mask is (Mask.NONE if want else Mask.SUPPRESSED)


def test_one_wild_sample_never_makes_the_highest_level() -> None:
    steps = [(0, Condition(1)), (ON, Tick()), (70, Condition(4)), (71, Condition(1)), (1000, Tick())]
    assert run(SLOW, steps)[1] == ["0 pending 0", "60 raised 1"]


def test_fast_rising_water_is_counted_per_level() -> None:
    # Level 1 since 0, level 4 since 30: the fourth level is told at 90, not 60 s after the first was.
    steps = [(0, Condition(1)), (30, Condition(4)), (60, Tick()), (90, Tick())]
    assert run(SLOW, steps)[1] == ["0 pending 0", "60 raised 1", "90 rose 4"]


def test_falling_water_falls_to_the_highest_level_seen_meanwhile() -> None:
    steps = [
        (0, Condition(4)),
        (60, Tick()),
        (100, Condition(1)),
        (300, Condition(3)),
        (700, Tick()),
        (900, Tick()),
    ]
    # Below 4 since 100; below 3 only until 300.
    assert run(SLOW, steps)[1] == ["0 pending 0", "60 raised 4", "700 fell 3"]


def test_flapping_inside_the_delays_tells_once() -> None:
    steps: list[tuple[int, AlarmInput]] = [(0, Condition(1)), (60, Tick())]
    steps += [(100 + i, Condition(i % 2)) for i in range(500)]
    assert run(SLOW, steps)[1] == ["0 pending 0", "60 raised 1"]


def test_flapping_before_the_alarm_never_raises_it() -> None:
    steps: list[tuple[int, AlarmInput]] = [(i * 30, Condition((i + 1) % 2)) for i in range(20)]
    assert not [line for line in run(SLOW, steps)[1] if "raised" in line]


def test_without_delays_a_contact_raises_with_that_very_input() -> None:
    assert run(QUICK_LATCH, [(5, Condition(2))])[1] == ["5 raised 2"]


def test_a_latched_alarm_keeps_its_level_until_it_is_gone_and_reset() -> None:
    steps = [(0, Condition(2)), (9, Condition(1)), (10, Acked("an")), (20, Condition(0)), (30, Reset("binh"))]
    after, heard = run(QUICK_LATCH, steps)
    assert heard == ["0 raised 2", "10 acked 2", "20 returned 0", "30 reset 0"]
    assert after.state is AlarmState.NORMAL
    assert not after.latched
    assert after.acked_by is None


def test_a_rise_asks_again_and_forgets_who_answered_for_less() -> None:
    after, heard = run(QUICK, [(0, Condition(1)), (1, Acked("an")), (2, Condition(2))])
    assert heard == ["0 raised 1", "1 acked 1", "2 rose 2"]
    assert after.state is AlarmState.UNACKED
    assert after.acked_by is None


def test_a_reset_while_the_condition_is_known_to_be_there_does_nothing() -> None:
    alarm, _ = run(QUICK_LATCH, [(0, Condition(2))])
    assert is_present(alarm)
    assert advance(alarm, QUICK_LATCH, Reset("an"), 1) == (alarm, ())


def test_a_burnt_head_can_be_reset_and_raises_anew_when_it_speaks_again() -> None:
    steps = [(0, Condition(2)), (5, Unknown()), (9, Reset("an")), (20, Condition(2))]
    assert run(QUICK_LATCH, steps)[1] == ["0 raised 2", "9 reset 0", "20 raised 2"]


def test_a_reset_of_a_silent_alarm_forgets_what_was_running() -> None:
    # Raised, a rise running, then silence and a reset at 80: the next water is counted from its own first sample.
    steps = [(0, Condition(1)), (60, Tick()), (70, Condition(3)), (75, Unknown()), (80, Reset("an"))]
    alarm, _ = run(SLOW, steps)
    assert alarm.deadlines == {}
    assert run(SLOW, [(129, Condition(3)), (130, Tick()), (188, Tick()), (189, Tick())], alarm)[1] == [
        "129 pending 0",
        "189 raised 3",
    ]


def test_since_is_when_the_state_was_entered() -> None:
    steps = [(0, Condition(1)), (60, Tick()), (70, Condition(2)), (200, Tick())]
    alarm, heard = run(SLOW, steps)
    assert heard[-1] == "200 rose 2"
    assert alarm.since_ns == 60


# Unknown: it starts, stops and fires nothing.
def test_a_pending_alarm_waits_while_its_sensor_is_silent() -> None:
    alarm, heard = run(SLOW, [(0, Condition(1)), (20, Unknown()), (60, Tick()), (5000, Tick())])
    assert heard == ["0 pending 0"]
    assert next_deadline(alarm) is None  # time alone changes nothing: the loop must not spin
    assert run(SLOW, [(5001, Condition(1))], alarm)[1] == ["5001 raised 1"]
    assert run(SLOW, [(5001, Condition(0))], alarm)[1] == ["5001 lapsed 0"]


def test_bad_samples_between_good_ones_do_not_hide_a_flood() -> None:
    steps: list[tuple[int, AlarmInput]] = [(i, Condition(2) if i % 2 else Unknown()) for i in range(1, 200)]
    assert run(SLOW, steps)[1] == ["1 pending 0", "61 raised 2"]


def test_a_raised_alarm_never_returns_because_its_sensor_fell_silent() -> None:
    steps = [(0, Condition(1)), (60, Tick()), (100, Condition(0)), (200, Unknown()), (9000, Tick())]
    alarm, heard = run(SLOW, steps)
    assert heard[-1] == "60 raised 1"
    assert is_raised(alarm)
    assert run(SLOW, [(9001, Condition(1)), (9002, Tick())], alarm)[1] == []  # there again: it goes on
    assert run(SLOW, [(9001, Condition(0))], alarm)[1] == ["9001 returned 0"]


# Restart: names on disk, not judged afterwards, the same story.
def restored(alarm: Alarm) -> Alarm:
    return alarm_from_dict(json.loads(json.dumps(alarm_to_dict(alarm))))


def test_a_restored_pending_alarm_keeps_its_deadline() -> None:
    alarm, _ = run(SLOW, [(0, Condition(1))])
    back = restored(alarm)
    assert next_deadline(back) is None  # nobody looked while we were off
    assert run(SLOW, [(50, Condition(1)), (60, Tick())], back)[1] == ["60 raised 1"]
    assert run(SLOW, [(70, Condition(1))], back)[1] == ["70 raised 1"]
    assert run(SLOW, [(70, Condition(0))], back)[1] == ["70 lapsed 0"]


# What is due at t = 1000 is decided by the first evidence (above); the others go on as they were.
@pytest.mark.parametrize("name", [n for n in BEFORE if n.rpartition(" ")[2] not in ("due", "gone")])
def test_a_restored_alarm_with_the_same_condition_tells_nothing_new(name: str) -> None:
    alarm, how = standing(name)
    level = max(alarm.level, int("on" in alarm.deadlines)) * ("off" not in alarm.deadlines)
    after, events = advance(restored(alarm), how, Condition(level), 1000)
    assert events == ()
    assert after == replace(alarm, judged=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "shouting"),  # no such state
        ("state", 3),  # an index, not a name
        ("mask", None),
        ("level", "2"),
        ("level", True),  # a bool is no number
        ("level", -1),
        ("level", 2),  # a level without a raised alarm
        ("latched", 1),
        ("latched", True),  # latched and normal
        ("acked_by", "an"),  # answered and normal
        ("acked_by", 7),
        ("since_ns", 1.5),
        ("since_ns", -1),
        ("revision", None),
        ("id", None),
        ("deadlines", {"on": 5}),  # an on-delay without PENDING
        ("deadlines", {"off": 5}),
        ("deadlines", {"mask": 5}),  # the end of a mask that is not there
        ("deadlines", {"rise-10": 5}),
        ("deadlines", {"fire": 5}),
        ("deadlines", {"on": "5"}),
        ("deadlines", []),
        ("colour", "red"),  # an unknown name
    ],
)
def test_a_damaged_alarm_row_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError):
        alarm_from_dict({**alarm_to_dict(Alarm("a")), name: value})


def test_a_missing_name_is_refused() -> None:
    for name in alarm_to_dict(Alarm("a")):
        data = alarm_to_dict(Alarm("a"))
        del data[name]
        with pytest.raises(ValueError):
            alarm_from_dict(data)


def test_a_mask_says_so_once_and_leaves_the_state_alone() -> None:
    alarm, _ = run(QUICK, [(0, Condition(1))])
    hidden, events = mask(alarm, Mask.SUPPRESSED, 5)
    assert said(events) == "masked>unacked"
    assert hidden.state is AlarmState.UNACKED
    assert mask(hidden, Mask.SUPPRESSED, 6) == (hidden, ())
    longer, events = mask(hidden, Mask.SUPPRESSED, 6, until_ns=20)
    assert events == ()
    assert longer.revision == hidden.revision + 1
    assert said(mask(longer, Mask.NONE, 7)[1]) == "unmasked>unacked"
    assert mask(longer, Mask.NONE, 7)[0].deadlines == {}


def test_what_returns_in_the_moment_its_mask_ends_returns_unseen() -> None:
    alarm, _ = run(QUICK, [(0, Condition(1))], mask(Alarm("a"), Mask.SUPPRESSED, 0, until_ns=9)[0])
    after, heard = run(QUICK, [(9, Condition(0))], alarm)
    assert heard == ["9 returned 0", "9 unmasked 0"]
    assert after.state is AlarmState.NORMAL


class Twin(RuleBasedStateMachine):
    """Against a slow model that keeps every sample and knows no deadline: it looks back and asks how long."""

    on_ns: int
    off_ns: int

    @initialize(on_ns=st.sampled_from([0, 3, 7]), off_ns=st.sampled_from([0, 4, 11]), latch=st.booleans())
    def begin(self, on_ns: int, off_ns: int, latch: bool) -> None:
        self.rule = AlarmRule("a", on_ns, off_ns, latch)
        self.alarm = Alarm("a")
        self.now = 0
        self.history: list[tuple[int, int]] = []  # believable samples: time, level
        self.told = 0
        self.state, self.judged, self.latched = "normal", False, False
        self.highest_seen = 0

    def held_for(self, holds: Any) -> int | None:
        """How long the newest unbroken run of samples for which `holds(level)` lasts; None = not now."""
        since = None
        for at, level in reversed(self.history):
            if not holds(level):
                break
            since = at
        return None if since is None else self.now - since

    def model_time(self) -> None:
        if not self.judged:
            return
        above = 0
        for n in range(1, 6):
            lasted = self.held_for(lambda level, n=n: level >= n)
            if lasted is not None and lasted >= self.rule.on_ns and n > self.told:
                above = n
        if above:
            self.told, self.state = above, "unacked"
            self.latched = self.latched or self.rule.latch
            return
        for n in range(1, self.told + 1):
            lasted = self.held_for(lambda level, n=n: level < n)
            if lasted is not None and lasted >= self.rule.off_ns and (n == 1 or not self.rule.latch):
                self.told = n - 1
                if n == 1 and self.state == "acked":
                    self.state = "latched" if self.latched else "normal"
                elif n == 1:
                    self.state = "returned_unacked"
                return

    def feed(self, what: AlarmInput) -> None:
        before = self.alarm
        self.alarm, events = advance(before, self.rule, what, self.now)
        self.model_time()
        match what:
            case Condition(level):
                self.history.append((self.now, level))
                self.judged = True
                self.highest_seen = max(self.highest_seen, level)
            case Unknown():
                self.judged = False
            case Acked():
                if self.state == "unacked":
                    self.state = "acked"
                elif self.state == "returned_unacked":
                    self.state = "latched" if self.latched else "normal"
            case Reset():
                is_there = self.told > 0 and self.judged and self.history[-1][1] > 0
                if self.state not in ("normal",) and not is_there:
                    if self.told:
                        self.history.clear()
                    self.told, self.state, self.latched = 0, "normal", False
        self.model_time()
        assert bool(events) <= (
            replace(before, revision=0, judged=False) != replace(self.alarm, revision=0, judged=False)
        )
        assert (self.alarm.revision > before.revision) == (
            alarm_to_dict(replace(self.alarm, revision=0)) != alarm_to_dict(replace(before, revision=0))
        )

    @rule(level=st.integers(0, 4), wait=st.integers(0, 8))
    def sample(self, level: int, wait: int) -> None:
        self.pass_time(wait)
        self.feed(Condition(level))

    @rule(wait=st.integers(0, 8), what=st.sampled_from([Unknown(), Acked("an"), Reset("binh"), Tick()]))
    def other(self, wait: int, what: AlarmInput) -> None:
        self.pass_time(wait)
        self.feed(what)

    @rule()
    @precondition(lambda self: self.history and self.judged)
    def killed_and_restored(self) -> None:
        before = self.alarm
        self.alarm, events = advance(restored(before), self.rule, Condition(self.history[-1][1]), self.now)
        assert events == ()
        assert self.alarm == before

    def pass_time(self, wait: int) -> None:
        """A tick at every deadline on the way, as the loop does."""
        end = self.now + wait
        while (at := next_deadline(self.alarm)) is not None and at <= end:
            assert at > self.now or self.now == 0, "a due deadline was left behind: the loop would spin"
            self.now = at
            self.feed(Tick())
        self.now = end

    @invariant()
    def same_as_the_twin(self) -> None:
        if not hasattr(self, "alarm"):
            return
        waits = self.alarm.state is AlarmState.PENDING
        assert (self.alarm.level, "normal" if waits else self.alarm.state) == (self.told, self.state)
        assert self.alarm.latched == self.latched
        assert self.alarm.level <= self.highest_seen


TestTwin = Twin.TestCase
TestTwin.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 50), st.sampled_from([Condition(0), Condition(1), Condition(3), Acked("an")])
        ),
        max_size=40,
    ),
    cut=st.integers(0, 40),
)
@settings(max_examples=150, deadline=None)
def test_a_kill_anywhere_changes_no_event(steps: list[tuple[int, AlarmInput]], cut: int) -> None:
    def story(cut: int | None) -> list[str]:
        alarm, heard, now, level = Alarm("a"), [], 0, 0
        for i, (wait, what) in enumerate(steps):
            if i == cut:  # the judge says again what it sees
                alarm, events = advance(restored(alarm), SLOW, Condition(level), now)
                assert events == ()
            end = now + wait
            while (at := next_deadline(alarm)) is not None and at <= end:
                alarm, events = advance(alarm, SLOW, Tick(), at)
                heard += [f"{event.at_ns} {event.what} {event.level}" for event in events]
            now = end
            alarm, events = advance(alarm, SLOW, what, now)
            level = what.level if isinstance(what, Condition) else level
            heard += [f"{event.at_ns} {event.what} {event.level}" for event in events]
        return heard

    assert story(cut) == story(None)
