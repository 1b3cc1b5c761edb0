"""Blocking work in named daemon threads, handed to the parts as a plain callable.

The default executor is never used: a name look-up that hangs there would hold the process at exit. A daemon thread
of our own dies with the process. Threads return values; they never touch shared state. In virtual time the same
seam is `at_once`: the function runs in the call, so that a run is one sequence.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Blocking(Protocol):
    """Runs a function elsewhere and gives its result, or raises what it raised."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """Await the result of `work()`."""
        ...


class Worker:
    """One daemon thread that runs functions in the order in which they came."""

    def __init__(self, name: str) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while True:
            self._work.get()()

    async def __call__(self, work: Callable[[], T], /) -> T:
        """Await the result of `work()`. A cancelled wait does not stop the thread; its result is dropped."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def settle(value: T | None, error: BaseException | None) -> None:
            if done.cancelled():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(value)  # type: ignore[arg-type]  # value is T whenever error is None

        def job() -> None:
            value: T | None = None
            error: BaseException | None = None
            try:
                value = work()
            except BaseException as problem:  # noqa: BLE001  # carried to the waiter, who judges it
                error = problem
            # The loop may be closed by now (RuntimeError): nobody waits, nothing to tell.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, value, error)

        self._work.put(job)
        return await done


async def at_once(work: Callable[[], T], /) -> T:
    """The seam's form for virtual time: runs `work` in the call."""
    return work()
