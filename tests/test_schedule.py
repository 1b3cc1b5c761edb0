"""Whose turn it is: life safety first, earliest deadline first, dead devices rarely, nothing queues."""

from edge.schedule import BUSY_RETRY_S, RETRY_LIFE_S, RETRY_OTHER_S, SILENT_N, Schedule, Turn


def ready(_unit: int) -> float:
    return 0.0


def test_life_safety_goes_before_an_earlier_best_effort_turn() -> None:
    level = Turn(unit=1, index=0, period_s=1.0, is_life_safety=False)
    call_point = Turn(unit=2, index=1, period_s=5.0, is_life_safety=True)
    schedule = Schedule([level, call_point], now_s=0.0)
    assert schedule.next(0.0, ready) == (call_point, 0.0)
    schedule.answered(call_point, 0.0)
    assert schedule.next(4.9, ready) == (level, 0.0)  # waiting since 0
    schedule.answered(level, 4.9)
    assert schedule.next(5.0, ready)[0] is call_point  # though the level was due before it


def test_inside_a_class_the_earliest_deadline_goes_first() -> None:
    slow = Turn(unit=1, index=0, period_s=60.0, is_life_safety=False)
    fast = Turn(unit=2, index=1, period_s=1.0, is_life_safety=False)
    schedule = Schedule([slow, fast], now_s=0.0)
    assert schedule.next(0.0, ready)[0] is fast
    assert schedule.next(0.0, ready)[0] is slow  # the other one is under way
    assert schedule.next(0.0, ready) == (None, float("inf"))


def test_a_unit_that_must_rest_waits_and_others_are_asked_meanwhile() -> None:
    resting = Turn(unit=10, index=0, period_s=1.0, is_life_safety=True)
    other = Turn(unit=11, index=1, period_s=1.0, is_life_safety=False)
    schedule = Schedule([resting, other], now_s=0.0)
    assert schedule.next(0.0, lambda unit: 0.1 if unit == 10 else 0.0)[0] is other
    schedule.answered(other, 0.0)
    assert schedule.next(0.0, lambda unit: 0.1 if unit == 10 else 0.0) == (None, 0.1)


def test_five_silences_make_a_device_rare_and_one_answer_brings_it_back() -> None:
    for is_life_safety, retry_s in ((True, RETRY_LIFE_S), (False, RETRY_OTHER_S)):
        turn = Turn(unit=1, index=0, period_s=1.0, is_life_safety=is_life_safety)
        schedule = Schedule([turn], now_s=0.0)
        assert schedule.next(0.0, ready)[0] is turn
        now_s = 0.0
        for n in range(1, SILENT_N):
            schedule.silent(turn, now_s)
            assert (turn.due_s, turn.is_silent) == (float(n), False)
            now_s = turn.due_s
        schedule.silent(turn, now_s)
        assert turn.is_silent
        assert turn.due_s == now_s + retry_s
        schedule.answered(turn, turn.due_s)
        assert not turn.is_silent
        assert turn.due_s == now_s + retry_s + 1.0


def test_what_could_not_be_asked_in_time_is_counted_and_not_queued() -> None:
    turn = Turn(unit=1, index=0, period_s=1.0, is_life_safety=False)
    schedule = Schedule([turn], now_s=0.0)
    schedule.answered(turn, 7.5)  # due 0, its next times 1..7 are gone
    assert (turn.due_s, turn.missed_n) == (7.5, 1)


def test_a_busy_device_is_asked_again_soon_and_does_not_count_as_silent() -> None:
    turn = Turn(unit=1, index=0, period_s=60.0, is_life_safety=True, silent_n=3)
    schedule = Schedule([turn], now_s=0.0)
    schedule.busy(turn, 1.0)
    assert (turn.due_s, turn.silent_n) == (1.0 + BUSY_RETRY_S, 0)
