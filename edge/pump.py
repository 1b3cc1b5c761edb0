"""Questions over Modbus TCP without a task for each: the answer's own turn of the loop asks the next one.

Up to `in_flight` questions are under way. When nothing is due, a timer wakes it; when the device closed a quiet
connection, or a device must first be asked who it is, a task does that and the pump goes on after it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

from drivers.line import WireError
from drivers.port import PortError
from drivers.tcp_line import TcpLine
from edge.roll_call import RollCall
from edge.schedule import Schedule, Turn
from edge.seen import Seen

WAIT_MAX_S: Final = 1.0

Settle = Callable[[Turn, bytes | WireError], None]


class Pump:
    """Asks the turns of one TCP bus while `run` is awaited. `settle` takes what became of each question."""

    def __init__(
        self,
        line: TcpLine,
        schedule: Schedule,
        seen: Sequence[Seen],
        roll_call: RollCall,
        settle: Settle,
        in_flight: int,
    ) -> None:
        self._line, self._schedule, self._seen, self._roll_call = line, schedule, seen, roll_call
        self._settle = settle
        self._free = in_flight
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_pumping = False

    async def run(self) -> None:
        """Until cancelled. Raises PortError: the connection ended under a question, or cannot be opened."""
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._pump()
        try:
            await self._ended
        finally:
            self._free = 0
            if self._timer is not None:
                self._timer.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _pump(self) -> None:
        """Ask until nothing more may be under way or nothing is due."""
        if self._is_pumping:  # an answer came while asking: the loop below goes on
            return
        self._is_pumping = True
        try:
            while self._free > 0 and not self._ended.done():
                turn, wait_s = self._schedule.next(self._loop.time(), self._line.ready_in_s)
                if turn is None:
                    self._wake_in(min(wait_s, WAIT_MAX_S))
                    return
                self._free -= 1
                self._ask(turn)
        except PortError as error:
            self._fail(error)
        finally:
            self._is_pumping = False

    def _ask(self, turn: Turn) -> None:
        seen = self._seen[turn.index]
        if self._line.is_open and self._roll_call.knows(seen.device):
            self._line.ask(seen.request, partial(self._done, turn))
        else:
            self._start(self._ask_slowly(turn, seen))

    async def _ask_slowly(self, turn: Turn, seen: Seen) -> None:
        """With what must be waited for before it: a connection, who the device is."""
        result: bytes | WireError | PortError
        try:
            await self._roll_call.admit(seen.device)
            result = await self._line.exchange(seen.request)
        except (WireError, PortError) as error:
            result = error
        self._done(turn, result)

    def _done(self, turn: Turn, result: bytes | WireError | PortError) -> None:
        if isinstance(result, PortError):
            self._fail(result)
            return
        if self._ended.done():
            return
        try:
            self._settle(turn, result)
        except BaseException as error:  # noqa: BLE001  # a bug: it ends the agent, as in any task
            self._ended.set_exception(error)
            return
        self._free += 1
        self._pump()

    def _wake_in(self, wait_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(wait_s, self._pump)

    def _fail(self, error: PortError) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
