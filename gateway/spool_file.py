"""Opening `spool.db`: its tables, what a strange file is, and what damage does.

A file that is not ours or is spoilt goes to `aside/`, a fresh one starts; a disk that cannot is no damage (SpoolError).
"""

import json
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway import aside
from gateway.database import disk
from gateway.kept import KeptTime
from gateway.spool import PAGE_BYTES, Spool, SpoolError

SCHEMA: Final = 1
_WAL_PAGES: Final = 1_000
_ROOMY_BYTES: Final = 100_000_000
_WAL_SPARE_BYTES: Final = 20_000  # the frames' headers, and what the transaction writes besides
_TABLES: Final = """
CREATE TABLE batch(seq INTEGER PRIMARY KEY, boot TEXT NOT NULL, site_ns INTEGER NOT NULL,
  offset_ns INTEGER, guess_ns INTEGER NOT NULL, guessed INTEGER NOT NULL, points INTEGER NOT NULL, codec TEXT NOT NULL,
  crc INTEGER NOT NULL, sinks TEXT NOT NULL, payload BLOB NOT NULL);
CREATE INDEX untimed ON batch(boot) WHERE offset_ns IS NULL;
CREATE TABLE sink(id TEXT PRIMARY KEY, cursor INTEGER NOT NULL, produced INTEGER NOT NULL, delivered INTEGER NOT NULL,
  rejected INTEGER NOT NULL, dropped INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE dead(n INTEGER PRIMARY KEY, sink TEXT NOT NULL, seq INTEGER NOT NULL,
  reason TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What was there at open. `damaged` says in words what was wrong and where the old file is."""

    spool: Spool
    time: KeptTime | None
    number_mark: int
    damaged: str | None


def open_spool(path: Path, aside_dir: Path | None) -> Found:
    """Open or make the spool. Raises SpoolError where the disk, not the file, is at fault.

    `aside_dir` None: somebody only looks; damage raises too.
    """
    try:
        return _open(path, None)
    except SpoolError as problem:
        if not problem.is_damage or aside_dir is None:
            raise
        with disk(SpoolError):
            kept, _ = aside.set_aside(path, aside_dir)
        return _open(path, f"{problem}; kept as {kept.parent.name}/{kept.name}")


def _open(path: Path, damaged: str | None) -> Found:
    with disk(SpoolError):
        db = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
        try:
            db.execute(f"PRAGMA page_size={PAGE_BYTES}")
            db.execute("PRAGMA locking_mode=EXCLUSIVE").fetchone()
            db.execute("PRAGMA journal_mode=WAL").fetchone()
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}").fetchone()
            db.execute("PRAGMA journal_size_limit=1048576").fetchone()
            _check(db)
            if shutil.disk_usage(path.parent).free > _ROOMY_BYTES:
                _lay_out_wal(db)
            meta = dict(db.execute("SELECT name, value FROM meta"))
            newest = db.execute("SELECT site_ns FROM batch ORDER BY seq DESC LIMIT 1").fetchone()
            spool = Spool(db)
        except BaseException:
            db.close()
            raise
    time = None
    if "time" in meta:  # the site time of any batch counts as well: it never runs backwards
        boot, base_ns, site_ns = json.loads(meta["time"])
        time = KeptTime(boot, base_ns, max(site_ns, newest[0] if newest else 0))
    return Found(spool, time, int(meta.get("number", 0)), damaged)


def _lay_out_wal(db: sqlite3.Connection) -> None:
    """Give the WAL its full size at once, by a transaction that is too large for the cache and rolled back.

    A file that grows is written back at each commit of its file system (ext4: 5 s), one that is only overwritten every
    30 s. Not done where space is short: incidents need it more.
    """
    db.execute("PRAGMA cache_size=8")
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute("CREATE TABLE filler(content)")
        db.execute("INSERT INTO filler VALUES (zeroblob(?))", (_WAL_PAGES * PAGE_BYTES - _WAL_SPARE_BYTES,))
    finally:
        db.execute("ROLLBACK")
        db.execute("PRAGMA cache_size=-2000")


def _check(db: sqlite3.Connection) -> None:
    """A new file gets its tables; one of something else raises SpoolError(is_damage)."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    if version == 0 and not names:
        db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT;")
    elif version != SCHEMA or not names >= {"batch", "sink", "dead", "meta"}:
        raise SpoolError(f"not a spool of ours (schema {version}, ours {SCHEMA})", is_damage=True)
