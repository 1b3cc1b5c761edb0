"""Hours of outages and restarts in virtual time: what a server has at the end, against what the wire gave."""

import random
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from drivers import world as worlds
from edge import config as configuration
from edge.simulation.loop import VirtualClock
from edge.simulation.run import WALL_START_NS, Server, Ward
from gateway.outcome import Fault, Outcome, Verdict

pytestmark = [pytest.mark.ward, pytest.mark.timeout(120)]

LANE = (Path(__file__).parent / "sites" / "lane.toml").read_text().replace("PORT", "9")
SINK = '\n[[sink]]\nid = "ward"\nkind = "mqtt"\nurls = ["mqtt://127.0.0.1:1883"]\n[limits]\nspool_mb = {}\n'
DRY = '[[value]]\nt_s = 0\nsensor = "ngo-12-level"\nkind = "depth_m"\nvalue = 0.0\n'
AWAY = Outcome(Verdict.RETRY, "away", fault=Fault.AWAY)
HOUR = 3600.0


def ward(folder: Path, seed: int, spool_mb: int = 64, after_s: float = 0.0) -> Ward:
    """A ward whose machine booted `after_s` after the first one of its state."""
    site = folder / "site.toml"
    site.write_text(LANE + SINK.format(spool_mb))
    loaded, problems = configuration.load(site)
    assert loaded is not None, problems
    world, found = worlds.parse(tomllib.loads(DRY))
    assert world is not None, found
    one = Ward(loaded, world, folder, seed=seed)
    one.clock = VirtualClock(one.loop, WALL_START_NS + round(after_s * 1e9), boot=f"b{after_s:.0f}")
    return one


def readings(server: Server) -> list[tuple[str, int]]:
    """(sensor, ms) of what arrived, in the order of its batches."""
    found = []
    for key in sorted(server.taken, key=lambda k: k[1]):
        for line in server.taken[key][0]:
            if line.startswith("reading,") and not re.search(r" quality=\d+i \d+$", line):
                sensor = re.search(r"sensor=([^, ]+)", line)
                assert sensor is not None
                found.append((sensor[1], int(line.rsplit(" ", 1)[1])))
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_hours_of_outages_and_restarts_lose_nothing_and_double_no_time(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    server, now_s = Server("ward"), 0.0
    outages = [
        (start, start + rng.uniform(30, HOUR)) for start in (rng.uniform(0, 3 * HOUR) for _ in range(5))
    ]

    def answer(_lines: object) -> Outcome:
        if any(start <= now_s + one.loop.time() < end for start, end in outages):
            return AWAY
        return AWAY if rng.random() < 0.02 else Outcome(Verdict.ACCEPTED)

    server.answer = answer
    for for_s in (HOUR, HOUR, HOUR, 900.0):
        one = ward(tmp_path, seed, after_s=now_s)
        one.servers = [server]
        if for_s < HOUR:
            outages.clear()
        one.live(for_s)
        now_s += for_s
    assert one.service is not None
    counts = one.service.store.stats.counts["ward"]
    assert counts.produced == counts.delivered + counts.pending
    assert (counts.rejected, counts.dropped) == (0, 0)
    assert all(len({*copies}) == 1 for copies in server.taken.values())
    told = readings(server)
    assert len(told) == len(set(told))
    for sensor, period_ms in (("nut-5-12", 500), ("khoi-5-12", 500), ("ngo-12-level", 5000)):
        times = [ms for name, ms in told if name == sensor]
        assert times == sorted(times)
        # four lives: a restart costs less than a period and the first questions
        assert all(b - a <= 2 * period_ms + 200 for a, b in pairwise(times))
        assert len(times) >= 3 * HOUR * 1000 / period_ms


def test_a_spool_that_is_full_drops_the_oldest_and_says_so(tmp_path: Path) -> None:
    one = ward(tmp_path, 1, spool_mb=1)
    [server] = one.servers
    server.answer = lambda _lines: AWAY
    one.live(16 * HOUR)
    assert one.service is not None
    counts = one.service.store.stats.counts["ward"]
    assert counts.dropped > 0
    assert counts.produced == counts.dropped + counts.pending
    assert one.service.store.stats.used_bytes < 1_100_000
    raised = {m.incident["evidence"][0]["channel"] for m in one.phones[0].received}
    assert {"trouble/ward/away", "trouble/spool/dropping", "trouble/spool/growing"} <= raised
    one = ward(tmp_path, 1, spool_mb=1, after_s=16 * HOUR)
    [server] = one.servers
    one.live(900)
    assert one.service is not None
    counts = one.service.store.stats.counts["ward"]
    assert counts.produced == counts.delivered + counts.dropped + counts.pending
    told = readings(server)
    assert len(told) == len(set(told)) > 0
    over = {
        m.incident["evidence"][0]["channel"]
        for m in one.phones[0].received
        if m.incident["state"] == "cleared"
    }
    assert {"trouble/ward/away", "trouble/spool/growing"} <= over


def test_a_server_that_refuses_us_is_told_within_minutes_and_holds_everything(tmp_path: Path) -> None:
    one = ward(tmp_path, 1)
    [server] = one.servers
    server.answer = lambda _lines: Outcome(Verdict.RETRY, "HTTP 401: unauthorized", fault=Fault.REFUSING)
    one.live(400)
    [trouble] = [m for m in one.phones[0].received if m.incident["hazard"] == "trouble"]
    assert trouble.incident["evidence"][0]["channel"] == "trouble/ward/refusing"
    assert trouble.headline.startswith("SỰ CỐ THIẾT BỊ")
    assert trouble.t_s < 120
    assert one.service is not None
    assert any("HTTP 401: unauthorized" in reason for reason in one.service.status.health()["reasons"])
    assert one.service.store.stats.counts["ward"].dropped == 0
