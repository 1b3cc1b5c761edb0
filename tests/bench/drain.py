"""How fresh live values stay while an hour of backlog drains, against the same values when nothing drains.

    python -m tests.bench.drain [--hours 1] [--seconds 20] [--dir FOLDER_ON_A_REAL_DISK]

The real agent on virtual buses, a real broker, a subscriber in this process. Latency: from the reading's own time stamp
(taken when its reply was whole, to the millisecond) to the subscriber's callback.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path

import aiomqtt
from aiomqtt import ProtocolVersion

from gateway.columns import CODEC, encode
from gateway.series import Points, Series
from gateway.spool_file import open_spool
from tests.bench.machine import machine, quantile
from tests.bench.sites import many_call_points
from tests.rig import Rig
from tests.servers import mosquitto

S = 1_000_000_000
SENSORS = 32
PERIOD_S = 0.5
SINK = '\n[[sink]]\nid = "ward-mqtt"\nkind = "mqtt"\nurls = ["mqtt://127.0.0.1:{}"]\n'


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--dir", type=Path, default=Path.cwd())
    args = parser.parse_args()
    print(machine())
    with (
        tempfile.TemporaryDirectory(prefix="wardwatch-bench-", dir=args.dir) as name,
        mosquitto(Path(name), "set_tcp_nodelay true") as broker,  # else it adds 40 ms of its own
        Rig(Path(name), many_call_points(SENSORS, PERIOD_S) + SINK.format(broker.port)) as rig,
    ):
        points_n = fill(rig.state, args.hours)
        rig.start_receiver()
        rig.start_virtual()
        asyncio.run(measure(rig, broker.port, points_n, args.seconds))


def fill(state: Path, hours: float) -> int:
    """A backlog as long as the site makes it in `hours`, in batches of ten seconds."""
    state.mkdir(parents=True)
    spool = open_spool(state / "spool.db", None).spool
    spool.use_sinks({"ward-mqtt": "now"})
    rng, made = random.Random(1), 0
    steps = round(10 / PERIOD_S)
    for batch in range(round(hours * 360)):
        points: Points = {}
        for i in range(SENSORS):
            tags = (("gateway", "gw"), ("place", f"p-{i}"), ("sensor", f"nut-{i}"), ("ward", "bench"))
            rows = [
                (batch * 10 * S + round(n * PERIOD_S * S), (rng.random() // 0.9, 0)) for n in range(steps)
            ]
            points[Series("reading", tags, ("call_point", "quality"))] = [
                (at, (float(v), q)) for at, (v, q) in rows
            ]
        n = SENSORS * steps
        spool.seal(
            encode(points), CODEC, n, boot="before", site_ns=batch * 10 * S, guess_ns=10**18, is_synced=True
        )
        made += n
    spool.close()
    return made


async def measure(rig: Rig, port: int, backlog: int, seconds: float) -> None:
    """Watch until the backlog is gone and `seconds` longer."""
    draining: list[float] = []
    idle: list[float] = []
    arrived = 0
    first_s = last_s = 0.0
    async with aiomqtt.Client("127.0.0.1", port, protocol=ProtocolVersion.V5) as one:
        await one.subscribe("wardwatch/#", qos=1)
        rig.start_agent()
        async with asyncio.timeout(600):
            async for message in one.messages:
                now_s = time.time()
                assert isinstance(message.payload, bytes)
                if str(message.topic).endswith("/history") and arrived < backlog:
                    arrived += message.payload.count(b"\n") + 1
                    first_s, last_s = first_s or now_s, now_s
                elif str(message.topic).endswith("/live"):
                    # The reading's time is cut to the millisecond: half of one is taken off again.
                    late_ms = [1e3 * now_s - row[1] - 0.5 for row in json.loads(message.payload)["r"]]
                    if arrived >= backlog:
                        idle += late_ms
                    elif first_s:
                        draining += late_ms
                if arrived >= backlog and now_s - last_s > seconds:
                    break
    rate, made = arrived / (last_s - first_s), SENSORS / PERIOD_S
    print(
        f"backlog {backlog} points drained in {last_s - first_s:.1f} s: {rate:.0f} points/s, {rate / made:.0f} times "
        f"what is produced ({made:.0f} points/s)"
    )
    for name, late in (("while it drains", draining), ("idle", idle)):
        print(
            f"live, {name}: n {len(late)}, p50 {quantile(late, 0.5):.1f}  p99 {quantile(late, 0.99):.1f}  "
            f"max {max(late):.1f} ms"
        )
    print(f"p99 ratio {quantile(draining, 0.99) / quantile(idle, 0.99):.2f}")


if __name__ == "__main__":
    main()
