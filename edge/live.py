"""Live values: what was read since the last message, sent at once, gathered only while more is coming.

Best effort: nothing here is kept for a sink that is away; history comes from the spool. The first reading after a
pause starts a wait of `GATHER_S`, so that the replies of one burst share a message (a message costs a hundred times
more than a value in it). Bounded: `ENTRIES_MAX` readings wait at most, the oldest go and are counted.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from edge.readings import Reading

GATHER_S: Final = 0.0015
NS_PER_MS: Final = 1_000_000
ENTRIES_MAX: Final = 2_000  # about 256 kB


class Live:
    """Gathers for all listeners. `offset_ns()` = wall minus site time; `publish` gets the bytes of a message."""

    def __init__(self, offset_ns: Callable[[], int], publish: Callable[[bytes], None]) -> None:
        self._offset_ns = offset_ns
        self._publish = publish
        self._waiting: deque[Reading] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.dropped_n = 0

    def add(self, reading: Reading) -> None:
        """One more reading; it leaves within `GATHER_S` of the first one that waits."""
        if len(self._waiting) == ENTRIES_MAX:
            self._waiting.popleft()
            self.dropped_n += 1
        self._waiting.append(reading)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self.flush)

    def flush(self) -> None:
        """Send what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._publish(encode(self._waiting, self._offset_ns()))
            self._waiting.clear()


def encode(readings: "deque[Reading]", offset_ns: int) -> bytes:
    """The message of CONTRACTS: `{"v":1,"r":[[sensor, ms, {field: value}, flags], ...]}`, oldest first."""
    rows: list[list[Any]] = [
        [
            one.sensor,
            (one.site_ns + offset_ns) // NS_PER_MS,
            dict(zip(one.fields, one.values, strict=True)),
            one.quality,
        ]
        for one in readings
    ]
    return json.dumps({"v": 1, "r": rows}, separators=(",", ":"), allow_nan=False).encode()
