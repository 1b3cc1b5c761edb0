"""The way to the spool: sealed batches in, the oldest out to each sink, in a thread of its own.

A bad disk costs history and nothing else: what cannot be written waits here, `HELD_MAX` batches at most (a minute), the
oldest dropped and counted; the fault is told like any other. A damaged file is set aside as `gateway.spool_file` says.

*Time.* A batch is sealed with the wall offset when the clock is synchronised; else it waits for its time until the
clock is, at most until `time_hold_s` after the boot: a clock that was not set by then has no source, and what comes
later goes at once with the best guess. What an earlier boot left without a time goes with that boot's own guess. An
offset is written once, and before the batch is sent.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from edge import stamped
from edge.clock import Clock
from edge.spool_status import StoreStats, look
from edge.threads import Blocking
from gateway import columns
from gateway.batch import Dead, Sealed
from gateway.kept import KeptTime
from gateway.series import Points
from gateway.spool import FREE_ROWS, Spool, SpoolError
from gateway.spool_file import open_spool
from models.site import Limits

log = logging.getLogger(__name__)

S: Final = 1_000_000_000
MB: Final = 1_000_000
FILE: Final = "spool.db"
HELD_MAX: Final = 6
RETRY_S: Final = 5.0
HOUSEKEEPING_S: Final = 60.0
FREE_EVERY: Final = 10  # housekeepings; each time would write a quarter more on a small ward
LOOK_S: Final = 5.0  # how old the counts of the snapshot may be
STAMP_NS: Final = S  # how often waiting batches are looked at while the clock is not set
POLL_S: Final = 1.0  # how often a sink looks again when nothing woke it
CATCH_UP: Final = 25  # times what is produced; at least 20 is promised
RATE_MIN: Final = 5_000.0  # points/s, so that a small ward's backlog does not take all night


@dataclass(frozen=True, slots=True)
class Restored:
    """Second copies, from before the start: site time and the number mark; what was wrong with the file."""

    time: KeptTime | None = None
    number_mark: int = 0


@dataclass(frozen=True, slots=True)
class _Open:
    """A batch that is not on the disk yet."""

    points: Points
    n: int
    site_ns: int
    offset_ns: int
    is_synced: bool


class Store:
    """Owns the spool and its thread. `unwritable(is_bad, why)` is called when that changes; `mark()` gives the
    incident numbers' high-water mark for the second copy."""

    def __init__(
        self,
        state: Path,
        *,
        clock: Clock,
        blocking: Blocking,
        sinks: Mapping[str, Literal["now", "oldest"]],
        limits: Limits,
        unwritable: Callable[[bool, str], None],
        mark: Callable[[], int],
    ) -> None:
        self.stats = StoreStats()
        self._path, self._aside = state / FILE, state / "aside"
        self._clock = clock
        self._blocking = blocking
        self._sinks = dict(sinks)
        self._limits = limits
        self._unwritable = unwritable
        self._mark = mark
        self._spool: Spool | None = None
        self._held: deque[_Open] = deque()
        self._is_bad = False
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._news: dict[str, asyncio.Event] = {name: asyncio.Event() for name in sinks}
        self._rate = 0.0
        self._sealed_ns: int | None = None
        self._is_untimed = True  # an earlier start of this boot may have left some
        self._looked_ns = 0
        self._kept_house = 0

    async def open(self) -> Restored:
        """Open the spool and give the second copies; nothing when the disk refuses (`is_bad`; tried again later)."""
        try:
            return await self._open()
        except SpoolError as error:
            self.stats.failures += 1
            self._is_bad = True
            log.error("spool_unwritable reason=%s", error)
            return Restored()

    @property
    def is_bad(self) -> bool:
        """Whether the disk refuses now."""
        return self._is_bad

    def seal(self, points: Points, n: int) -> None:
        """Keep a batch; it is on its way to the disk when this returns."""
        if len(self._held) == HELD_MAX:
            lost = self._held.popleft()
            self.stats.lost += lost.n
            log.error("history_lost points=%d reason=the disk does not take it", lost.n)
        site_ns, wall = self._clock.site_ns(), self._clock.wall()
        self._held.append(_Open(points, n, site_ns, wall.ns - site_ns, wall.synced))
        if self._sealed_ns is not None and site_ns > self._sealed_ns:
            now = n * S / (site_ns - self._sealed_ns)
            self._rate = now if not self._rate else 0.8 * self._rate + 0.2 * now
        self._sealed_ns = site_ns
        self._is_untimed = self._is_untimed or not (wall.synced or self._may_guess())
        self._wake.set()

    def oldest_pending_ns(self) -> int:
        """How long the oldest batch has waited for the slowest sink, as of the last look."""
        oldest = [one.oldest_ns for one in self.stats.counts.values() if one.oldest_ns is not None]
        return self._clock.site_ns() - min(oldest) if oldest else 0

    def rate(self) -> float:
        """Points a second that catching up may take."""
        return max(RATE_MIN, CATCH_UP * self._rate)

    async def run(self) -> None:
        """Write what is sealed, stamp, tidy, until `stop`; the last write is done when it returns."""
        housekeeping_s = look_s = 0.0
        loop = asyncio.get_running_loop()
        while True:
            is_last = self._closing.is_set()
            await self._write()
            if is_last:
                return
            if loop.time() >= housekeeping_s and not self._is_bad:
                housekeeping_s = loop.time() + HOUSEKEEPING_S
                await self._do(self._keep_house)
            if loop.time() >= look_s and self._spool is not None:
                look_s = loop.time() + LOOK_S
                await self._do(partial(look, self._spool, self.stats))
            await self._stamp()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S if self._is_bad else POLL_S):
                    await (self._closing if self._is_bad else self._wake).wait()

    def stop(self) -> None:
        """Let `run` write what waits and return."""
        self._closing.set()
        self._wake.set()

    async def close(self) -> None:
        """Close the file."""
        if self._spool is not None:
            await self._blocking(self._spool.close)

    async def take(self, sink: str) -> Sealed | None:
        """See `gateway.forward.Source`."""
        spool = self._spool
        news = self._news[sink]
        news.clear()
        batch = await self._do(lambda: spool.take(sink)) if spool is not None else None
        if batch is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await news.wait()
        return batch

    async def lines(self, batch: Sealed) -> list[str] | None:
        """See `gateway.forward.Source`."""
        return await self._blocking(lambda: stamped.lines(batch))

    async def settle(
        self, sink: str, seq: int, *, delivered: int, rejected: int, dropped: int, dead: Iterable[Dead]
    ) -> None:
        """See `gateway.forward.Source`."""
        spool = self._spool
        if spool is not None:
            pieces = tuple(dead)
            await self._do(
                lambda: spool.settle(
                    sink, seq, delivered=delivered, rejected=rejected, dropped=dropped, dead=pieces
                )
            )

    async def _open(self) -> Restored:
        def work() -> Restored:
            found = open_spool(self._path, self._aside)
            self.stats.damaged = found.damaged or self.stats.damaged
            try:
                self.stats.gone |= {name: n for name, n in found.spool.use_sinks(self._sinks).items() if n}
                found.spool.stamp_earlier(self._clock.boot)
            except SpoolError:
                found.spool.close()
                raise
            self._spool = found.spool
            return Restored(found.time, found.number_mark)

        restored = await self._blocking(work)
        if self.stats.damaged:
            log.error("spool_damaged %s", self.stats.damaged)
        for name, n in self.stats.gone.items():
            log.warning("sink_gone sink=%s pending_points_dropped=%d", name, n)
        return restored

    async def _write(self) -> None:
        """Encode and keep all that waits."""
        while self._held:
            if self._spool is None:
                try:
                    await self._open()
                except SpoolError as error:
                    self._failed(error)
                    return
            one, spool = self._held[0], self._spool
            assert spool is not None

            def work(one: _Open = one, spool: Spool = spool) -> int:
                return spool.seal(
                    columns.encode(one.points),
                    columns.CODEC,
                    one.n,
                    boot=self._clock.boot,
                    site_ns=one.site_ns,
                    guess_ns=one.offset_ns,
                    is_synced=one.is_synced,
                    may_guess=self._may_guess(),
                )

            if await self._do(work, proves_disk=True) is None:
                return
            if self._held and self._held[0] is one:
                self._held.popleft()
            self.stats.batches += 1
            self.stats.points += one.n
            self._tell()
        self._wake.clear()

    async def _stamp(self) -> None:
        """Give batches their time: when the clock is synchronised, or when they have waited long enough."""
        spool = self._spool
        site_ns, wall = self._clock.site_ns(), self._clock.wall()
        if (
            spool is None
            or not self._is_untimed
            or not (wall.synced or site_ns - self._looked_ns >= STAMP_NS)
        ):
            return
        self._looked_ns = site_ns
        offset_ns = wall.ns - site_ns
        if not wall.synced and not self._may_guess():
            return
        n = await self._do(lambda: spool.stamp(self._clock.boot, offset_ns, is_guessed=not wall.synced))
        self._is_untimed = False
        if n:
            log.info("batches_stamped n=%d clock=%s", n, "synced" if wall.synced else "guessed")
            self._tell()

    def _may_guess(self) -> bool:
        """Whether the clock has had its time to be set since this boot."""
        return self._clock.up_ns() >= self._limits.time_hold_s * S

    def _keep_house(self) -> None:
        """One durable commit; freeing, in small steps, when it is due (in the spool's thread)."""
        assert self._spool is not None
        self._spool.flush((self._clock.save(), self._mark()))
        limits = self._limits
        keep_ns, limit_bytes = limits.keep_h * 3600 * S, limits.spool_mb * MB
        self._kept_house += 1
        if self._kept_house % FREE_EVERY == 0 or self._spool.used_bytes() > limit_bytes:
            while (
                self._spool.tidy(self._clock.site_ns(), keep_ns=keep_ns, limit_bytes=limit_bytes) == FREE_ROWS
            ):
                pass

    async def _do(self, work: Callable[[], Any], *, proves_disk: bool = False) -> Any:
        """Work in the thread; None when the disk refused. Only a batch that was taken proves that it is well again."""
        if self._spool is None:
            return None
        try:
            done = await self._blocking(work)
        except SpoolError as error:
            if error.is_damage:
                await self._blocking(self._spool.close)
                self._spool = None
            self._failed(error)
            return None
        if self._is_bad and proves_disk:
            self._is_bad = False
            log.info("spool_writable")
            self._unwritable(False, "")
        return done

    def _failed(self, error: SpoolError) -> None:
        self.stats.failures += 1
        if not self._is_bad:
            self._is_bad = True
            log.error("spool_unwritable reason=%s", error)
            self._unwritable(True, str(error))

    def _tell(self) -> None:
        for news in self._news.values():
            news.set()
