"""One loop for each sink: take the oldest batch, send it, judge the answer, settle; in order, at a bounded pace.

- ACCEPTED and PARTIAL settle. RETRY is tried again after 1, 2, 4 .. 60 s with jitter, or after the server's own wish.
- A REJECTED batch, and one that an answering server failed `POISON_N` times, is sifted (`gateway.sift`): what fails
  alone while others pass is set aside as a dead letter, counted and told; when everything fails alike it is held, and
  that is a fault for people to mend. The pauses between two siftings grow as well.
- A single line that is refused is set aside only when something else passed since the last such line.
- A batch that was damaged on the card is counted as dropped.
- Every attempt has one total deadline; the sink's own limits may be shorter.
- Catching up is bounded by `rate()` points/s, so that live values and the pollers keep the loop.

The one place beside `teller` where the north catches `Exception`: a sink that surprises is counted and tried again.
One log line when a sink goes bad, one when it recovers.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from gateway.batch import Dead, Sealed
from gateway.outcome import Fault, Outcome, Verdict
from gateway.sift import sift

ATTEMPT_S: Final = 30.0
BACKOFF_MAX_S: Final = 60.0
WISH_MAX_S: Final = 600.0
POISON_N: Final = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tag:
    """What names a batch for ever, and how many points the whole has."""

    boot: str
    seq: int
    points: int


class Sink(Protocol):
    """A server that gets history."""

    @property
    def id(self) -> str:
        """As in the site file."""
        ...

    async def send(self, lines: Sequence[str], tag: Tag) -> Outcome:
        """One attempt. Must bear being cancelled."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


class Source(Protocol):
    """Where batches come from (`edge.store`)."""

    async def take(self, sink: str) -> Sealed | None:
        """The oldest batch to send; waits a while for one, None when there was none."""
        ...

    async def lines(self, batch: Sealed) -> list[str] | None:
        """Its line protocol; None: damaged."""
        ...

    async def settle(
        self, sink: str, seq: int, *, delivered: int, rejected: int, dropped: int, dead: Iterable[Dead]
    ) -> None:
        """It is done."""
        ...


@dataclass(slots=True)
class ForwardStats:
    """Plain counters, read at scrape. `fault` and `reason`: why nothing gets through now; None and "" when well."""

    batches: int = 0
    attempts: int = 0
    retries: int = 0
    timeouts: int = 0
    surprises: int = 0
    sifted: int = 0
    bad_in_a_row: int = 0
    fault: Fault | None = None
    reason: str = ""


class Forwarder:
    """Delivers to one sink. `run` is its task. `rate()`: points a second that catching up may take."""

    def __init__(
        self,
        sink: Sink,
        source: Source,
        random: Random,
        rate: Callable[[], float],
        attempt_s: float = ATTEMPT_S,
    ) -> None:
        self.sink = sink
        self.stats = ForwardStats()
        self._source = source
        self._random = random
        self._rate = rate
        self._attempt_s = attempt_s
        self._has_passed = True

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                batch = await self._source.take(self.sink.id)
                if batch is not None:
                    await self._deliver(batch)
                    await asyncio.sleep(batch.points / self._rate())
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.sink.close()

    async def _deliver(self, batch: Sealed) -> None:
        lines = await self._source.lines(batch)
        if lines is None:
            _log.error(
                "sink=%s batch=%d is damaged: dropped points=%d", self.sink.id, batch.seq, batch.points
            )
            await self._settle(batch, dropped=batch.points)
            return
        tag = Tag(batch.boot, batch.seq, len(lines))
        wait_s, sift_at = 1.0, POISON_N
        failures = 0
        while True:
            outcome = await self._attempt(lines, tag)
            match outcome.verdict:
                case Verdict.ACCEPTED | Verdict.PARTIAL:
                    # Points of one series and millisecond share a line: what was merged was delivered too.
                    await self._settle(
                        batch, delivered=batch.points - outcome.rejected_n, rejected=outcome.rejected_n
                    )
                    return
                case Verdict.REJECTED:
                    is_suspect = True
                case Verdict.RETRY:
                    is_suspect = outcome.fault is None
            failures += is_suspect
            if is_suspect and (
                (failures == 1 and outcome.verdict is Verdict.REJECTED) or failures >= sift_at
            ):
                if await self._sift(batch, lines, tag, outcome):
                    return
                sift_at = 2 * max(failures, POISON_N)
            self.stats.retries += 1
            pause_s = wait_s * self._random.uniform(0.75, 1.25)
            if outcome.after_s is not None:
                pause_s = min(max(outcome.after_s, 0.0), WISH_MAX_S)
            await asyncio.sleep(pause_s)
            wait_s = min(2 * wait_s, BACKOFF_MAX_S)

    async def _sift(self, batch: Sealed, lines: Sequence[str], tag: Tag, outcome: Outcome) -> bool:
        """Whether the batch was settled."""
        self.stats.sifted += 1
        if len(lines) == 1:
            if not self._has_passed:
                return False
            self._has_passed = False
            dead = [Dead(outcome.reason, lines[0])]
            await self._settle(batch, rejected=batch.points, dead=dead, is_pass=False)
            return True
        found = await sift(lines, lambda piece: self._attempt(piece, tag))
        if found is None:
            return False
        rejected = found.rejected + len(found.dead)
        _log.warning(
            "sink=%s batch=%d set aside lines=%d reason=%r",
            self.sink.id,
            batch.seq,
            rejected,
            found.dead[0].reason if found.dead else "counted by the server",
        )
        await self._settle(batch, delivered=batch.points - rejected, rejected=rejected, dead=found.dead)
        return True

    async def _attempt(self, lines: Sequence[str], tag: Tag) -> Outcome:
        self.stats.attempts += 1
        try:
            async with asyncio.timeout(self._attempt_s):
                outcome = await self.sink.send(lines, tag)
        except TimeoutError:
            self.stats.timeouts += 1
            outcome = Outcome(Verdict.RETRY, "no answer in time", fault=Fault.AWAY)
        except Exception as surprise:  # noqa: BLE001  # the sink boundary: see the header
            self.stats.surprises += 1
            outcome = Outcome(Verdict.RETRY, f"surprise in the sink: {type(surprise).__name__}")
        self._note(outcome)
        return outcome

    def _note(self, outcome: Outcome) -> None:
        stats, name = self.stats, self.sink.id
        if outcome.verdict in (Verdict.ACCEPTED, Verdict.PARTIAL):
            if stats.bad_in_a_row:
                _log.info("sink=%s state=good after_failures=%d", name, stats.bad_in_a_row)
            stats.bad_in_a_row, stats.reason, stats.fault = 0, "", None
            return
        stats.bad_in_a_row += 1
        stats.reason = outcome.reason
        is_refusal = outcome.verdict is Verdict.REJECTED
        stats.fault = outcome.fault or (Fault.REFUSING if is_refusal else Fault.AWAY)
        if stats.bad_in_a_row == 1:
            _log.warning("sink=%s state=bad fault=%s reason=%r", name, stats.fault, outcome.reason)

    async def _settle(
        self,
        batch: Sealed,
        *,
        delivered: int = 0,
        rejected: int = 0,
        dropped: int = 0,
        dead: Iterable[Dead] = (),
        is_pass: bool = True,
    ) -> None:
        self.stats.batches += 1
        self._has_passed = self._has_passed or (is_pass and delivered > 0)
        await self._source.settle(
            self.sink.id, batch.seq, delivered=delivered, rejected=rejected, dropped=dropped, dead=dead
        )
