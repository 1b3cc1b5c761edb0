"""The journal: `incidents.db`, small and precious. What its `commit` returned from survives a power cut.

One SQLite file in WAL mode with `synchronous=FULL`: a commit is one append and one fsync. Tables: incident
(newest revision as JSON), alarm (state as JSON), notified (sends and how they stand), ack, command (ids that
were used), meta (number high-water mark, site-time base). Schema number in `user_version`.

Invariants
- A row's revision never falls; a number is never given out twice (`reserve` is durable before it returns).
- `open_journal` never refuses a damaged file: it goes to `aside/` with its -wal, a fresh one starts, and new
  ids then carry a series (`x<boot>-`) because the old numbers are lost. A disk that cannot be written is no
  damage: JournalError, the caller goes on in RAM and tries again.
- Acks are stored with the incident that carries them, in its transaction.
- A send that an older process left under way and that has a newer one to the same receiver is superseded at
  open.

Limits (our choice): closed incidents 400 days or 10,000, acks and sends with them; sends 50,000; command ids
10,000; 16 damaged files in `aside/`. `tidy` removes at most 200 rows of a table a call and writes the WAL
back; call it now and then, away from a fire. Without it the WAL is written back by a commit once it holds
4,000 pages (16 MB). The check at open reads the whole file once; its bound is the bound on rows. Synchronous
and used by one thread at a time; the caller hands it to a thread of its own.
"""

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway import aside, rows, tables
from gateway.database import DiskError, disk, transaction
from gateway.kept import KeptTime, Restored, UsedCommand, Write
from gateway.notify import UNDER_WAY, DeliveryState
from models.incident import Incident, IncidentState

__all__ = [
    "Journal",
    "JournalError",
    "KeptTime",
    "Opened",
    "Restored",
    "UsedCommand",
    "Write",
    "open_journal",
    "peek",
]

T = TypeVar("T")

NUMBER_BLOCK: Final = 16
CLOSED_KEEP_NS: Final = 400 * 86_400 * 1_000_000_000
CLOSED_ROWS_MAX: Final = 10_000
NOTIFIED_ROWS_MAX: Final = 50_000
COMMAND_ROWS_MAX: Final = 10_000
RECENT_CLOSED: Final = 50
_STEP_ROWS: Final = 200
_WAL_PAGES_MAX: Final = 4_000


class JournalError(DiskError):
    """See `gateway.database.DiskError`."""


@dataclass(frozen=True, slots=True)
class Opened:
    """`damaged` says in words what was wrong and where the old file is; None = all well."""

    journal: "Journal"
    restored: Restored
    damaged: str | None


def open_journal(
    path: Path, aside_dir: Path, boot: str = "", number_mark: int = 0, margin: int = 0
) -> Opened:
    """Open or make the journal. Raises JournalError where the disk, not the file, is at fault.

    `number_mark`: the highest number that is known elsewhere; where this file knows less (it was lost), numbers
    go on behind it, `margin` farther. `boot` names this boot of the machine; it marks new ids when both are lost.
    """
    try:
        journal, restored = _open(path)
    except JournalError as problem:
        if not problem.is_damage:
            raise
        with disk(JournalError):
            kept, n = aside.set_aside(path, aside_dir)
        journal, _ = _open(path)
        series = "" if number_mark else f"x{boot[:4]}{n or ''}-"
        journal.set_series(series)
        journal.skip_numbers(number_mark, margin)
        return Opened(journal, Restored(series=series), f"{problem}; kept as {kept.parent.name}/{kept.name}")
    journal.skip_numbers(number_mark, margin)
    return Opened(journal, restored, None)


def peek(path: Path) -> Restored:
    """What a journal holds that cannot be opened for writing (a full disk): read from a copy in memory.

    Raises JournalError when there is nothing to be read.
    """
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder, disk(JournalError):
        for companion in ("", "-wal"):
            beside = path.with_name(path.name + companion)
            if companion == "" or beside.exists():
                shutil.copy(beside, Path(folder) / beside.name)
        journal, restored = _open(Path(folder) / path.name)
        journal.close()
    return restored


class Journal:
    """An open journal."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def commit(self, write: Write) -> None:
        """Keep it all, durably, or nothing. Raises JournalError."""
        with self._transaction() as db:
            db.executemany(tables.PUT_INCIDENT, map(_incident_row, write.incidents))
            db.executemany(
                tables.PUT_ACK,
                ((one.id, a.by, a.via, a.revision, a.at_ns) for one in write.incidents for a in one.acks),
            )
            db.executemany(tables.PUT_ALARM, ((one.id, rows.alarm_text(one)) for one in write.alarms))
            db.executemany(tables.PUT_NOTIFIED, map(rows.notified_row, write.notified))
            db.executemany(
                tables.PUT_COMMAND, ((one.id, one.by, one.do, one.at_ns) for one in write.commands)
            )
            if write.time is not None:
                kept = (
                    ("boot", write.time.boot),
                    ("base_ns", write.time.base_ns),
                    ("site_ns", write.time.site_ns),
                )
                db.executemany(tables.PUT_META, kept)

    def reserve(self, n: int = NUMBER_BLOCK) -> int:
        """The first of `n` numbers that nobody gets again, durable when this returns. Raises JournalError."""
        assert n > 0
        with self._transaction() as db:
            found = db.execute("SELECT value FROM meta WHERE name='number'").fetchone()
            used = int(found[0]) if found else 0
            db.execute(tables.PUT_META, ("number", used + n))
        return used + 1

    def skip_numbers(self, mark: int, margin: int) -> None:
        """Never give out what lies below a mark that this file does not know, or little above it."""
        found = self._db.execute("SELECT value FROM meta WHERE name='number'").fetchone()
        if mark > (int(found[0]) if found else 0):
            with self._transaction() as db:
                db.execute(tables.PUT_META, ("number", mark + margin))

    def set_series(self, series: str) -> None:
        """What goes before the number in new ids from now on. Raises JournalError."""
        with self._transaction() as db:
            db.execute(tables.PUT_META, ("series", series))

    def tidy(self, now_ns: int) -> int:
        """Forget a few old rows, write the WAL back; gives how many rows went. Raises JournalError."""
        with self._transaction() as db:
            gone = db.execute(
                tables.OLD_CLOSED, (now_ns - CLOSED_KEEP_NS, CLOSED_ROWS_MAX, _STEP_ROWS)
            ).fetchall()
            db.executemany("DELETE FROM notified WHERE incident=?", gone)
            db.executemany("DELETE FROM ack WHERE incident=?", gone)
            db.executemany("DELETE FROM incident WHERE id=?", gone)
            n = len(gone) + self._tidy_sends(db)
            n += db.execute(
                "DELETE FROM command WHERE n <= (SELECT max(n) FROM command) - ?", (COMMAND_ROWS_MAX,)
            ).rowcount
        with disk(JournalError):
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return n

    @staticmethod
    def _tidy_sends(db: sqlite3.Connection) -> int:
        """Forget old sends, never the newest one to a receiver: it says what was told."""
        too_many = db.execute("SELECT count(*) FROM notified").fetchone()[0] - NOTIFIED_ROWS_MAX
        if too_many <= 0:
            return 0
        old = db.execute(
            f'SELECT incident, "to", revision, send FROM notified WHERE {tables.HAS_NEWER} ORDER BY at_ns LIMIT ?',
            (min(too_many, _STEP_ROWS),),
        ).fetchall()
        db.executemany('DELETE FROM notified WHERE incident=? AND "to"=? AND revision=? AND send=?', old)
        return len(old)

    def close(self) -> None:
        """Write the WAL back and close. Idempotent."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _transaction(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        return transaction(self._db, JournalError)


def _open(path: Path) -> tuple[Journal, Restored]:
    with disk(JournalError):
        # Transactions are ours (isolation_level None); the thread that uses the connection may change.
        db = sqlite3.connect(
            path, timeout=1.0, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        try:
            db.execute("PRAGMA journal_mode=WAL").fetchone()
            db.execute("PRAGMA synchronous=FULL")
            db.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES_MAX}").fetchone()
            db.execute("PRAGMA journal_size_limit=4194304").fetchone()
            _check(db)
            return Journal(db), _restore(db)
        except BaseException:
            db.close()
            raise


def _check(db: sqlite3.Connection) -> None:
    """A new file gets its tables; a strange or spoilt one raises JournalError(is_damage)."""
    found = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    if found != "ok":
        raise JournalError(found.splitlines()[-1], is_damage=True)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    if version > tables.SCHEMA:
        raise JournalError(
            f"written by a newer version (schema {version}, ours {tables.SCHEMA})", is_damage=True
        )
    if version == tables.SCHEMA:
        if missing := tables.TABLE_NAMES - names:
            raise JournalError(f"tables missing: {', '.join(sorted(missing))}", is_damage=True)
        return
    if names:
        raise JournalError("a database of something else", is_damage=True)
    # One transaction: a power cut leaves either no table or all of them.
    db.executescript(f"BEGIN IMMEDIATE; {tables.TABLES} PRAGMA user_version={tables.SCHEMA}; COMMIT;")


def _restore(db: sqlite3.Connection) -> Restored:
    under_way = tuple(sorted(UNDER_WAY))
    db.execute(
        f"UPDATE notified SET state=? WHERE state IN (?, ?) AND {tables.HAS_NEWER}",
        (DeliveryState.SUPERSEDED, *under_way),
    )
    bad: list[str] = []
    opened = "SELECT 'incident ' || id, json FROM incident WHERE is_open=1 ORDER BY opened_ns, id"
    closed = "SELECT 'incident ' || id, json FROM incident WHERE is_open=0 ORDER BY closed_ns DESC LIMIT ?"
    alarms = "SELECT 'alarm ' || id, json FROM alarm ORDER BY id"
    sends = (("notified " + str(row[0]), row) for row in db.execute(tables.LIVE_SENDS, under_way))
    meta = dict(db.execute("SELECT name, value FROM meta"))
    return Restored(
        incidents=_read(db.execute(opened), rows.incident_of, bad),
        closed=_read(db.execute(closed, (RECENT_CLOSED,)), rows.incident_of, bad)[::-1],
        alarms=_read(db.execute(alarms), rows.alarm_of, bad),
        notified=_read(sends, rows.notified_of, bad),
        commands=frozenset(one for (one,) in db.execute("SELECT id FROM command")),
        time=_kept_time(meta, db.execute(tables.NEWEST_NS).fetchone()[0]),
        series=str(meta.get("series", "")),
        unreadable=tuple(bad),
    )


def _read(found: Iterator[tuple[str, Any]], decode: Callable[[Any], T], bad: list[str]) -> tuple[T, ...]:
    good = []
    for name, row in found:
        try:
            good.append(decode(row))
        except rows.RowError as problem:
            bad.append(f"{name}: {problem}")
    return tuple(good)


def _kept_time(meta: dict[str, Any], newest_ns: int) -> KeptTime | None:
    """The saved base. The site time of any row counts as well: site time never runs backwards."""
    if "site_ns" not in meta:
        return None
    return KeptTime(str(meta["boot"]), int(meta["base_ns"]), max(int(meta["site_ns"]), newest_ns))


def _incident_row(one: Incident) -> tuple[Any, ...]:
    is_open = one.state is not IncidentState.CLOSED
    text = rows.incident_text(one)
    return one.id, one.revision, is_open, one.opened_ns, one.changed_ns, one.closed_ns, text
