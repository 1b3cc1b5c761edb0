"""kill -9 of the agent under load, again and again, while its broker and its database come and go.

    python -m tests.bench.sink_kills [--kills 100] [--seed 1] [--dir FOLDER_ON_A_REAL_DISK]

Judged by the subscriber and the database alone: no point with two times, no line twice in the database, everything that
one of them has the other has too, and no gap longer than the unsealed ten seconds and a restart.
"""

import argparse
import itertools
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.machine import machine
from tests.rig import Rig, wait
from tests.servers import Server, influxd, mosquitto
from tests.test_agent_sinks import INFLUX, LANE, MQTT, Watcher, readings, settled, v2

TAIL_MS = 10_000
RESTART_MS = 4_000


def main() -> None:
    """Kill, judge, print; exit 1 when something is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", type=Path, default=Path.cwd())
    args = parser.parse_args()
    print(machine(), flush=True)
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="wardwatch-bench-", dir=args.dir) as name:
        folder = Path(name)
        keep = (
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_on_changes true",
            "autosave_interval 1",
        )
        with (
            mosquitto(folder, *keep) as broker,
            influxd(folder) as db,
            v2(db) as url,
            Watcher(broker.port) as seen,
        ):
            site = LANE + MQTT.format(broker.port) + INFLUX.format(url)
            with Rig(folder, site) as rig:
                rig.start_receiver("ok")
                rig.start_virtual()
                rig.start_agent()
                rig.until_up()
                for n in range(args.kills):
                    flap(rng, [broker, db])
                    time.sleep(rng.uniform(11.0, 22.0))  # longer than what is unsealed: else nothing is kept
                    rig.kill_agent()
                    rig.start_agent()
                    if n % 10 == 9:
                        print(f"  {n + 1} kills", flush=True)
                for server in (broker, db):
                    assert server.process is not None
                    if server.process.poll() is not None:
                        server.start()
                rig.until_up(60)
                time.sleep(12)
                wait(lambda: settled(rig), 180)
                rig.stop_agent()
            time.sleep(2)
            told = readings(seen.lines())
            mine = sorted(ms for sensor, ms in told if sensor == "nut-5-12")
            twice = sum(len(payloads) > 1 for payloads in seen.history().values())
            rows = [
                r[0]
                for r in db.rows("SELECT call_point FROM reading WHERE sensor='nut-5-12'")
                if r[1] is not None
            ]
    gaps = [b - a for a, b in itertools.pairwise(rows) if b - a > 1_500]
    too_long = [gap for gap in gaps if gap > TAIL_MS + RESTART_MS]
    missing = len(set(mine) - set(rows))
    print(
        f"kills {args.kills}; points with two times {twice}; lines twice in the database {len(rows) - len(set(rows))}"
    )
    print(
        f"readings {len(rows)} in the database, {len(set(mine))} at the subscriber, of these not there {missing}"
    )
    print(
        f"gaps {len(gaps)}, the longest {max(gaps, default=0) / 1e3:.1f} s; longer than the promise {len(too_long)}"
    )
    sys.exit(bool(twice or too_long or missing or len(gaps) > args.kills))


def flap(rng: random.Random, servers: list[Server]) -> None:
    """Perhaps one of them goes or comes."""
    server = rng.choice(servers)
    assert server.process is not None
    if server.process.poll() is not None:
        server.start()
    elif rng.random() < 0.4:
        server.kill()


if __name__ == "__main__":
    main()
