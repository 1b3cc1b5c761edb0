"""What history costs the card: the real store and forwarder, fed in real time, on a real disk.

    python -m tests.bench.spool [--devices 64] [--fields 8] [--kind ward] [--minutes 30] [--fsyncs] [--dir ON_A_DISK]

Prints bytes written by this process (`write_bytes` of /proc/self/io), scaled to a day, the same without the first 5
minutes (a new file grows; an old one does not), and the size of a value; with --fsyncs the fsyncs a minute (strace).
Batches are freed as soon as they are delivered, each 10 minutes, so that a short run pays for freeing too.
"""

import argparse
import asyncio
import os
import random
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge.clock import SystemClock
from edge.history import SEAL_AFTER_NS
from edge.store import Store
from edge.threads import Worker
from gateway.columns import encode
from gateway.forward import Forwarder, Tag
from gateway.outcome import Outcome, Verdict
from gateway.series import Points, n_points
from models.site import Limits
from tests.bench.history_data import Device
from tests.bench.machine import machine

S = 1_000_000_000
DAY_S = 86_400
WARM_S = 300.0
STRACE = ["strace", "-f", "-e", "trace=fsync,fdatasync,sync_file_range,msync"]


class Taker:
    """A server that takes everything at once."""

    id = "ward"

    async def send(self, lines: Sequence[str], tag: Tag) -> Outcome:
        return Outcome(Verdict.ACCEPTED)

    async def close(self) -> None:
        return None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=64)
    parser.add_argument("--fields", type=int, default=8)
    parser.add_argument("--kind", choices=["ward", "harness"], default="ward")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--fsyncs", action="store_true")
    parser.add_argument("--dir", type=Path, default=Path.cwd())
    args = parser.parse_args()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="wardwatch-bench-", dir=args.dir) as folder:
        log = Path(folder) / "strace"
        tracer = [*STRACE, "-o", str(log), "-p", str(os.getpid())]
        strace = subprocess.Popen(tracer, stderr=subprocess.DEVNULL) if args.fsyncs else None
        asyncio.run(measure(Path(folder), args.devices, args.fields, args.kind, args.minutes * 60))
        if strace is not None:
            strace.terminate()
            strace.wait()
            n = sum("sync(" in line for line in log.read_text().splitlines())
            print(f"  {n / args.minutes:.1f} fsyncs a minute")


async def measure(folder: Path, n: int, fields: int, kind: str, for_s: float) -> None:
    """Feed the store as the agent does: every device once a second, sealed every ten."""
    clock, rng = SystemClock(), random.Random(1)
    devices = [Device(i, kind, rng, fields) for i in range(n)]
    limits = Limits().model_copy(update={"time_hold_s": 1, "keep_h": 0})
    store = Store(
        folder,
        clock=clock,
        blocking=Worker("spool"),
        sinks={"ward": "now"},
        limits=limits,
        unwritable=lambda is_bad, why: print("unwritable", is_bad, why),
        mark=lambda: 0,
    )
    await store.open()
    tasks = [asyncio.create_task(store.run())]
    forwarder = Forwarder(Taker(), store, rng, store.rate)
    tasks.append(asyncio.create_task(forwarder.run()))
    loop = asyncio.get_running_loop()
    start_s, start_bytes = loop.time(), written()
    warm: tuple[float, int] | None = None
    points: Points = {}
    values = blob_bytes = 0
    first_ns = clock.site_ns()
    while loop.time() - start_s < for_s:
        at_ns = clock.site_ns()
        for i, device in enumerate(devices):
            site_ns = (at_ns + i * 4_000_000) // 1_000_000 * 1_000_000
            points.setdefault(device.series, []).append(device.row(site_ns))
        if at_ns - first_ns >= SEAL_AFTER_NS:
            count = n_points(points)
            values += count * fields
            blob_bytes += len(encode(points))
            store.seal(points, count)
            points, first_ns = {}, at_ns
        if warm is None and loop.time() - start_s >= WARM_S:
            warm = loop.time(), written()
        await asyncio.sleep(max(0.0, 1.0 - (clock.site_ns() - at_ns) / S))
    told(f"{n} devices x {fields} values at 1 Hz, {for_s / 60:g} min", start_s, start_bytes)
    if warm is not None:
        told("  without the first 5 min", *warm)
    counts = store.stats.counts["ward"]
    print(
        f"  {blob_bytes / values:.2f} bytes a value sealed; delivered {counts.delivered} of {counts.produced}"
    )
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.close()


def told(what: str, since_s: float, since_bytes: int) -> None:
    """One line."""
    took_s = asyncio.get_running_loop().time() - since_s
    mb_day = (written() - since_bytes) / took_s * DAY_S / 1e6
    print(f"{what}: {mb_day:.0f} MB written a day", flush=True)


def written() -> int:
    """Bytes that this process caused to be written to disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


if __name__ == "__main__":
    main()
