"""The loop of one sink in virtual time, against servers that are written down; the source is a real spool."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random

import pytest

from edge.simulation.loop import VirtualLoop, run
from gateway.batch import Dead, Sealed
from gateway.forward import Forwarder, Tag
from gateway.outcome import Fault, Outcome, Verdict
from gateway.spool import Spool
from gateway.spool_file import open_spool

OK = Outcome(Verdict.ACCEPTED)
BUSY = Outcome(Verdict.RETRY, "HTTP 503", fault=Fault.AWAY)
OOPS = Outcome(Verdict.RETRY, "HTTP 500: oops")
NO = Outcome(Verdict.REJECTED, "HTTP 400: no")


class Source:
    """The spool as a source; the payload is the text of the lines."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool

    async def take(self, sink: str) -> Sealed | None:
        batch = self.spool.take(sink)
        if batch is None:
            await asyncio.sleep(0.5)
        return batch

    async def lines(self, batch: Sealed) -> list[str] | None:
        return batch.payload.decode().splitlines() if batch.is_whole else None

    async def settle(
        self, sink: str, seq: int, *, delivered: int, rejected: int, dropped: int, dead: Iterable[Dead]
    ) -> None:
        self.spool.settle(sink, seq, delivered=delivered, rejected=rejected, dropped=dropped, dead=dead)


class Server:
    """Answers as `say(lines, n)` tells for the n-th request; remembers what it took, and when it was asked."""

    id = "ward"

    def __init__(self, say: Callable[[Sequence[str], int], Outcome | float]) -> None:
        self.say = say
        self.taken: list[str] = []
        self.asked_s: list[float] = []
        self.is_closed = False

    async def send(self, lines: Sequence[str], tag: Tag) -> Outcome:
        self.asked_s.append(asyncio.get_running_loop().time())
        outcome = self.say(lines, len(self.asked_s))
        if isinstance(outcome, float):
            await asyncio.sleep(outcome)
            outcome = OK
        if outcome.verdict in (Verdict.ACCEPTED, Verdict.PARTIAL):
            self.taken += lines
        return outcome

    async def close(self) -> None:
        self.is_closed = True


class Bench:
    """A spool with batches of `size` lines, a server, and the loop between them."""

    def __init__(
        self, folder: Path, say: Callable[[Sequence[str], int], Outcome | float], *sizes: int
    ) -> None:
        self.spool = open_spool(folder / "spool.db", folder / "aside").spool
        self.spool.use_sinks({"ward": "now"})
        self.server = Server(say)
        self.all: list[str] = []
        for size in sizes:
            lines = [f"line-{len(self.all) + i}" for i in range(size)]
            self.all += lines
            self.spool.seal(
                "\n".join(lines).encode(), "columns-1", size, boot="b", site_ns=0, guess_ns=0, is_synced=True
            )
        self.forwarder = Forwarder(self.server, Source(self.spool), Random(1), lambda: 1000.0)

    def live(self, for_s: float) -> None:
        async def main() -> None:
            task = asyncio.create_task(self.forwarder.run())
            await asyncio.sleep(for_s)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        run(main(), VirtualLoop())
        one = self.spool.counts()["ward"]
        assert one.produced == one.delivered + one.rejected + one.dropped + one.pending
        assert self.server.is_closed


def test_batches_arrive_in_order_at_a_bounded_pace(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda lines, n: OK, *[100] * 20)
    bench.live(1.05)
    # 1,000 points a second: a tenth of a second a batch
    assert len(bench.server.asked_s) == 11
    bench.live(5)
    assert bench.server.taken == bench.all


def test_an_outage_is_waited_out_with_growing_pauses_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gateway.forward")
    bench = Bench(tmp_path, lambda lines, n: BUSY if n <= 9 else OK, 3, 3)
    bench.live(400)
    assert bench.server.taken == bench.all
    pauses = [b - a for a, b in zip(bench.server.asked_s, bench.server.asked_s[1:], strict=False)][:9]
    assert all(0.75 * min(2**i, 60) <= pause <= 1.25 * min(2**i, 60) for i, pause in enumerate(pauses))
    assert [record.message.split(" ", 1)[1] for record in caplog.records] == [
        "state=bad fault=away reason='HTTP 503'",
        "state=good after_failures=9",
    ]
    assert bench.forwarder.stats.sifted == 0


def test_the_servers_own_wish_is_honoured(tmp_path: Path) -> None:
    wish = Outcome(Verdict.RETRY, "HTTP 429", after_s=120.0, fault=Fault.AWAY)
    bench = Bench(tmp_path, lambda lines, n: wish if n == 1 else OK, 3)
    bench.live(130)
    assert bench.server.asked_s == [0.0, 120.0]


@pytest.mark.parametrize("refusal", [NO, OOPS], ids=["refused at once", "endless 500"])
def test_one_poisonous_line_is_set_aside_and_everything_else_arrives(
    tmp_path: Path, refusal: Outcome
) -> None:
    bench = Bench(tmp_path, lambda lines, n: refusal if "line-70" in lines else OK, 50, 50, 50)
    bench.live(200)
    assert sorted(set(bench.server.taken), key=bench.all.index) == [x for x in bench.all if x != "line-70"]
    one = bench.spool.counts()["ward"]
    assert (one.delivered, one.rejected, one.pending) == (149, 1, 0)
    bench.spool.flush()
    assert [(seq, dead.text, dead.reason) for seq, dead in bench.spool.dead("ward")] == [
        (2, "line-70", refusal.reason)
    ]


def test_a_bad_line_in_every_eighth_is_still_found(tmp_path: Path) -> None:
    bad = {f"line-{i}" for i in range(0, 64, 8)}
    bench = Bench(tmp_path, lambda lines, n: NO if bad & set(lines) else OK, 64)
    bench.live(100)
    assert set(bench.server.taken) == set(bench.all) - bad
    assert bench.spool.counts()["ward"].rejected == 8


@pytest.mark.parametrize("refusal", [NO, OOPS])
def test_when_everything_fails_alike_nothing_is_thrown_away(tmp_path: Path, refusal: Outcome) -> None:
    broken = True
    bench = Bench(tmp_path, lambda lines, n: refusal if broken else OK, 64, 64)
    bench.live(3600)
    one = bench.spool.counts()["ward"]
    assert (one.delivered, one.rejected, one.pending) == (0, 0, 128)
    assert bench.forwarder.stats.reason == refusal.reason
    assert len(bench.server.asked_s) < 300  # an hour; siftings get rarer
    broken = False
    bench.live(100)
    assert set(bench.server.taken) == set(bench.all)


def test_single_lines_are_not_thrown_away_one_after_another(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda lines, n: OK if n == 1 else NO, 1, 1, 1, 1)
    bench.live(600)
    one = bench.spool.counts()["ward"]
    assert (one.delivered, one.rejected, one.pending) == (1, 1, 2)


def test_what_the_server_counts_as_refused_is_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda lines, n: Outcome(Verdict.PARTIAL, "dropped=139", rejected_n=139), 200)
    bench.live(10)
    one = bench.spool.counts()["ward"]
    assert (one.delivered, one.rejected) == (61, 139)


def test_an_answer_that_never_comes_has_its_time_limit(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda lines, n: 3600.0 if n == 1 else OK, 3)
    bench.live(40)
    assert bench.server.asked_s == [0.0, pytest.approx(31.0, abs=0.3)]
    assert bench.forwarder.stats.timeouts == 1


def test_a_sink_that_surprises_is_tried_again(tmp_path: Path) -> None:
    def say(lines: Sequence[str], n: int) -> Outcome:
        if n == 1:
            raise RuntimeError("PLANTED")
        return OK

    bench = Bench(tmp_path, say, 3)
    bench.live(10)
    assert bench.server.taken == bench.all
    assert bench.forwarder.stats.surprises == 1


def test_a_batch_that_was_damaged_on_the_card_is_dropped_and_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda lines, n: OK, 3, 3)
    bench.spool._db.execute("UPDATE batch SET payload = x'00' WHERE seq = 1")
    bench.live(10)
    one = bench.spool.counts()["ward"]
    assert (one.delivered, one.dropped) == (3, 3)
