"""Damaged database files are kept, never repaired in place: a person may still read them.

`aside/NAME.N` with its -wal and -shm; N grows, so that no name comes twice. At most 16 are kept, the oldest
go: a card that fails at every start must not fill itself with its own ruins.
"""

import contextlib
from pathlib import Path
from typing import Final

ASIDE_MAX: Final = 16
# The -wal goes first: without it the file is old, with a fresh file's it would be spoilt.
_COMPANIONS: Final = ("-wal", "-shm", "")


def set_aside(path: Path, aside_dir: Path) -> tuple[Path, int]:
    """Move the file and its companions to `aside/NAME.N`; gives that path and N. Raises OSError."""
    aside_dir.mkdir(parents=True, exist_ok=True)
    found = (old.name.rsplit(".", 1)[-1] for old in aside_dir.glob(f"{path.name}.*"))
    numbers = sorted(int(last) for last in found if last.isdecimal())
    n = numbers[-1] + 1 if numbers else 0
    for old in numbers[: max(0, len(numbers) + 1 - ASIDE_MAX)]:
        for companion in _COMPANIONS:
            (aside_dir / f"{path.name}.{old}{companion}").unlink(missing_ok=True)
    for companion in _COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + companion).rename(aside_dir / f"{path.name}.{n}{companion}")
    return aside_dir / f"{path.name}.{n}", n
