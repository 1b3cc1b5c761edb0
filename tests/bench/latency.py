"""From a contact's reply to the push, seen from outside.

    python -m tests.bench.latency [--fires 500] [--cold-tls] [--dir FOLDER_ON_A_REAL_DISK]

Start: the reply's last byte, timed by the virtual device. End: the push's first byte, timed by the receiver. Every
fire is at a place of its own. Beside it: fsync on the same disk, pushes that left before their row was durable.
`--cold-tls`: the receiver speaks TLS and hangs up after each answer, so that every push pays for a new handshake.
"""

import argparse
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.machine import machine, quantile
from tests.bench.sites import many_call_points
from tests.rig import Rig, wait


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fires", type=int, default=500)
    parser.add_argument("--cold-tls", action="store_true")
    parser.add_argument("--dir", type=Path, default=Path.cwd())
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wardwatch-bench-", dir=args.dir) as folder:
        print(machine())
        measure(Path(folder), args.fires, args.cold_tls)


def measure(folder: Path, n: int, cold_tls: bool) -> None:
    """One run."""
    site = many_call_points(
        n, url="https://127.0.0.1:PORT/hook" if cold_tls else "http://127.0.0.1:PORT/hook"
    )
    rng = random.Random(1)
    with Rig(folder, site, "") as rig:
        rig.start_receiver("ok", 0, *(tls_options(rig, folder) if cold_tls else ()))
        rig.start_virtual()
        rig.start_agent()
        rig.until_up(60.0)
        order = list(range(n))
        rng.shuffle(order)
        for count, i in enumerate(order, 1):
            rig.set(f"nut-{i}", "call_point", 1)
            wait(lambda count=count: len(rig.received()) >= count, 30.0)
            time.sleep(rng.uniform(0.02, 0.12))
        undurable = rig.agent_log().count("push_undurable")
        report(rig, n, undurable)
        fsync_ms = fsync_times_ms(folder)
        print(f"fsync beside it: p50 {quantile(fsync_ms, 0.5):.2f}  p99 {quantile(fsync_ms, 0.99):.2f} ms")


def report(rig: Rig, n: int, undurable: int) -> None:
    """Join the two logs by channel and print the latencies."""
    told = {}
    for event in rig.device_log():
        for channel in event.get("changed", ()):
            told.setdefault(channel, event["t_ns"])
    received = rig.received()
    keys = [one["key"] for one in received]
    pushed = {}
    for one in received:
        pushed.setdefault(one["channels"][0], one["t_ns"])
    both = [channel for channel in pushed if channel in told]
    ms = [(pushed[channel] - told[channel]) / 1e6 for channel in both]
    print(f"fires {n}, pushed {len(both)}, lost {n - len(both)}, keys twice {len(keys) - len(set(keys))}")
    print(
        f"contact's last byte -> push's first byte: p50 {quantile(ms, 0.5):.2f}  p90 {quantile(ms, 0.9):.2f}  "
        f"p99 {quantile(ms, 0.99):.2f}  max {max(ms):.2f} ms; left undurable: {undurable}"
    )


def tls_options(rig: Rig, folder: Path) -> list[str]:
    """A certificate of its own, trusted by the credential, and a receiver that hangs up."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    with (folder / "credentials" / "duty-hook").open("a") as file:
        file.write(f'ca = "{cert}"\n')
    return ["--tls", str(cert), str(key), "--hang-up"]


def fsync_times_ms(folder: Path, n: int = 300) -> list[float]:
    """4 kB appended and fsynced, as a journal commit does."""
    times = []
    with (folder / "fsync.bin").open("wb", buffering=0) as file:
        for _ in range(n):
            file.write(os.urandom(4096))
            start = time.perf_counter()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - start) * 1e3)
            time.sleep(0.005)
    return times


if __name__ == "__main__":
    main()
