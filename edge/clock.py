"""The only reader of clocks: site time, wall time and whether the kernel calls it synchronised.

*Site time* (int64 ns) = CLOCK_BOOTTIME plus a base kept in `incidents.db`. It never runs backwards, not over a kill
(same boot: same base, so the seconds in between count) and not over a reboot (other boot: goes on from the newest
saved value; how long the power was off is not known). All logic uses it. *Wall time* is a label for people with a
quality: the usual bad day is a plausible clock that is hours behind.
"""

import ctypes
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from gateway.journal import KeptTime

_TIME_ERROR: Final = 5  # adjtimex(2): clock not synchronised
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Wall:
    """Nanoseconds since 1970 (UTC) and whether they can be believed."""

    ns: int
    synced: bool


class Clock(Protocol):
    """What the agent knows of time."""

    @property
    def boot(self) -> str:
        """Names this boot of the machine (hex)."""
        ...

    def start(self, saved: KeptTime | None) -> None:
        """Fix the base of site time. Once, before the first `site_ns`."""
        ...

    def save(self) -> KeptTime:
        """What to keep, so that a later start goes on from here."""
        ...

    def site_ns(self) -> int:
        """Site time in ns."""
        ...

    def wall(self) -> Wall:
        """Wall time and its quality."""
        ...

    def up_ns(self) -> int:
        """Nanoseconds since this boot of the machine."""
        ...


class SiteTime:
    """The arithmetic of site time over any steady counter."""

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self._base_ns = 0

    def start(self, saved: KeptTime | None, steady_ns: int) -> None:
        """Same boot: same base. Other boot: go on from the newest saved value. Never behind it in either case."""
        if saved is None:
            return
        if saved.boot == self.boot:
            self._base_ns = saved.base_ns
        self._base_ns = max(self._base_ns, saved.site_ns - steady_ns)

    def at(self, steady_ns: int) -> int:
        """Site time at a reading of the steady counter."""
        return self._base_ns + steady_ns

    def save(self, steady_ns: int) -> KeptTime:
        """Base and newest site time."""
        return KeptTime(self.boot, self._base_ns, self.at(steady_ns))


class _Timex(ctypes.Structure):
    # struct timex of adjtimex(2) is at most 208 bytes on 64-bit Linux; `modes` = 0 reads only.
    _fields_ = (("modes", ctypes.c_uint), ("rest", ctypes.c_ubyte * 252))


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        self._site = SiteTime(_BOOT_ID.read_text().strip().replace("-", ""))
        self._adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex

    @property
    def boot(self) -> str:
        """The kernel's boot id."""
        return self._site.boot

    def start(self, saved: KeptTime | None) -> None:
        """See `Clock`."""
        self._site.start(saved, self._steady_ns())

    def save(self) -> KeptTime:
        """See `Clock`."""
        return self._site.save(self._steady_ns())

    def site_ns(self) -> int:
        """See `Clock`."""
        return self._site.at(self._steady_ns())

    def wall(self) -> Wall:
        """See `Clock`. `synced` is the kernel's word (adjtimex), never a guess about the year."""
        state = self._adjtimex(ctypes.byref(_Timex()))
        return Wall(time.time_ns(), state not in (-1, _TIME_ERROR))

    def up_ns(self) -> int:
        """See `Clock`."""
        return self._steady_ns()

    @staticmethod
    def _steady_ns() -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
