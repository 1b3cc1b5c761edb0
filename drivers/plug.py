"""Whether a virtual bus's port is there, followed through the plan of faults."""

import asyncio
import math
from collections.abc import Callable

from drivers.stage import Stage


class Plug:
    """Calls `changed(is_plugged)` at each edge while it is followed. Needs a running loop."""

    def __init__(self, bus: str, stage: Stage, changed: Callable[[bool], None]) -> None:
        self._bus, self._stage, self._changed = bus, stage, changed
        self._is_in = True
        self._is_followed = False
        self._timer: asyncio.TimerHandle | None = None
        stage.watch(self._follow)

    @property
    def is_in(self) -> bool:
        """Whether the port is there now."""
        return "unplug" not in self._stage.faults(self._bus)

    def start(self) -> None:
        """Follow it from now on."""
        self._is_in, self._is_followed = self.is_in, True
        self._follow()

    def stop(self) -> None:
        """No more. Idempotent."""
        self._is_followed = False
        if self._timer:
            self._timer.cancel()

    def _follow(self, reached_t_s: float = 0.0) -> None:
        """Compares the plug with the plan and waits for its next edge (reached when its timer fires)."""
        if self._timer:
            self._timer.cancel()
        if not self._is_followed:
            return
        t_s = max(self._stage.t_s(), reached_t_s)
        edge_t_s = self._stage.world.next_change_s(self._bus, "unplug", t_s)
        if edge_t_s is not None and self._stage.at_s(edge_t_s) != math.inf:
            self._timer = asyncio.get_running_loop().call_at(
                self._stage.at_s(edge_t_s), self._follow, edge_t_s
            )
        is_in = "unplug" not in self._stage.world.faults(self._bus, t_s)
        if is_in != self._is_in:
            self._is_in = is_in
            self._changed(is_in)
