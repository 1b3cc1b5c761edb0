"""Whom to tell, why and when: walks of one incident through `decide`."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.notify import (
    Decision,
    DeliveryState,
    Notified,
    Policy,
    Reason,
    decide,
    newest,
    next_at,
    repeat_due,
)
from models.evidence import Contribution
from models.incident import Ack, Incident, IncidentState
from models.reading import Hazard

S = 1_000_000_000
REPEAT_S = 180
POLICY = Policy(("duty-hook",), REPEAT_S * S)
SMOKE = Contribution("khoi-5-12/smoke_contact", 1.0, None, None, 0, "closed")
HEAT = Contribution("nhiet-5-12/heat_contact", 1.0, None, None, 0, "closed")
PRE, CONFIRMED = IncidentState.PRE_ALARM, IncidentState.CONFIRMED


def incident(
    revision: int = 1,
    state: IncidentState = CONFIRMED,
    level: int = 2,
    hazard: Hazard = Hazard.FIRE,
    evidence: tuple[Contribution, ...] = (SMOKE,),
) -> Incident:
    return Incident("g-1", hazard, "ngo-5", state, 1, level, revision, 0, 0, ("a",), evidence)


def acked(one: Incident) -> Incident:
    return replace(one, acks=(Ack("an", "webhook", one.revision, 0),), revision=one.revision + 1)


def row_after(decision: Decision, state: DeliveryState) -> list[Notified]:
    return [replace(send, state=state) for send in decision.sends]


def told(one: Incident, state: DeliveryState = DeliveryState.ACCEPTED) -> list[Notified]:
    return row_after(decide([], one, POLICY, 0), state)


def test_a_new_incident_goes_to_every_notifier_once() -> None:
    decision = decide([], incident(), Policy(("duty-hook", "phone"), S), 5)
    assert decision.reason is Reason.FIRST
    assert [send.key for send in decision.sends] == ["g-1/1/duty-hook/0", "g-1/1/phone/0"]
    assert {send.state for send in decision.sends} == {DeliveryState.QUEUED}


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (incident(1, PRE, 1), incident(2, CONFIRMED, 2), Reason.ESCALATED),
        (incident(1, PRE, 1), incident(2, PRE, 2), Reason.ESCALATED),  # the level alone
        (incident(1), incident(2, level=1), Reason.NONE),  # a level that falls wakes nobody
        (incident(1), incident(2), Reason.NONE),  # a revision that changes nothing told
        (incident(1), incident(2, evidence=(SMOKE, HEAT)), Reason.MORE_EVIDENCE),
        (incident(1), incident(2, evidence=()), Reason.NONE),  # less evidence
        (incident(1), acked(incident(1)), Reason.NONE),  # an acknowledgement is no news to wake for
        (incident(1), incident(2, IncidentState.UNDER_CONTROL), Reason.UNDER_CONTROL),
        (incident(1), incident(2, IncidentState.CLEARED), Reason.CLEARED),
        (
            incident(1, IncidentState.CLEARED),
            incident(2, IncidentState.CLOSED),
            Reason.NONE,
        ),  # never heard of it
        (incident(1), incident(2, IncidentState.CLOSED), Reason.CLOSED),
        (
            incident(1, level=1, hazard=Hazard.FLOOD),
            incident(2, level=3, hazard=Hazard.FLOOD),
            Reason.ESCALATED,
        ),
        (  # flood: which channel speaks is no news
            incident(1, hazard=Hazard.FLOOD),
            incident(2, hazard=Hazard.FLOOD, evidence=(SMOKE, HEAT)),
            Reason.NONE,
        ),
    ],
)
def test_a_change_is_told_with_its_reason(before: Incident, after: Incident, reason: Reason) -> None:
    assert decide(told(before), after, POLICY, S).reason is reason


def test_what_is_over_is_told_once() -> None:
    log = told(incident(1))
    log += row_after(decide(log, incident(2, IncidentState.CLEARED), POLICY, S), DeliveryState.ACCEPTED)
    assert decide(log, incident(3, IncidentState.CLEARED), POLICY, 2 * S).reason is Reason.NONE


def test_an_incident_that_flares_up_again_is_an_escalation() -> None:
    log = told(incident(1))
    log += row_after(decide(log, incident(2, IncidentState.CLEARED), POLICY, S), DeliveryState.ACCEPTED)
    assert decide(log, incident(3), POLICY, 2 * S).reason is Reason.ESCALATED


@pytest.mark.parametrize(
    ("after_s", "reason"),
    [
        (REPEAT_S - 1e-9, Reason.NONE),  # one step before
        (REPEAT_S, Reason.UNACKED_REPEAT),  # exactly
        (REPEAT_S + 1, Reason.UNACKED_REPEAT),
    ],
)
def test_an_unacknowledged_fire_repeats(after_s: float, reason: Reason) -> None:
    assert decide(told(incident()), incident(), POLICY, round(after_s * S)).reason is reason


def test_repeats_count_the_sends_of_their_revision() -> None:
    log, keys = told(incident(3)), []
    for i in range(1, 4):
        decision = decide(log, incident(3), POLICY, i * REPEAT_S * S)
        keys += [send.key for send in decision.sends]
        log += row_after(decision, DeliveryState.ACCEPTED)
    assert keys == ["g-1/3/duty-hook/1", "g-1/3/duty-hook/2", "g-1/3/duty-hook/3"]


@pytest.mark.parametrize(
    "one",
    [
        acked(incident(1)),  # somebody goes
        incident(1, IncidentState.UNDER_CONTROL),
        incident(1, IncidentState.CLEARED),
        incident(1, hazard=Hazard.FLOOD),  # told once
        incident(1, hazard=Hazard.TROUBLE),
    ],
)
def test_nothing_else_repeats(one: Incident) -> None:
    log = [replace(row, state_told=one.state) for row in told(replace(one, state=CONFIRMED))]
    assert decide(log, one, POLICY, 999 * S).reason is Reason.NONE
    assert next_at(log, one, POLICY) is None
    assert repeat_due(one, POLICY, 0) is None


def test_a_rise_voids_the_acknowledgement() -> None:
    one = replace(acked(incident(1)), rise_revision=2)
    assert decide(told(incident(1)), one, POLICY, REPEAT_S * S).reason is Reason.UNACKED_REPEAT


@pytest.mark.parametrize("state", [DeliveryState.QUEUED, DeliveryState.SENT])
def test_no_repeat_while_the_send_is_on_its_way(state: DeliveryState) -> None:
    log = told(incident(), state)
    assert decide(log, incident(), POLICY, 999 * S).reason is Reason.NONE
    assert next_at(log, incident(), POLICY) is None


@pytest.mark.parametrize("state", [DeliveryState.FAILED, DeliveryState.QUEUED, DeliveryState.SENT])
def test_who_never_accepted_the_first_gets_it_as_the_first(state: DeliveryState) -> None:
    decision = decide(told(incident(1), state), incident(2, evidence=(SMOKE, HEAT)), POLICY, S)
    assert decision.sends[0].why is Reason.FIRST


def test_a_refused_fire_is_tried_again_at_the_repeat() -> None:
    log = told(incident(), DeliveryState.FAILED)
    assert decide(log, incident(), POLICY, S).reason is Reason.NONE
    decision = decide(log, incident(), POLICY, REPEAT_S * S)
    assert (decision.sends[0].why, decision.sends[0].send) == (Reason.FIRST, 1)


def test_receivers_are_judged_apart() -> None:
    both = Policy(("a", "b"), REPEAT_S * S)
    log = decide([], incident(), both, 0).sends
    mixed = [replace(log[0], state=DeliveryState.ACCEPTED), replace(log[1], state=DeliveryState.SENT)]
    assert [send.to for send in decide(mixed, incident(), both, REPEAT_S * S).sends] == ["a"]
    assert next_at(mixed, incident(), both) == REPEAT_S * S


def test_a_channel_that_comes_and_goes_is_news_once() -> None:
    log = told(incident(1))
    log += row_after(decide(log, incident(2, evidence=(SMOKE, HEAT)), POLICY, S), DeliveryState.ACCEPTED)
    assert decide(log, incident(3), POLICY, 2 * S).reason is Reason.NONE
    assert decide(log, incident(4, evidence=(HEAT,)), POLICY, 3 * S).reason is Reason.NONE


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(list(IncidentState)[:4]),
        st.integers(1, 4),
        st.sampled_from([DeliveryState.ACCEPTED, DeliveryState.FAILED, DeliveryState.SENT]),
        st.integers(0, 400),
    ),
    max_size=25,
)


@given(_STEPS)
def test_keys_are_never_used_twice_and_nothing_is_said_twice(
    steps: list[tuple[IncidentState, int, DeliveryState, int]],
) -> None:
    log: list[Notified] = []
    now = 0
    for revision, (state, level, delivered, wait_s) in enumerate(steps, 1):
        now += wait_s * S
        one = incident(revision, state, level)
        decision = decide(log, one, POLICY, now)
        assert (decision.reason is Reason.NONE) == (not decision.sends)
        log += row_after(decision, delivered)
        assert decide(log, one, POLICY, now).reason is Reason.NONE  # the same moment again says nothing
        due = next_at(log, one, POLICY)
        if due is not None:
            assert due > now
            assert decide(log, one, POLICY, due).sends  # the deadline is no false alarm
            assert not decide(log, one, POLICY, due - 1).sends
    assert len({row.key for row in log}) == len(log)
    assert len(newest(log, "g-1")) <= 1
