"""What the machine itself says: free disk, temperature of its processor. Absent figures are None, never zero."""

import os
from pathlib import Path
from typing import Final

_ZONE: Final = Path("/sys/class/thermal/thermal_zone0/temp")


def disk_free_mb(folder: Path) -> int | None:
    """Free space for us on the file system of `folder`, in 10**6 bytes."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize // 1_000_000


def temperature_c(zone: Path = _ZONE) -> float | None:
    """The processor's temperature in degrees Celsius."""
    try:
        return int(zone.read_text()) / 1000
    except (OSError, ValueError):
        return None
