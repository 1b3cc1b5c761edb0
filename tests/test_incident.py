"""Incidents: priority, evidence, acks and their bound, closing to the nanosecond, rows on disk, lives."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import incident as incidents
from models import orders
from models.alarm import Acked, Alarm, AlarmRule, Condition, Mask, Reset, Unknown, advance, mask
from models.alarm_table import AlarmState
from models.evidence import Contribution, Evidence
from models.incident import (
    ACKS_MAX,
    Ack,
    AlarmSpec,
    Incident,
    IncidentError,
    IncidentState,
    is_acked,
    key_of,
    priority,
)
from models.kept import incident_from_dict, incident_to_dict
from models.reading import Hazard

FIRE = AlarmSpec("fire", Hazard.FIRE, "ngo-5", None, life_safety=True)
FLOOD = AlarmSpec("flood", Hazard.FLOOD, "ngo-12")
SPECS = {spec.id: spec for spec in (FIRE, FLOOD)}


def spoke(
    alarm: str, *channels: tuple[str, float], level: int = 2, at_ns: int = 0, judged: bool = True
) -> Evidence:
    return Evidence(
        alarm, at_ns, judged, level, tuple(Contribution(n, v, None, None, at_ns, "") for n, v in channels)
    )


def raised(name: str, level: int, **more: Any) -> dict[str, Alarm]:
    return {name: Alarm(name, AlarmState.UNACKED, level=level, **more)}


def opened(level: int = 2) -> Incident:
    after = incidents.follow(None, FIRE, raised("fire", level, latched=True), SPECS, None, 100, lambda: "x-1")
    assert after is not None
    return after


@pytest.mark.parametrize(
    ("spec", "by_level"),
    [
        (FIRE, [2, 1, 1]),  # pre-alarm 2, confirmed 1, further criteria 1
        (FLOOD, [4, 3, 2, 1, 1]),  # level 4: 1, 3: 2, 2: 3, 1: 4
        (replace(FLOOD, hazard=Hazard.AIR), [4, 3, 2, 2, 2]),  # air at most 2
        (AlarmSpec("t", Hazard.TROUBLE, "p", None, life_safety=True), [2]),
        (AlarmSpec("t", Hazard.TROUBLE, "p"), [3]),
        (replace(FIRE, priority=3), [3, 3, 3]),  # the site file says otherwise
        (replace(FLOOD, priority=(3, 1)), [3, 1, 1, 1]),  # by level; the last one counts for all above
    ],
)
def test_priority_follows_hazard_and_level(spec: AlarmSpec, by_level: list[int]) -> None:
    assert [priority(spec, level) for level in range(1, len(by_level) + 1)] == by_level


def test_trouble_is_found_by_its_alarm_and_hazards_by_their_place() -> None:
    assert key_of(FIRE) == (Hazard.FIRE, "ngo-5")
    trouble = AlarmSpec("trouble/rs485-1/bus_down", Hazard.TROUBLE, "ngo-5")
    assert key_of(trouble) == (Hazard.TROUBLE, "trouble/rs485-1/bus_down")
    alarms = raised(trouble.id, 1)
    after = incidents.follow(None, trouble, alarms, {trouble.id: trouble}, None, 1, lambda: "x-1")
    assert after is not None
    assert after.key == key_of(trouble)


def test_no_number_is_used_when_nothing_opens() -> None:
    def no_number() -> str:
        raise AssertionError("a number was taken")

    for alarm in (Alarm("fire"), Alarm("fire", AlarmState.PENDING, deadlines={"on": 5})):
        assert incidents.follow(None, FIRE, {"fire": alarm}, SPECS, None, 1, no_number) is None
    hidden = raised("flood", 1, mask=Mask.SUPPRESSED)
    assert incidents.follow(None, FLOOD, hidden, SPECS, None, 1, no_number) is None
    assert (
        incidents.follow(opened(), FIRE, raised("fire", 2, latched=True), SPECS, None, 1, no_number) is None
    )


def test_evidence_is_first_up_first_and_new_values_alone_tell_nothing() -> None:
    alarms = raised("fire", 2, latched=True)
    first = incidents.follow(None, FIRE, alarms, SPECS, spoke("fire", ("a", 0.1)), 1, lambda: "x-1")
    assert first is not None
    grown = spoke("fire", ("a", 0.9), at_ns=2)
    assert incidents.follow(first, FIRE, alarms, SPECS, grown, 2, str) is None
    more = incidents.follow(
        first, FIRE, alarms, SPECS, spoke("fire", ("b", 1.0), ("a", 0.9), at_ns=3), 3, str
    )
    assert more is not None
    assert [(one.channel, one.value) for one in more.evidence] == [("a", 0.9), ("b", 1.0)]
    assert (more.revision, more.rise_revision, more.changed_ns, more.opened_ns) == (2, 1, 3, 1)


def test_what_may_not_be_believed_is_no_evidence() -> None:
    alarms = raised("fire", 2, latched=True)
    first = incidents.follow(None, FIRE, alarms, SPECS, spoke("fire", ("a", 1.0)), 1, lambda: "x-1")
    unsure = spoke("fire", ("a", 1.0), ("b", 1.0), judged=False)
    assert incidents.follow(first, FIRE, alarms, SPECS, unsure, 2, str) is None


@pytest.mark.parametrize(("at_ns", "is_closed"), [(299, False), (300, True), (301, True)])
def test_a_cleared_answered_incident_closes_at_its_nanosecond(at_ns: int, is_closed: bool) -> None:
    gone = {"fire": Alarm("fire", AlarmState.LATCHED, latched=True, acked_by="an")}
    cleared = incidents.follow(opened(), FIRE, gone, SPECS, None, 150, str)
    assert cleared is not None
    acked = orders.ack(cleared, "an", "desk", None, 160)
    assert acked is not None
    assert incidents.next_deadline(acked, 100) is None  # latched
    over = orders.reset(acked, {"fire": Alarm("fire")}, "an", "desk", "cooking", 200)
    assert over is not None
    assert incidents.next_deadline(over, 100) == 300
    after = incidents.time(over, at_ns, 100)
    assert (after is not None) == is_closed
    if after is not None:
        assert (after.state, after.closed_ns, after.cause) == (IncidentState.CLOSED, at_ns, "cooking")
        assert incidents.time(after, at_ns + 10**18, 100) is None
        assert incidents.next_deadline(after, 100) is None


def test_a_cause_must_be_a_short_printable_text() -> None:
    for cause in ("", "   ", "x" * 81, "a\nb", "\x1b[31m"):
        with pytest.raises(IncidentError, match="cause"):
            orders.require_over(opened(), {"fire": Alarm("fire")}, cause)
    orders.require_over(opened(), {"fire": Alarm("fire")}, "đốt hương")


def test_closing_over_a_raised_alarm_is_a_programmer_error() -> None:
    unsure = raised("fire", 2, latched=True)  # not judged: the caller had to reset it first
    with pytest.raises(AssertionError):
        orders.close(opened(), unsure, "an", "desk", "real", 1)


def test_the_same_order_twice_changes_nothing() -> None:
    one = orders.ack(opened(), "an", "desk", None, 1)
    assert one is not None
    assert orders.ack(one, "an", "webhook", None, 2) is None
    two = orders.under_control(one, "an", "desk", 3)
    assert two is not None
    assert orders.under_control(two, "an", "desk", 4) is None
    three = orders.reset(two, {"fire": Alarm("fire")}, "an", "desk", "steam", 5)
    assert three is not None
    assert orders.reset(three, {"fire": Alarm("fire")}, "an", "desk", "steam", 6) is None
    with pytest.raises(IncidentError, match="cleared already"):
        orders.under_control(three, "an", "desk", 7)


def test_acks_are_bounded_and_void_ones_make_room_first() -> None:
    incident = opened(1)
    for i in range(ACKS_MAX):
        incident = orders.ack(incident, f"p{i}", "webhook", None, i) or incident
    assert orders.ack(incident, "one-more", "webhook", None, 99) is None
    risen = incidents.follow(incident, FIRE, raised("fire", 2, latched=True), SPECS, None, 100, str)
    assert risen is not None
    assert not is_acked(risen)
    after = orders.ack(risen, "one-more", "webhook", None, 101)
    assert after is not None
    assert len(after.acks) == ACKS_MAX
    assert is_acked(after)
    assert (after.acks[0].by, after.acks[-1].by) == ("p1", "one-more")


def test_an_old_ack_that_comes_late_does_not_answer_for_another_person() -> None:
    incident = replace(opened(), revision=4, rise_revision=3, acks=(Ack("an", "desk", 3, 1),))
    late = orders.ack(incident, "binh", "webhook", 1, 5)
    assert late is not None
    joined = Alarm("fire", AlarmState.UNACKED, level=2, latched=True)
    assert orders.answered_by(late, joined) == "an"
    assert orders.answered_by(replace(late, rise_revision=5), joined) is None
    assert orders.answered_by(late, replace(joined, id="other")) is None


def test_an_incident_goes_to_disk_and_back() -> None:
    incident = replace(
        opened(),
        evidence=(
            Contribution("head/smoke_db_m", 0.17, "at_least", 0.10, 5, "0.17 dB/m"),
            Contribution("c", 1.0, None, None, 6, ""),
        ),
        acks=(Ack("Nguyễn Văn An", "webhook", 1, 7),),
        cause="nấu ăn",
    )
    assert incident_from_dict(json.loads(json.dumps(incident_to_dict(incident)))) == incident


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "burning"),  # no such state
        ("hazard", 0),  # an index, not a name
        ("hazard", "storm"),
        ("priority", 0),
        ("level", 0),
        ("level", "2"),
        ("revision", 0),
        ("revision", True),
        ("rise_revision", 2),  # later than the revision
        ("opened_ns", -1),
        ("changed_ns", 1 << 63),
        ("alarms", []),
        ("alarms", "fire"),
        ("alarms", [1]),
        ("evidence", {}),
        ("evidence", [{"channel": "a"}]),
        (
            "evidence",
            [{"channel": "a", "value": float("nan"), "bound": None, "limit": None, "since_ns": 1, "why": ""}],
        ),
        (
            "evidence",
            [{"channel": "a", "value": 1.0, "bound": "about", "limit": None, "since_ns": 1, "why": ""}],
        ),
        ("acks", [{"by": "an", "via": "desk", "revision": 9, "at_ns": 1}]),  # saw a revision that never was
        ("acks", ["an"]),
        ("drill", 0),
        ("closed_ns", 5),  # closed and open
        ("state", "closed"),  # closed without a time
        ("cause", 3),
        ("place", None),
        ("latched", "yes"),
        ("colour", "red"),
    ],
)
def test_a_damaged_incident_row_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError):
        incident_from_dict({**incident_to_dict(opened()), name: value})


def test_a_configuration_that_did_not_change_touches_no_incident() -> None:
    assert incidents.orphaned(opened(), {}, SPECS, 5) is None
    closed = incidents.closed(opened(), "real", 5)
    assert incidents.orphaned(closed, {}, {}, 6) is None


def test_trouble_whose_sensor_moved_is_closed_there() -> None:
    spec = AlarmSpec("trouble/khoi/silent", Hazard.TROUBLE, "ngo-5")
    alarms = raised(spec.id, 1)
    told = incidents.follow(None, spec, alarms, {spec.id: spec}, None, 1, lambda: "x-1")
    assert told is not None
    after = incidents.orphaned(told, alarms, {spec.id: replace(spec, place="ngo-6")}, 5)
    assert after is not None
    assert (after.state, after.cause) == (IncidentState.CLOSED, "place_moved")


# Random lives of two alarms at one place.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from(
            [
                "0",
                "1",
                "2",
                "3",
                "unknown",
                "ack",
                "under_control",
                "reset",
                "close",
                "mask",
                "unmask",
                "wait",
            ]
        ),
    ),
    max_size=60,
)


@given(steps=STEPS, hazard=st.sampled_from([Hazard.FIRE, Hazard.FLOOD]))
@settings(max_examples=400, deadline=None)
def test_whatever_happens_revisions_grow_and_no_present_danger_is_untold(
    steps: list[tuple[str, str]], hazard: Hazard
) -> None:
    latch = hazard is Hazard.FIRE
    rules = {name: AlarmRule(name, latch=latch) for name in "ab"}
    specs = {name: AlarmSpec(name, hazard, "ngo-5") for name in "ab"}
    alarms = {name: Alarm(name) for name in "ab"}
    told: list[Incident] = []
    seen: dict[str, Evidence] = {}

    def keep(after: Incident | None) -> None:
        if after is None:
            return
        assert after == incident_from_dict(json.loads(json.dumps(incident_to_dict(after))))
        if told and told[-1].id == after.id:
            before = told[-1]
            assert before.is_open, "a closed incident never changes"
            assert after.revision == before.revision + 1
            assert after.rise_revision in (before.rise_revision, after.revision)
            if before.latched and after.latched:
                assert after.level >= before.level
                assert after.priority <= before.priority
            if after.level > before.level:
                assert not is_acked(after)
        else:
            assert not told or not told[-1].is_open
            assert after.revision == 1
        told.append(after)

    def follow(name: str, now_ns: int) -> None:
        newest = told[-1] if told else None
        new_id = f"x-{len({one.id for one in told}) + 1}"
        after = incidents.follow(newest, specs[name], alarms, specs, seen.get(name), now_ns, lambda: new_id)
        keep(after)
        if after is not None:
            assert incidents.follow(after, specs[name], alarms, specs, seen.get(name), now_ns, str) is None

    for now_ns, (name, what) in enumerate(steps):
        newest = told[-1] if told else None
        if what.isdigit():
            level = int(what)
            seen[name] = spoke(name, (f"{name}/c", 1.0), level=level) if level else spoke(name, level=0)
            alarms[name], _ = advance(alarms[name], rules[name], Condition(level), now_ns)
            follow(name, now_ns)
        elif what == "unknown":
            seen[name] = spoke(name, level=0, judged=False)
            alarms[name], _ = advance(alarms[name], rules[name], Unknown(), now_ns)
            follow(name, now_ns)
        elif what in ("mask", "unmask"):
            new = Mask.SUPPRESSED if what == "mask" else Mask.NONE
            alarms[name], _ = mask(alarms[name], new, now_ns)
            follow(name, now_ns)
        elif what == "wait":
            for one in [newest] if newest else []:
                keep(incidents.time(one, now_ns + 10, 5))
        elif newest is not None:
            try:
                if what == "ack":
                    keep(orders.ack(newest, name, "desk", None, now_ns))
                    for other in newest.alarms:
                        alarms[other], _ = advance(alarms[other], rules[other], Acked(name), now_ns)
                elif what == "under_control":
                    keep(orders.under_control(newest, name, "desk", now_ns))
                else:
                    orders.require_over(newest, alarms, "cooking")
                    for other in newest.alarms:
                        alarms[other], _ = advance(alarms[other], rules[other], Reset(name), now_ns)
                    end = orders.reset if what == "reset" else orders.close
                    keep(end(newest, alarms, name, "desk", "cooking", now_ns))
            except IncidentError:
                pass
        # The point of it all: a raised alarm that is not hidden has an open incident that says as much.
        for alarm in alarms.values():
            if alarm.level > 0 and (alarm.mask is Mask.NONE or hazard is Hazard.FIRE):
                newest = told[-1]
                assert newest.is_open
                assert alarm.id in newest.alarms
                assert newest.level >= alarm.level
                assert newest.state is not IncidentState.CLEARED
