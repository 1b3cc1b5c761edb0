"""What both database files share: foreign errors in one typed form, and transactions that leave nothing half done."""

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Final

_SPOILT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})


class DiskError(Exception):
    """The disk did not take or give it: full, read-only, broken. Nothing of the call was kept; try again later.

    `is_damage`: the file itself is spoilt; close it and open it again.
    """

    def __init__(self, text: str, *, is_damage: bool = False) -> None:
        super().__init__(text)
        self.is_damage = is_damage


@contextlib.contextmanager
def disk(kind: type[DiskError]) -> Iterator[None]:
    """Foreign errors become `kind`; a spoilt file is told apart from a disk that cannot."""
    try:
        yield
    except sqlite3.Error as problem:
        code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
        raise kind(str(problem), is_damage=code in _SPOILT) from problem
    except OSError as problem:
        raise kind(problem.strerror or type(problem).__name__) from problem


@contextlib.contextmanager
def transaction(db: sqlite3.Connection, kind: type[DiskError]) -> Iterator[sqlite3.Connection]:
    """All of the body is kept, or nothing."""
    with disk(kind):
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        finally:
            # Still inside only after a failure; SQLite may have rolled back by itself.
            if db.in_transaction:
                db.execute("ROLLBACK")
