"""The world in play: a `World`, the moment when it began, and whoever steps in while it runs.

One stage is shared by all virtual buses of a process. It owns no timer and reads no clock of its own: `clock`
is the loop's. Time stands at 0 until `begin`.
"""

import math
from collections.abc import Callable

from drivers.world import World


class Stage:
    """The world that all buses share, and when it began."""

    def __init__(self, world: World, clock: Callable[[], float]) -> None:
        self.world = world
        self._clock = clock
        self._start_s: float | None = None
        self._watchers: list[Callable[[], None]] = []

    def begin(self) -> None:
        """World time 0 is now."""
        self._start_s = self._clock()
        self._tell()

    def t_s(self) -> float:
        """Seconds since the world began."""
        return 0.0 if self._start_s is None else self._clock() - self._start_s

    def at_s(self, t_s: float) -> float:
        """The clock's time at world time `t_s`, once the world has begun; before, infinity."""
        return math.inf if self._start_s is None else self._start_s + t_s

    def value(self, sensor: str, kind: str) -> float | None:
        """What this sensor feels now."""
        return self.world.value(sensor, kind, self.t_s())

    def faults(self, target: str) -> frozenset[str]:
        """What is wrong with this sensor or bus now."""
        return self.world.faults(target, self.t_s())

    def set(self, sensor: str, kind: str, value: float) -> None:
        """From now on this value."""
        self.world = self.world.set(sensor, kind, value, self.t_s())

    def fail(self, target: str, fault: str, for_s: float) -> None:
        """From now on this fault, for `for_s` seconds."""
        self.world = self.world.fail(target, fault, for_s, self.t_s())
        self._tell()

    def watch(self, changed: Callable[[], None]) -> None:
        """`changed` is called when the plan of faults is another one."""
        self._watchers.append(changed)

    def _tell(self) -> None:
        for changed in self._watchers:
            changed()
