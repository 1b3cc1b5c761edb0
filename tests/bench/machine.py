"""What the figures were measured on: printed with every bench."""

import os
import platform
from pathlib import Path


def machine() -> str:
    """One line: processor, cores, kernel, Python."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def quantile(values: list[float], q: float) -> float:
    """The smallest value that at least the share `q` of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(q * len(ordered) * 1000) // 1000) - 1))]
