"""SIGKILL at ten moments around a fire, each step of the path and the milliseconds after the contact's reply."""

import random
from pathlib import Path

import pytest

from tests import kills
from tests.bench.sites import many_call_points
from tests.rig import Rig

pytestmark = [pytest.mark.parts, pytest.mark.timeout(180)]


def test_ten_kills_lose_no_fire_and_double_no_key_but_for_the_kill(tmp_path: Path) -> None:
    plan = kills.moments(10, random.Random(7))
    with Rig(tmp_path, many_call_points(len(plan))) as rig:
        rig.verbose = True
        rig.start_receiver(f"slow:{kills.SLOW_S}")
        rig.start_virtual()
        found = kills.run(rig, plan)
    assert (found.lost, found.renumbered, found.unexplained) == ([], [], [])
    assert found.kills == 10
    assert found.twice <= found.kills
    assert set(kills.STEPS) <= found.last_step.keys()
