"""What one reply of 8 channels costs through the judge, beside the bare compiled calls below it.

    python tests/bench/judge_call.py

Prints machine, runs, microseconds per call (best, median) and the ratio to an empty kernel of one argument.
The ward: 64 modules of 8 fire contacts, 8 modules a place with one rule; nothing changes during the runs.
"""

import platform
import statistics
import timeit
from collections.abc import Callable

import numpy as np

from models.judge import Channel, ContactRule, Judge
from models.kernels import i8, i8s, jit
from models.reading import make_batch
from models.step import judge_batch

RUNS, CALLS = 15, 20_000
S = 10**9


@jit(i8(i8s))
def empty(x: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> int:
    """Nothing."""
    return 0


def main() -> None:
    names = [f"m{m}-{i}/smoke_contact" for m in range(64) for i in range(8)]
    channels = [Channel(n, n.split("/")[0], "smoke_contact", "p", S // 2, 30 * S, 0, 0.0, 1.0) for n in names]
    rules = [ContactRule(f"r{p}", tuple(names[64 * p : 64 * p + 64]), (False,) * 64) for p in range(8)]
    judge = Judge(channels, rules, 0)
    batch = make_batch(S, range(8), [0.0] * 8, [0] * 8)
    x = np.zeros(4, np.int64)
    tables = (
        judge._channels, judge._links, judge._thresholds, judge._limits, judge._contact_rules, judge._members,
        judge._sensors, judge._out, judge._work,
    )  # fmt: skip
    rows: dict[str, Callable[[], object]] = {
        "empty kernel": lambda: empty(x),
        "judge_batch, compiled call": lambda: judge_batch(
            S, batch.channel, batch.value, batch.quality, *tables
        ),
        "Judge.judge, whole": lambda: judge.judge(batch),
        "Judge.tick, 512 channels": lambda: judge.tick(S),
    }
    machine = f"{platform.processor() or platform.machine()}, Python {platform.python_version()}"
    print(f"{machine}, {RUNS} runs x {CALLS} calls")
    base = 0.0
    for name, call in rows.items():
        runs = [t / CALLS * 1e6 for t in timeit.repeat(call, repeat=RUNS, number=CALLS)]
        base = base or min(runs)
        best, median = min(runs), statistics.median(runs)
        print(f"{name:30} {best:8.2f} us best {median:8.2f} median {best / base:7.1f} x")


if __name__ == "__main__":
    main()
