"""How many attempts one notifier may have under way, and who is next.

At most 8 at once, so that a receiver that hangs costs 8 sockets and not hundreds; the last 2 places are kept
for priorities 1 and 2, so that a fire does not wait behind hanging troubles. Who waits is served by priority,
then by age. The bounds are our choice.
"""

import asyncio
import contextlib
import heapq
from collections.abc import AsyncIterator
from typing import Final

ATTEMPTS_AT_ONCE: Final = 8
KEPT_FOR_URGENT: Final = 2
URGENT_PRIORITY: Final = 2


class Gate:
    """The door of one notifier. One loop, no threads."""

    def __init__(self) -> None:
        self._inside = 0
        self._count = 0
        self._queue: list[tuple[int, int, asyncio.Future[None]]] = []

    @contextlib.asynccontextmanager
    async def pass_(self, priority: int) -> AsyncIterator[None]:
        """Inside while the body runs."""
        if self._queue or not self._has_room(priority):
            turn = asyncio.get_running_loop().create_future()
            self._count += 1
            heapq.heappush(self._queue, (priority, self._count, turn))
            self._admit()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leave()
                raise
        else:
            self._inside += 1
        try:
            yield
        finally:
            self._leave()

    def _has_room(self, priority: int) -> bool:
        kept = 0 if priority <= URGENT_PRIORITY else KEPT_FOR_URGENT
        return self._inside < ATTEMPTS_AT_ONCE - kept

    def _leave(self) -> None:
        self._inside -= 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and (self._queue[0][2].done() or self._has_room(self._queue[0][0])):
            _, _, turn = heapq.heappop(self._queue)
            if not turn.done():
                self._inside += 1
                turn.set_result(None)
