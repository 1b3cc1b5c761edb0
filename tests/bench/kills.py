"""100 times kill -9 around a fire.

python -m tests.bench.kills [--kills 100] [--dir FOLDER_ON_A_REAL_DISK] [--seed 1]
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests import kills
from tests.bench.machine import machine
from tests.bench.sites import many_call_points
from tests.rig import Rig


def main() -> None:
    """Kill, judge, print; exit 1 when something was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--dir", type=Path, default=Path.cwd())
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(machine())
    with (
        tempfile.TemporaryDirectory(prefix="wardwatch-bench-", dir=args.dir) as folder,
        Rig(Path(folder), many_call_points(args.kills)) as rig,
    ):
        rig.verbose = True
        rig.start_receiver(f"slow:{kills.SLOW_S}")
        rig.start_virtual()
        found = kills.run(rig, kills.moments(args.kills, random.Random(args.seed)), say=True)
    print(f"kills {found.kills}, of them within 30 ms of the contact's reply {found.within_30_ms}")
    print(f"last step reached before the kill: {dict(sorted(found.last_step.items()))}")
    print(f"incidents lost {len(found.lost)}, durable rows renumbered {len(found.renumbered)}")
    print(f"undurable pushes that came again under another number {found.undurable_renumbered}")
    print(f"keys received twice {found.twice} (at most one for each kill), oftener {len(found.unexplained)}")
    missed = set(kills.STEPS) - found.last_step.keys()
    print(f"steps never hit: {sorted(missed) or 'none'}")
    sys.exit(bool(found.lost or found.renumbered or found.unexplained or missed or found.twice > found.kills))


if __name__ == "__main__":
    main()
