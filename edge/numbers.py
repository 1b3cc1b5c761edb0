"""Incident numbers: reserved in durable blocks before use, so that no number is ever used twice.

A number can be said on the phone: `xd-gw-07-123`. It needs no clock. When the disk refuses a new block, or the file
that held the high-water mark was lost, numbers go on in a series of this start (`xd-gw-07-xb41c0e2a-1`: boot, second
of site time): nobody waits for a disk before a fire is told, and an old number is never given to a new fire.
"""

from typing import Final

BLOCK_N: Final = 16
REFILL_AT_N: Final = 8


class Numbers:
    """Gives ids. `add(first, n)` brings a durable block; without one this start's own series is used."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._free: list[int] = []
        self._own_n = 0
        self.own_series = ""
        self.mark = 0  # the highest number that is reserved
        self.series = ""  # goes before reserved numbers when older ones were lost with their file

    def add(self, first: int, n: int) -> None:
        """Take over a block that is durably reserved for us."""
        self._free.extend(range(first, first + n))
        self.mark = max(self.mark, first + n - 1)

    def use_series(self, series: str) -> None:
        """What goes before reserved numbers; blocks of an older file do not belong to a new series."""
        if series != self.series:
            self._free.clear()
        self.series = series

    def start(self, boot: str, site_ns: int) -> None:
        """Name the series of this start."""
        self.own_series = f"x{boot[:4]}{site_ns // 1_000_000_000 & 0xFFFF:04x}-"

    @property
    def is_low(self) -> bool:
        """Whether the next block should be reserved now."""
        return len(self._free) < REFILL_AT_N

    def next(self) -> str:
        """The next id."""
        if self._free:
            return f"{self._gateway}-{self.series}{self._free.pop(0)}"
        self._own_n += 1
        return f"{self._gateway}-{self.own_series}{self._own_n}"
