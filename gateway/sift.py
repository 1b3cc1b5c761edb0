"""Find what a server refuses in a batch, without throwing away what it takes: halve down to the single line.

A refusal counts against a line only when other lines of the same batch pass: when nothing passes, the refusal is
systematic (our right, their schema, an overload), and halving on would throw all away. Then nothing is set aside.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.batch import Dead
from gateway.outcome import Outcome, Verdict

PIECES: Final = 8
REQUESTS_MAX: Final = 400
_PASSED: Final = (Verdict.ACCEPTED, Verdict.PARTIAL)

Send = Callable[[Sequence[str]], Awaitable[Outcome]]


@dataclass(slots=True)
class Sifted:
    """Lines that passed, were refused in part by the server's own count, and single lines that it refuses alone."""

    delivered: int = 0
    rejected: int = 0
    dead: list[Dead] = field(default_factory=list)


async def sift(lines: Sequence[str], send: Send) -> Sifted | None:
    """Deliver what passes; None: nothing passed, or the server went away meanwhile: hold it all.

    What passed before a None is sent again with the whole: points are idempotent.
    """
    found = Sifted()
    failed: list[tuple[Sequence[str], Outcome]] = []
    requests = 0

    async def offer(piece: Sequence[str]) -> bool:
        """Whether to go on."""
        nonlocal requests
        requests += 1
        outcome = await send(piece)
        if outcome.verdict in _PASSED:
            found.delivered += len(piece) - outcome.rejected_n
            found.rejected += outcome.rejected_n
        else:
            failed.append((piece, outcome))
        return requests < REQUESTS_MAX and outcome.fault is None

    size = -(-len(lines) // PIECES)
    for at in range(0, len(lines), size):
        if not await offer(lines[at : at + size]):
            return None
    if not found.delivered:  # one finer look: there may be a bad line in every eighth
        coarse, failed[:] = list(failed), []
        for piece, _ in coarse:
            for half in _halves(piece):
                if not await offer(half):
                    return None
    if not found.delivered:
        return None
    while failed:
        piece, outcome = failed.pop()
        if len(piece) == 1:
            found.dead.append(Dead(outcome.reason, piece[0]))
            continue
        for half in _halves(piece):
            if not await offer(half):
                return None
    return found


def _halves(piece: Sequence[str]) -> tuple[Sequence[str], ...]:
    middle = len(piece) // 2
    return (piece[:middle], piece[middle:]) if middle else (piece,)
