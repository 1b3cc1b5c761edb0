"""The spool: `spool.db`, bounded and expendable. What was read and judged, until every server has it, and for a day.

One SQLite file, pages of 1 KiB, WAL, exclusive lock (no -shm file; no other process can read it), `synchronous=NORMAL`:
a commit is durable with the next full one (`flush`, about once a minute). Tables: batch (sealed, see
`gateway.columns`), sink (cursor and counts), dead (what a server refused), meta (number mark, site-time base).
Each page costs the card 4 KiB, so cursors and counts ride in the row of the batch that is sealed next; table sink has
them when no row would: `at` is the newest batch when it was written, and a newer row is newer than it.

Invariants
- For each sink, after any call and any kill: produced = delivered + rejected + dropped + pending; pending are the
  points of the batches behind its cursor. Counts and cursor move in one transaction with the next seal or `flush`;
  until then they stand in memory, so a kill sends a few batches again: same (boot, seq), same times.
- An offset that was written never changes, and is durable before `take` gives its batch.
- The file keeps below `limit_bytes` (pages in use) plus a batch: delivered batches go first, then the oldest
  undelivered, counted as dropped.

Limits (our choice): 16 MB of dead letters, the oldest out; at most 500 batches are freed a call (more would hold up the
thread); damage is found when a page is read, because a check of 512 MB at the start would take a minute.
"""

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from gateway.batch import Dead, Sealed, SinkCounts
from gateway.database import DiskError, disk, transaction
from gateway.kept import KeptTime

PAGE_BYTES: Final = 1024
DEAD_BYTES_MAX: Final = 16_000_000
FREE_ROWS: Final = 500


class SpoolError(DiskError):
    """See `gateway.database.DiskError`."""


class _Sink(NamedTuple):
    """The newest batch that a sink has settled, and its counts."""

    cursor: int
    produced: int
    delivered: int = 0
    rejected: int = 0
    dropped: int = 0

    def plus(
        self, cursor: int = 0, *, produced: int = 0, delivered: int = 0, rejected: int = 0, dropped: int = 0
    ) -> "_Sink":
        """Moved on."""
        return _Sink(
            max(self.cursor, cursor),
            self.produced + produced,
            self.delivered + delivered,
            self.rejected + rejected,
            self.dropped + dropped,
        )


class Spool:
    """An open spool. Synchronous, used by one thread at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        # A number is never used twice, also when its batch was freed: `tidy` notes the newest before it frees any.
        noted = self._one("SELECT coalesce((SELECT value FROM meta WHERE name='seq'), 0)")
        self._last_seq = max(noted, self._one("SELECT coalesce(max(seq), 0) FROM batch"))
        written_at = self._one("SELECT coalesce((SELECT value FROM meta WHERE name='sinks_at'), 0)")
        self._sinks = {name: _Sink(*counts) for name, *counts in self._rows("SELECT * FROM sink")}
        newer = self._rows("SELECT sinks FROM batch WHERE seq > ? ORDER BY seq DESC LIMIT 1", written_at)
        if newer:
            self._sinks = {name: _Sink(*counts) for name, counts in json.loads(newer[0][0]).items()}
        self._dead: list[tuple[str, int, Dead]] = []  # not written yet
        self._has_moved = False  # since the newest row and the table were written
        self._is_quiet = False  # nothing was sealed since the last flush

    def use_sinks(self, wanted: Mapping[str, Literal["now", "oldest"]]) -> dict[str, int]:
        """From now on exactly these sinks; a new one starts now, or with the oldest batch that is kept.

        Gives the pending points of those that go. Raises SpoolError.
        """
        gone = {name: one.pending for name, one in self.counts().items() if name not in wanted}
        newest = self._one("SELECT coalesce(max(seq), 0) FROM batch")
        oldest = self._one("SELECT coalesce(min(seq) - 1, 0) FROM batch")
        sinks = {name: one for name, one in self._sinks.items() if name in wanted}
        for name, start in wanted.items():
            if name not in sinks:
                cursor = oldest if start == "oldest" else newest
                behind = self._one("SELECT coalesce(sum(points), 0) FROM batch WHERE seq > ?", cursor)
                sinks[name] = _Sink(cursor, behind)
        if sinks == self._sinks:
            return gone  # a restart on a full disk needs no room
        with self._transaction() as db:
            self._write_dead(db)
            _write_sinks(db, self._last_seq, sinks)
        self._wrote(sinks)
        return gone

    def seal(
        self,
        payload: bytes,
        codec: str,
        points: int,
        *,
        boot: str,
        site_ns: int,
        guess_ns: int,
        is_synced: bool,
        may_guess: bool = False,
    ) -> int:
        """Keep one batch; gives its seq. `guess_ns`: wall minus site now.

        It is the batch's offset for ever when `is_synced`, or when a guess must do (`may_guess`); else the batch
        waits for `stamp`. What was settled since the last commit rides along. Raises SpoolError.
        """
        has_offset, seq = is_synced or may_guess, self._last_seq + 1
        row = (seq, boot, site_ns, guess_ns if has_offset else None, guess_ns, has_offset and not is_synced)
        sinks = {name: one.plus(produced=points) for name, one in self._sinks.items()}
        with self._transaction() as db:
            db.execute(
                "INSERT INTO batch(seq, boot, site_ns, offset_ns, guess_ns, guessed, points, codec, crc, sinks, "
                "payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, points, codec, zlib.crc32(payload), json.dumps(sinks, separators=(",", ":")), payload),
            )
            self._write_dead(db)
        self._last_seq = seq
        self._wrote(sinks)
        return seq

    def stamp(self, boot: str, offset_ns: int, *, is_guessed: bool) -> int:
        """Fix the time of this boot's batches that have none, durably; gives how many. Raises SpoolError."""
        where = "boot=? AND offset_ns IS NULL"
        if not self._one(f"SELECT count(*) FROM batch WHERE {where}", boot):
            return 0
        with self._full(), self._transaction() as db:
            return db.execute(
                f"UPDATE batch SET offset_ns=?, guessed=? WHERE {where}", (offset_ns, is_guessed, boot)
            ).rowcount

    def stamp_earlier(self, boot: str) -> int:
        """Batches of earlier boots that never learned their time go with the guess of their own boot."""
        if not self._one("SELECT count(*) FROM batch WHERE boot<>? AND offset_ns IS NULL", boot):
            return 0
        with self._full(), self._transaction() as db:
            return db.execute(
                "UPDATE batch SET offset_ns=guess_ns, guessed=1 WHERE boot<>? AND offset_ns IS NULL", (boot,)
            ).rowcount

    def take(self, sink: str) -> Sealed | None:
        """The oldest batch that this sink has not settled; None: nothing, or it waits for its time."""
        rows = self._rows(
            "SELECT seq, boot, offset_ns, guessed, points, codec, crc, payload FROM batch WHERE seq > ? "
            "ORDER BY seq LIMIT 1",
            self._sinks[sink].cursor,
        )
        if not rows or rows[0][2] is None:
            return None
        seq, boot, offset_ns, guessed, points, codec, crc, payload = rows[0]
        is_whole = zlib.crc32(payload) == crc
        return Sealed(seq, boot, offset_ns, guessed, points, codec if is_whole else "", payload)

    def settle(
        self,
        sink: str,
        seq: int,
        *,
        delivered: int = 0,
        rejected: int = 0,
        dropped: int = 0,
        dead: Iterable[Dead] = (),
    ) -> None:
        """The batch that `take` gave is done; kept with the next seal or flush."""
        if sink not in self._sinks or seq <= self._sinks[sink].cursor:
            return  # dropped meanwhile because the spool was full, and counted so
        self._sinks[sink] = self._sinks[sink].plus(
            seq, delivered=delivered, rejected=rejected, dropped=dropped
        )
        self._dead += ((sink, seq, one) for one in dead)
        self._has_moved = True

    def flush(self, kept: tuple[KeptTime, int] | None = None) -> None:
        """Make durable what was sealed, and what was settled when no batch has been sealed since. Raises SpoolError."""
        sinks = self._sinks if self._dead or (self._has_moved and self._is_quiet) else None
        with self._full(), self._transaction() as db:
            # Always something: a transaction that writes nothing syncs nothing.
            _write_meta(db, seq=self._last_seq)
            if kept is not None:
                time, mark = kept
                _write_meta(db, time=json.dumps([time.boot, time.base_ns, time.site_ns]), number=mark)
            if sinks is not None:
                self._write_dead(db)
                _write_sinks(db, self._last_seq, sinks)
        if sinks is not None:
            self._wrote(sinks)
        self._is_quiet = True

    def tidy(self, now_ns: int, *, keep_ns: int, limit_bytes: int) -> int:
        """Free what every sink has and what is older than `keep_ns`; above the limit the oldest. Gives batches freed.

        A small step: call it again while it gives FREE_ROWS. Raises SpoolError.
        """
        done = min((one.cursor for one in self._sinks.values()), default=self._last_seq)
        old = [seq for seq, site_ns in self._oldest("site_ns") if site_ns < now_ns - keep_ns and seq <= done]
        surplus = self.used_bytes() - limit_bytes
        rows = self._surplus(surplus) if surplus > 0 else []
        last = max([0, *old, *(seq for seq, _ in rows)])
        if not last:
            return 0  # nothing is written when nothing is freed
        sinks = {}
        for name, one in self._sinks.items():
            lost = sum(points for seq, points in rows if seq > one.cursor)
            sinks[name] = one.plus(rows[-1][0], dropped=lost) if lost else one
        with self._transaction() as db:
            self._write_dead(db)
            _write_sinks(db, self._last_seq, sinks)
            _write_meta(db, seq=self._last_seq)
            freed = db.execute("DELETE FROM batch WHERE seq <= ?", (last,)).rowcount
        self._wrote(sinks)
        return freed

    def used_bytes(self) -> int:
        """Bytes of pages in use."""
        return (self._one("PRAGMA page_count") - self._one("PRAGMA freelist_count")) * PAGE_BYTES

    def counts(self) -> dict[str, SinkCounts]:
        """Of every sink; what was settled in memory counts. Raises SpoolError."""
        found = {}
        for name, one in self._sinks.items():
            n, points, oldest_ns = self._rows(
                "SELECT count(*), coalesce(sum(points), 0), min(site_ns) FROM batch WHERE seq > ?", one.cursor
            )[0]
            found[name] = SinkCounts(
                one.produced, one.delivered, one.rejected, one.dropped, points, n, oldest_ns
            )
        return found

    def dead(self, sink: str) -> list[tuple[int, Dead]]:
        """(seq, piece) of what this sink refused, oldest first."""
        rows = self._db.execute("SELECT seq, reason, payload FROM dead WHERE sink=? ORDER BY n", (sink,))
        return [(seq, Dead(reason, zlib.decompress(blob).decode())) for seq, reason, blob in rows]

    def dead_reasons(self) -> dict[str, dict[str, int]]:
        """How many pieces of each sink lie aside, by the server's words."""
        found: dict[str, dict[str, int]] = {}
        for sink, reason, n in self._db.execute("SELECT sink, reason, count(*) FROM dead GROUP BY 1, 2"):
            found.setdefault(sink, {})[reason] = n
        return found

    def batches(self) -> Iterable[Sealed]:
        """All that is kept, oldest first; a batch without a time yet has its guess."""
        for row in self._db.execute(
            "SELECT seq, boot, coalesce(offset_ns, guess_ns), guessed OR offset_ns IS NULL, points, codec, payload "
            "FROM batch ORDER BY seq"
        ):
            yield Sealed(*row)

    def close(self) -> None:
        """Keep what was settled, write the WAL back, close. Idempotent."""
        with contextlib.suppress(SpoolError, sqlite3.Error):
            self._is_quiet = True
            self.flush()
        self._db.close()

    def _surplus(self, surplus: int) -> list[tuple[int, int]]:
        """(seq, points) of the oldest batches that make so much room, at most FREE_ROWS."""
        rows, room = [], 0
        for seq, points, size in self._oldest("points, length(payload) + 64"):
            if room >= surplus:
                break
            rows.append((seq, points))
            room += size
        return rows

    def _oldest(self, columns: str) -> list[tuple[Any, ...]]:
        """seq and `columns` of the oldest batches, at most FREE_ROWS."""
        return self._rows(f"SELECT seq, {columns} FROM batch ORDER BY seq LIMIT {FREE_ROWS}")

    def _write_dead(self, db: sqlite3.Connection) -> None:
        if not self._dead:
            return
        db.executemany(
            "INSERT INTO dead(sink, seq, reason, payload) VALUES (?, ?, ?, ?)",
            ((name, seq, one.reason, zlib.compress(one.text.encode(), 1)) for name, seq, one in self._dead),
        )
        while self._one("SELECT coalesce(sum(length(payload)), 0) FROM dead") > DEAD_BYTES_MAX:
            db.execute("DELETE FROM dead WHERE n = (SELECT min(n) FROM dead)")

    def _wrote(self, sinks: dict[str, _Sink]) -> None:
        """What was settled is kept, as `sinks`."""
        self._sinks = sinks
        self._dead.clear()
        self._has_moved = self._is_quiet = False

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with disk(SpoolError):
            return self._db.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: Any) -> int:
        return int(self._rows(sql, *values)[0][0])

    @contextlib.contextmanager
    def _full(self) -> Any:
        """Commits inside are durable when they return."""
        self._db.execute("PRAGMA synchronous=FULL")
        try:
            yield
        finally:
            self._db.execute("PRAGMA synchronous=NORMAL")

    def _transaction(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        return transaction(self._db, SpoolError)


def _write_meta(db: sqlite3.Connection, **rows: int | str) -> None:
    db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows.items())


def _write_sinks(db: sqlite3.Connection, at: int, sinks: Mapping[str, _Sink]) -> None:
    db.execute("DELETE FROM sink")
    db.executemany(
        "INSERT INTO sink VALUES (?, ?, ?, ?, ?, ?)", ((name, *one) for name, one in sinks.items())
    )
    _write_meta(db, sinks_at=at)
