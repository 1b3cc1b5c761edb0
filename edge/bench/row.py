"""One measured figure, and how a short piece of work is timed."""

import os
import platform
import statistics
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RUNS: Final = 7


@dataclass(frozen=True, slots=True)
class Row:
    """A figure beside its baseline. `ratio` = value / baseline; the unit says which way is better."""

    name: str
    value: float
    unit: str
    baseline: float
    baseline_name: str
    runs: int

    @property
    def ratio(self) -> float:
        """Value over baseline."""
        return self.value / self.baseline if self.baseline else float("nan")


def machine() -> str:
    """Processor, cores, kernel and Python, on one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.machine())
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def each_us(work: Callable[[], object], calls: int) -> float:
    """Microseconds a call: the median of RUNS runs."""
    return statistics.median(timeit.repeat(work, repeat=RUNS, number=calls)) / calls * 1e6
