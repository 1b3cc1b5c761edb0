"""Delivery in virtual time: order, supersession, backoff, deadlines, surprises, stopping."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from edge.simulation.loop import VirtualLoop, run
from gateway.message import Message
from gateway.notify import DeliveryState, Notified, Reason
from gateway.outcome import Outcome, Verdict
from gateway.teller import Teller
from models.incident import IncidentState

OK = Outcome(Verdict.ACCEPTED)
NO = Outcome(Verdict.RETRY, "HTTP 503")
Answer = Callable[[str], Awaitable[Outcome]]


class Scripted:
    """A notifier whose answers a test writes; it keeps (second, key) of each attempt and who ended."""

    def __init__(self, answer: Answer) -> None:
        self.id = "duty-hook"
        self.answer = answer
        self.calls: list[tuple[float, str]] = []
        self.ended: list[str] = []
        self.running = self.most_running = 0
        self.is_closed = False

    async def prepare(self) -> str:
        return ""

    async def tell(self, message: Message, person: str | None, key: str) -> Outcome:
        self.calls.append((round(asyncio.get_running_loop().time(), 6), key))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            return await self.answer(key)
        finally:
            self.running -= 1
            self.ended.append(key)

    async def close(self) -> None:
        self.is_closed = True


class Bench:
    def __init__(self, answer: Answer) -> None:
        self.notifier = Scripted(answer)
        self.rows: list[Notified] = []
        self.teller = Teller(self.notifier, self.rows.append, now_ns, Random(1))

    def push(self, incident: str = "g-1", revision: int = 1, send: int = 0, priority: int = 1) -> None:
        row = Notified(
            incident,
            revision,
            "duty-hook",
            send,
            Reason.FIRST,
            now_ns(),
            now_ns(),
            IncidentState.CONFIRMED,
            2,
            (),
        )
        self.teller.push(row, Message({"priority": priority}, "h", "t", "vi"))

    def states(self, key: str) -> list[DeliveryState]:
        return [row.state for row in self.rows if row.key == key]


def now_ns() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)


def in_virtual_time(answer: Answer, body: Callable[[Bench], Awaitable[None]]) -> Bench:
    benches: list[Bench] = []

    @asynccontextmanager
    async def running(bench: Bench) -> AsyncIterator[None]:
        task = asyncio.create_task(bench.teller.run())
        yield
        await bench.teller.drain(3.0)
        await task

    async def main() -> None:
        bench = Bench(answer)
        benches.append(bench)
        async with running(bench):
            await body(bench)

    run(main(), VirtualLoop())
    return benches[0]


async def accepts(key: str) -> Outcome:
    return OK


async def refuses(key: str) -> Outcome:
    return Outcome(Verdict.REJECTED, "HTTP 404")


async def unable(key: str) -> Outcome:
    return NO


async def hangs(key: str) -> Outcome:
    await asyncio.sleep(1e6)
    return OK


def in_turn(*outcomes: Outcome | Exception) -> Answer:
    left = list(outcomes)

    async def answer(key: str) -> Outcome:
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, Exception):
            raise one
        return one

    return answer


def test_a_push_is_sent_at_once_and_recorded() -> None:
    async def body(bench: Bench) -> None:
        bench.push()
        await asyncio.sleep(0.001)

    bench = in_virtual_time(accepts, body)
    assert bench.notifier.calls == [(0.0, "g-1/1/duty-hook/0")]
    assert bench.states("g-1/1/duty-hook/0") == [DeliveryState.SENT, DeliveryState.ACCEPTED]
    assert (bench.rows[-1].attempts, bench.teller.pending) == (1, 0)
    assert bench.notifier.is_closed


def test_a_retry_keeps_its_key_and_backs_off_with_jitter() -> None:
    async def body(bench: Bench) -> None:
        bench.push()
        await asyncio.sleep(200)

    bench = in_virtual_time(unable, body)
    assert {key for _, key in bench.notifier.calls} == {"g-1/1/duty-hook/0"}
    times = [at for at, _ in bench.notifier.calls]
    gaps = [b - a for a, b in pairwise(times)]
    for gap, nominal in zip(gaps, [1, 2, 4, 8, 16, 30, 30, 30], strict=False):
        assert 0.75 * nominal <= gap <= min(1.25 * nominal, 30) + 1e-6
    assert gaps[0] not in (1.0, 2.0)  # jitter: receivers that come back are not hit in step


@pytest.mark.parametrize(
    ("after_s", "wait_s"),
    [
        (7.0, 7.0),  # the receiver's own wish
        (0.0, 0.0),
        (3600.0, 60.0),  # a wish has a bound
    ],
)
def test_the_receivers_wish_is_honoured(after_s: float, wait_s: float) -> None:
    async def body(bench: Bench) -> None:
        bench.push()
        await asyncio.sleep(100)

    bench = in_virtual_time(in_turn(Outcome(Verdict.RETRY, "HTTP 429", after_s=after_s), OK), body)
    assert [at for at, _ in bench.notifier.calls] == [0.0, wait_s]
    assert bench.rows[-1].state is DeliveryState.ACCEPTED
    assert bench.rows[-1].attempts == 2


def test_a_refusal_is_failed_and_not_tried_again() -> None:
    async def body(bench: Bench) -> None:
        bench.push()
        await asyncio.sleep(1000)

    bench = in_virtual_time(refuses, body)
    assert len(bench.notifier.calls) == 1
    assert (bench.rows[-1].state, bench.rows[-1].reason) == (DeliveryState.FAILED, "HTTP 404")


def test_an_attempt_has_one_total_deadline() -> None:
    async def body(bench: Bench) -> None:
        bench.push()
        await asyncio.sleep(10.5)

    bench = in_virtual_time(hangs, body)
    assert bench.notifier.ended == ["g-1/1/duty-hook/0"]
    assert bench.teller.stats.timeouts == 1
    assert bench.rows[-1].reason == "no answer in time"


def test_a_newer_send_supersedes_one_that_waits_for_its_retry() -> None:
    async def body(bench: Bench) -> None:
        bench.push(revision=1)
        await asyncio.sleep(0.1)
        bench.push(revision=2)
        await asyncio.sleep(0.1)

    bench = in_virtual_time(in_turn(NO, OK), body)
    assert bench.notifier.calls == [(0.0, "g-1/1/duty-hook/0"), (0.1, "g-1/2/duty-hook/0")]
    assert bench.states("g-1/1/duty-hook/0")[-1] is DeliveryState.SUPERSEDED
    assert bench.states("g-1/2/duty-hook/0")[-1] is DeliveryState.ACCEPTED


def test_a_quick_receiver_is_never_cut_off_by_a_newer_send() -> None:
    async def half_a_second(key: str) -> Outcome:
        await asyncio.sleep(0.5)
        return OK

    async def body(bench: Bench) -> None:
        bench.push(revision=1)
        await asyncio.sleep(0.1)
        bench.push(revision=2)
        await asyncio.sleep(5)

    bench = in_virtual_time(half_a_second, body)
    assert [at for at, _ in bench.notifier.calls] == [0.0, 0.5]  # in order, never together
    assert bench.states("g-1/1/duty-hook/0")[-1] is DeliveryState.ACCEPTED


def test_a_hanging_attempt_gives_way_to_a_newer_send_after_a_second() -> None:
    async def body(bench: Bench) -> None:
        bench.push(revision=1)
        await asyncio.sleep(2)
        bench.push(revision=2)
        bench.push(revision=3)  # and this one overtakes the one that only waited
        await asyncio.sleep(2)

    bench = in_virtual_time(hangs, body)
    assert bench.notifier.calls == [(0.0, "g-1/1/duty-hook/0"), (3.0, "g-1/3/duty-hook/0")]
    assert bench.states("g-1/1/duty-hook/0")[-1] is DeliveryState.SUPERSEDED
    assert bench.states("g-1/2/duty-hook/0") == [DeliveryState.SUPERSEDED]


def test_incidents_do_not_wait_for_each_other_up_to_a_bound() -> None:
    async def body(bench: Bench) -> None:
        for i in range(20):
            bench.push(f"g-{i}", priority=1)
        await asyncio.sleep(1)
        assert len(bench.notifier.calls) == 8

    assert in_virtual_time(hangs, body).notifier.most_running == 8


def test_a_fire_finds_a_place_among_hanging_troubles() -> None:
    async def body(bench: Bench) -> None:
        for i in range(20):
            bench.push(f"trouble-{i}", priority=3)
        await asyncio.sleep(1)
        assert bench.notifier.running == 6
        bench.push("fire", priority=1)
        await asyncio.sleep(0.001)

    assert in_virtual_time(hangs, body).notifier.calls[6] == (1.0, "fire/1/duty-hook/0")


def test_who_waits_is_served_by_priority_then_by_age() -> None:
    async def two_seconds(key: str) -> Outcome:
        await asyncio.sleep(2)
        return OK

    async def body(bench: Bench) -> None:
        for i in range(8):
            bench.push(f"full-{i}", priority=2)
        await asyncio.sleep(1)
        for name, priority in (("old", 3), ("new", 3), ("fire", 1)):
            bench.push(name, priority=priority)
            await asyncio.sleep(0.1)
        await asyncio.sleep(10)

    bench = in_virtual_time(two_seconds, body)
    assert [key.split("/")[0] for _, key in bench.notifier.calls[8:]] == ["fire", "old", "new"]
    assert bench.teller.stats.accepted == 11


def test_a_surprising_notifier_is_counted_and_its_words_are_kept_quiet(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    async def body(bench: Bench) -> None:
        bench.push()
        await asyncio.sleep(5)

    bench = in_virtual_time(in_turn(KeyError("PLANTED token"), OK), body)
    assert bench.teller.stats.surprises == 1
    assert bench.rows[-1].state is DeliveryState.ACCEPTED
    assert "KeyError" in bench.rows[1].reason
    assert "PLANTED" not in caplog.text + "".join(row.reason for row in bench.rows)


def test_one_line_when_it_goes_bad_and_one_when_it_recovers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.teller")

    async def body(bench: Bench) -> None:
        bench.push()
        await asyncio.sleep(60)
        bench.push(revision=2)
        await asyncio.sleep(1)

    bench = in_virtual_time(in_turn(NO, NO, NO, OK), body)
    assert [record.getMessage() for record in caplog.records] == [
        "notifier=duty-hook state=bad verdict=retry reason='HTTP 503'",
        "notifier=duty-hook state=good after_failures=3",
    ]
    assert (bench.teller.stats.bad_in_a_row, bench.teller.stats.reason) == (0, "")


def test_an_acknowledgement_in_the_answer_reaches_the_record() -> None:
    async def body(bench: Bench) -> None:
        bench.push()
        await asyncio.sleep(1)

    bench = in_virtual_time(in_turn(Outcome(Verdict.ACCEPTED, ack_by="an")), body)
    assert bench.rows[-1].ack_by == "an"


def test_stopping_gives_running_pushes_three_seconds() -> None:
    async def two_seconds(key: str) -> Outcome:
        await asyncio.sleep(2)
        return OK

    async def body(bench: Bench) -> None:
        bench.push()

    assert in_virtual_time(two_seconds, body).rows[-1].state is DeliveryState.ACCEPTED


def test_stopping_does_not_wait_longer_and_leaves_the_send_under_way() -> None:
    ended: list[float] = []

    async def body(bench: Bench) -> None:
        bench.push("hangs")
        bench.push("waits")
        await asyncio.sleep(1)
        ended.append(asyncio.get_running_loop().time())

    async def answer(key: str) -> Outcome:
        return await (hangs(key) if key.startswith("hangs") else unable(key))

    loop = VirtualLoop()

    async def main() -> None:
        bench = Bench(answer)
        task = asyncio.create_task(bench.teller.run())
        await body(bench)
        await bench.teller.drain(3.0)
        await task
        assert asyncio.get_running_loop().time() - ended[0] == pytest.approx(3.0)
        assert {bench.states(f"{name}/1/duty-hook/0")[-1] for name in ("hangs", "waits")} == {
            DeliveryState.SENT
        }
        bench.push("late")  # nothing new is taken
        assert bench.teller.pending == 0

    run(main(), loop)


def test_a_send_is_given_up_after_a_day() -> None:
    async def body(bench: Bench) -> None:
        bench.push()
        await asyncio.sleep(86_400 + 60)

    bench = in_virtual_time(unable, body)
    assert bench.rows[-1].state is DeliveryState.FAILED
    assert bench.rows[-1].reason == "given up after 24 h: HTTP 503"


def test_above_the_bound_the_least_urgent_gives_way() -> None:
    async def body(bench: Bench) -> None:
        bench.push("trouble", priority=3)
        for i in range(512):
            bench.push(f"fire-{i}")
        await asyncio.sleep(0.1)
        assert bench.teller.pending == 512
        failed: list[Any] = [row.incident for row in bench.rows if row.state is DeliveryState.FAILED]
        assert failed == ["trouble"]

    in_virtual_time(hangs, body)


def test_cancelling_the_teller_ends_it() -> None:
    async def main() -> None:
        bench = Bench(hangs)
        task = asyncio.create_task(bench.teller.run())
        bench.push()
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bench.notifier.ended == ["g-1/1/duty-hook/0"]
        assert bench.notifier.is_closed

    run(main(), VirtualLoop())
