"""The way to the journal: writes that come while one is under way share the next commit; a bad disk costs no push.

`add` gives a future that is done when the write is durable. When the disk refuses, everything not yet durable stays
here, newest revision of each thing only (so it is bounded by what is configured and open), and is tried again; the
fault is told like any other. A damaged file is set aside as `gateway.journal` says; what RAM knows (`everything`: open
incidents, alarms, who was told) is written to the fresh one, and the agent goes on.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge.clock import Clock
from edge.numbers import BLOCK_N, Numbers
from edge.threads import Blocking
from gateway.journal import (
    Journal,
    JournalError,
    KeptTime,
    Opened,
    Restored,
    UsedCommand,
    Write,
    open_journal,
    peek,
)
from gateway.notify import Notified
from models.alarm import Alarm
from models.incident import Incident

log = logging.getLogger(__name__)

FILE: Final = "incidents.db"
RETRY_S: Final = 2.0
KEEP_TIME_S: Final = 60.0
NUMBERS_LOST_MAX: Final = 1_000  # what may have been given out since the spool kept its copy of the mark
TIDY_NS: Final = 60_000_000_000
TIDY_LATEST_NS: Final = 600_000_000_000


class _Pending:
    """What is not durable yet: the newest of each."""

    def __init__(self) -> None:
        self.incidents: dict[str, Incident] = {}
        self.alarms: dict[str, Alarm] = {}
        self.notified: dict[str, Notified] = {}
        self.commands: dict[str, UsedCommand] = {}
        self.waiters: list[asyncio.Future[None]] = []

    def __bool__(self) -> bool:
        return bool(self.incidents or self.alarms or self.notified or self.commands)

    def put(self, write: Write) -> None:
        self.incidents.update((one.id, one) for one in write.incidents)
        self.alarms.update((one.id, one) for one in write.alarms)
        self.notified.update((one.key, one) for one in write.notified)
        self.commands.update((one.id, one) for one in write.commands)

    def add_older(self, older: "_Pending") -> None:
        """Take back what could not be written; what came meanwhile is newer."""
        self.incidents = older.incidents | self.incidents
        self.alarms = older.alarms | self.alarms
        self.notified = older.notified | self.notified
        self.commands = older.commands | self.commands
        self.waiters = older.waiters + self.waiters


class Recorder:
    """Owns the journal and its thread. `unwritable(is_bad, why)` is called when that changes.

    `everything()` gives what a fresh file must hold when the old one was spoilt while we ran.
    """

    def __init__(
        self,
        state: Path,
        *,
        clock: Clock,
        blocking: Blocking,
        numbers: Numbers,
        unwritable: Callable[[bool, str], None],
        everything: Callable[[], Write],
    ) -> None:
        self._path = state / FILE
        self._aside = state / "aside"
        self._clock = clock
        self._blocking = blocking
        self._numbers = numbers
        self._unwritable = unwritable
        self._everything = everything
        self._tidied_ns = 0
        self._newest_ns = 0
        self._number_mark = 0
        self._journal: Journal | None = None
        self._pending = _Pending()
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._is_bad = False
        self.commits_n = 0
        self.failures_n = 0
        self.damaged: str | None = None

    async def open(self, number_mark: int = 0) -> Restored:
        """Open the journal and give what was there; when the disk refuses, what can be read (tried again later)."""
        self._number_mark = number_mark
        try:
            opened = await self._open()
        except JournalError as error:
            self.failures_n += 1
            self._is_bad = True
            log.error("journal_unwritable reason=%s", error)
            with contextlib.suppress(JournalError):
                return await self._blocking(lambda: peek(self._path))
            return Restored()
        return opened.restored

    @property
    def is_bad(self) -> bool:
        """Whether the disk refuses now."""
        return self._is_bad

    async def _open(self) -> Opened:
        own = self._numbers.mark
        mark, margin = (own, 0) if own else (self._number_mark, NUMBERS_LOST_MAX)
        opened = await self._blocking(
            lambda: open_journal(self._path, self._aside, self._clock.boot, mark, margin)
        )
        self._journal = opened.journal
        self._numbers.use_series(opened.restored.series)
        self.damaged = opened.damaged or self.damaged
        if opened.restored.time is not None:
            self._newest_ns = max(self._newest_ns, opened.restored.time.site_ns)
        if opened.damaged:
            log.error("journal_damaged %s", opened.damaged)
        for name in opened.restored.unreadable:
            log.error("journal_row_unreadable row=%s", name)
        await self._refill()
        return opened

    def add(self, write: Write) -> asyncio.Future[None]:
        """Keep it; the future is done when it is durable."""
        self._pending.put(write)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.waiters.append(done)
        self._wake.set()
        return done

    async def run(self) -> None:
        """Write what comes, and site time once a minute, until `stop`; the last flush is done when it returns."""
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S if self._is_bad else KEEP_TIME_S):
                    await (self._closing if self._is_bad else self._wake).wait()
            await self.flush()

    async def flush(self) -> None:
        """Write all that waits, with the site time of now."""
        self._wake.clear()
        batch, self._pending = self._pending, _Pending()
        write = Write(
            tuple(batch.incidents.values()),
            tuple(batch.alarms.values()),
            tuple(batch.notified.values()),
            tuple(batch.commands.values()),
            self._time(),
        )
        try:
            if self._journal is None:
                write = await self._reopen(write)
            journal = self._journal
            assert journal is not None
            await self._blocking(lambda: journal.commit(write))
        except JournalError as error:
            self._pending.add_older(batch)
            await self._failed(error)
            return
        self.commits_n += 1
        log.debug("step=committed incidents=%s sends=%s", list(batch.incidents), list(batch.notified))
        for waiter in batch.waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self._is_bad:
            self._is_bad = False
            log.info("journal_writable")
            self._unwritable(False, "")
        await self._refill()
        await self._tidy(is_calm=not write.incidents)

    async def _reopen(self, write: Write) -> Write:
        """Open again; what must be written now: all of RAM when the file is a fresh one."""
        opened = await self._open()
        if not opened.damaged:
            return write
        known = self._everything()
        return replace(known, commands=(*known.commands, *write.commands), time=write.time)

    async def _tidy(self, is_calm: bool) -> None:
        """Forget old rows about once a minute, away from a fire; after ten minutes at any time."""
        now_ns = self._clock.site_ns()
        if self._journal is None or now_ns - self._tidied_ns < (TIDY_NS if is_calm else TIDY_LATEST_NS):
            return
        self._tidied_ns = now_ns
        journal = self._journal
        try:
            await self._blocking(lambda: journal.tidy(now_ns))
        except JournalError as error:
            await self._failed(error)

    def stop(self) -> None:
        """Let `run` write what waits and return."""
        self._closing.set()
        self._wake.set()

    async def close(self) -> None:
        """Write what came after `run` returned, and close the file."""
        if self._pending:
            await self.flush()
        if self._journal is not None:
            await self._blocking(self._journal.close)

    def _time(self) -> KeptTime:
        """Site time to keep: never behind what a file held that could only be opened later."""
        now = self._clock.save()
        return replace(now, site_ns=max(now.site_ns, self._newest_ns))

    async def _failed(self, error: JournalError) -> None:
        self.failures_n += 1
        # Waiters need not wait for a disk that refuses: they go on undurable after their 100 ms.
        self._pending.waiters = [w for w in self._pending.waiters if not w.done()]
        if error.is_damage and self._journal is not None:
            await self._blocking(self._journal.close)
            self._journal = None
        if not self._is_bad:
            self._is_bad = True
            log.error("journal_unwritable reason=%s", error)
            self._unwritable(True, str(error))

    async def _refill(self) -> None:
        if self._journal is None or not self._numbers.is_low:
            return
        journal = self._journal
        try:
            self._numbers.add(await self._blocking(lambda: journal.reserve(BLOCK_N)), BLOCK_N)
        except JournalError as error:
            log.warning("numbers_not_reserved reason=%s", error)
