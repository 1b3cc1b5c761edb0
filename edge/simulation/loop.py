"""An asyncio loop whose time jumps to the next timer instead of waiting for it.

Nothing waits, so a quiet hour costs what its events cost. When nothing is ready and no timer is set, nothing can
ever happen again: that is an error of the run and raises `NothingCanHappen`. Only work inside the loop is simulated:
sockets and threads do not belong here (`edge.threads.at_once` stands in for threads).
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from edge.clock import SiteTime, Wall
from gateway.journal import KeptTime

T = TypeVar("T")


class NothingCanHappen(RuntimeError):
    """No task is ready and no timer is set."""


class _JumpingSelector(selectors.SelectSelector):
    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingCanHappen("no task is ready and no timer is set")
        self.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that starts at second 0 and jumps."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._jumping.now_s


class VirtualClock:
    """Site and wall time of a virtual loop. `wall_offset_ns` and `synced` may be changed while it runs."""

    def __init__(self, loop: VirtualLoop, wall_start_ns: int, *, boot: str = "b0" * 16) -> None:
        self._loop = loop
        self._site = SiteTime(boot)
        self.wall_start_ns = wall_start_ns
        self.synced = True

    @property
    def boot(self) -> str:
        """Names this virtual boot."""
        return self._site.boot

    def start(self, saved: KeptTime | None) -> None:
        """See `edge.clock.Clock`."""
        self._site.start(saved, self._steady_ns())

    def save(self) -> KeptTime:
        """See `edge.clock.Clock`."""
        return self._site.save(self._steady_ns())

    def site_ns(self) -> int:
        """See `edge.clock.Clock`."""
        return self._site.at(self._steady_ns())

    def wall(self) -> Wall:
        """See `edge.clock.Clock`."""
        return Wall(self.wall_start_ns + self._steady_ns(), self.synced)

    def up_ns(self) -> int:
        """See `edge.clock.Clock`."""
        return self._steady_ns()

    def _steady_ns(self) -> int:
        return round(self._loop.time() * 1e9)


def run(main: Coroutine[Any, Any, T], loop: VirtualLoop) -> T:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)
