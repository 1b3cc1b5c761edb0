"""How soon the agent reads and what it weighs, each beside a bare process that only imports numpy and numba.

    python -m tests.bench.start [--minutes 10] [--dir FOLDER_ON_A_REAL_DISK]

Compiled kernels are warm (the first start is thrown away). "After imports" is the agent's own figure from the moment
that its parts are built to its first believable reading; "from exec" is timed here.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.machine import machine, quantile
from tests.rig import WARDWATCH, Rig, wait

SITE = Path(__file__).parent.parent / "sites" / "lane.toml"
BARE = "import numpy, numba; print('ready', flush=True); input()"
STARTS = 7
S_PER_MIN = 60.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--dir", type=Path, default=Path.cwd())
    args = parser.parse_args()
    print(machine())
    help_s = sorted(timed([*WARDWATCH, "--help"]) for _ in range(STARTS))
    python_s = sorted(timed([sys.executable, "-c", "pass"]) for _ in range(STARTS))
    print(
        f"wardwatch --help: median {help_s[STARTS // 2]:.3f} s, max {help_s[-1]:.3f} s; "
        f"python -c pass: {python_s[STARTS // 2]:.3f} s, ratio {help_s[STARTS // 2] / python_s[STARTS // 2]:.1f}"
    )
    with tempfile.TemporaryDirectory(prefix="wardwatch-bench-", dir=args.dir) as folder:
        measure(Path(folder), args.minutes)


def timed(argv: list[str]) -> float:
    """Wall seconds of a whole process."""
    start = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True)
    return time.perf_counter() - start


def measure(folder: Path, minutes: float) -> None:
    """Start the agent several times, then leave it alone."""
    with (
        subprocess.Popen([sys.executable, "-c", BARE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bare,
        Rig(folder, SITE.read_text(), "") as rig,
    ):
        rig.start_receiver()
        rig.start_virtual()
        after, whole = [], []
        for i in range(STARTS + 1):
            at = time.perf_counter()
            start = first_reading(rig)
            if i:
                whole.append(time.perf_counter() - at)
                after.append(start)
            if i < STARTS:
                rig.stop_agent()
        print(
            f"first reading, {STARTS} starts: after imports median {quantile(after, 0.5):.2f} s, "
            f"max {max(after):.2f} s; from exec median {quantile(whole, 0.5):.2f} s, max {max(whole):.2f} s"
        )
        assert rig.agent is not None
        print(f"memory at once: {memory(rig.agent.pid)}", flush=True)
        time.sleep(minutes * S_PER_MIN)
        print(f"memory after {minutes:g} min: {memory(rig.agent.pid)}")
        print(f"  bare python with numpy and numba: {memory(bare.pid)}")
        bare.kill()


def first_reading(rig: Rig) -> float:
    """Start the agent; its own seconds to the first reading, once that is logged."""
    seen = rig.agent_log().count("first_reading") if (rig.folder / "agent.log").exists() else 0
    rig.start_agent()
    wait(lambda: rig.agent_log().count("first_reading") > seen, 60.0)
    return float(rig.agent_log().rpartition("first_reading after_s=")[2].split()[0])


def memory(pid: int) -> str:
    """RssAnon and RSS in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = {
        name: int(rest.split()[0])
        for name, _, rest in (line.partition(":") for line in lines)
        if "Rss" in name
    }
    total = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return f"RssAnon {kib['RssAnon'] / 1024:.0f} MiB, RSS {total / 1024:.0f} MiB"


if __name__ == "__main__":
    main()
