"""Whose turn it is on one bus: life safety before all else, earliest deadline first inside each class.

A *turn* is one request of one device. A device that was silent 5 times is asked every 30 s (life safety: every 5 s)
until it answers, so that one dead device does not starve the others. What could not be asked in time is asked late
and counted as missed; nothing queues. Non-preemptive: a question on the wire is finished first.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

SILENT_N: Final = 5
RETRY_LIFE_S: Final = 5.0
RETRY_OTHER_S: Final = 30.0
BUSY_RETRY_S: Final = 0.5  # a device that says "busy" is asked again soon (our choice)


@dataclass(slots=True)
class Turn:
    """One request of one device. `period_s` 0 = as fast as the bus allows. Times are loop seconds."""

    unit: int
    index: int
    period_s: float
    is_life_safety: bool
    due_s: float = 0.0
    silent_n: int = 0
    missed_n: int = 0

    @property
    def rank(self) -> tuple[bool, float]:
        """Smaller goes first: life safety, then the earliest deadline (due time plus period)."""
        return not self.is_life_safety, self.due_s + self.period_s

    @property
    def is_silent(self) -> bool:
        """Whether the device did not answer this request so often that it is asked rarely."""
        return self.silent_n >= SILENT_N


class Schedule:
    """The turns of one bus. A turn that `next` gave is away until it was answered, silent or busy.

    Two heaps, so that a bus of 200 devices costs a turn what a bus of two does: turns that wait for their time, and
    turns that are due, the one that goes first on top.
    """

    def __init__(self, turns: Iterable[Turn], now_s: float) -> None:
        self.turns = tuple(turns)
        self.begin(now_s)

    def begin(self, now_s: float) -> None:
        """All are due now: the port was opened."""
        self._waiting: list[tuple[float, int, Turn]] = []
        self._due: list[tuple[bool, float, int, Turn]] = []
        for turn in self.turns:
            turn.due_s = now_s
            self._wait(turn)

    def next(self, now_s: float, ready_in_s: Callable[[int], float]) -> tuple[Turn | None, float]:
        """The turn to take now, or None and the seconds until one can be taken.

        `ready_in_s(unit)`: how long the unit must still be left alone (rest, late replies).
        """
        waiting, due = self._waiting, self._due
        while waiting and waiting[0][0] <= now_s:
            _, order, turn = heappop(waiting)
            heappush(due, (*turn.rank, order, turn))
        wait_s = waiting[0][0] - now_s if waiting else float("inf")
        resting = []
        found: Turn | None = None
        while due:
            entry = heappop(due)
            rest_s = ready_in_s(entry[3].unit)
            if rest_s <= 0.0:
                found = entry[3]
                break
            resting.append(entry)
            wait_s = min(wait_s, rest_s)
        for entry in resting:
            heappush(due, entry)
        return (found, 0.0) if found is not None else (None, wait_s)

    def _wait(self, turn: Turn) -> None:
        heappush(self._waiting, (turn.due_s, turn.index, turn))

    def answered(self, turn: Turn, now_s: float) -> None:
        """The device answered: keep its rhythm; what lies in the past is missed, not queued."""
        turn.silent_n = 0
        self._again(turn, now_s, turn.period_s)

    def silent(self, turn: Turn, now_s: float) -> None:
        """The device did not answer, or not in a way that could be believed."""
        turn.silent_n += 1
        retry_s = RETRY_LIFE_S if turn.is_life_safety else RETRY_OTHER_S
        self._again(turn, now_s, max(turn.period_s, retry_s) if turn.is_silent else turn.period_s)

    def busy(self, turn: Turn, now_s: float) -> None:
        """The device answered that it is busy: it lives, it has no value, it is asked again soon."""
        turn.silent_n = 0
        turn.due_s = now_s + min(BUSY_RETRY_S, turn.period_s or BUSY_RETRY_S)
        self._wait(turn)

    def _again(self, turn: Turn, now_s: float, after_s: float) -> None:
        turn.due_s += after_s
        if turn.due_s < now_s:
            turn.missed_n += turn.period_s > 0.0
            turn.due_s = now_s
        self._wait(turn)
