"""The worst case: by hand, refused when it is too late, and never exceeded on a bus where all others are dead."""

import random
import tomllib
from pathlib import Path

import pytest

from drivers import world as worlds
from edge import admission, config
from edge.simulation.run import Ward
from tests.bench.sites import many_call_points


def site(folder: Path, n: int, *changes: tuple[str, str]) -> Path:
    text = many_call_points(n, url="http://127.0.0.1:9/hook")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "site.toml"
    path.write_text(text)
    return path


SLOW = ("baud = 115200", "baud = 9600")


def test_the_bound_is_the_sum_by_hand(tmp_path: Path) -> None:
    gauge = (
        '[[sensor]]\nid = "level"\ndevice = "sen0676"\nbus = "bus-1"\nunit = 99\nplace = "gate"\nperiod_s = 5\n'
        "mount_height_m = 3\n[[place]]\n"
    )
    loaded, _ = config.load(site(tmp_path, 16, SLOW, ('[[place]]\nid = "p-0"', gauge + 'id = "p-0"')))
    assert loaded is not None
    first, second = admission.worst(loaded.site, loaded.devices)
    # two contact modules: 8 bytes out, 6 back, 3.5 characters of silence, 10 bits a character, 100 ms to answer
    module = (8 + 6 + 3.5) * 10 / 9600 + 0.100
    level = (8 + 7 + 3.5) * 10 / 9600 + 0.200  # the gauge may have just been asked
    assert first.read_s == second.read_s == pytest.approx(0.5 + level + module + module)
    assert first.lost_s == pytest.approx(module + 0.5)
    assert first.places[:2] == ("p-0", "p-1")


def test_a_fire_that_may_be_read_too_late_is_refused_with_its_arithmetic(tmp_path: Path) -> None:
    loaded, problems = config.load(
        site(tmp_path, 16, SLOW, ("[limits]\n", "[limits]\nfire_within_s = 0.7\n"))
    )
    assert loaded is None
    wrong = [p for p in problems if not p.is_notice]
    assert [p.path for p in wrong] == ["sensor.nut-0", "sensor.nut-8"]
    assert "period 0.5 s + others 0.1 s + its own question 0.1 s" in wrong[0].what
    assert "limits.fire_within_s = 0.7" in wrong[0].what
    assert "period_s" in wrong[0].instead


@pytest.mark.ward
@pytest.mark.parametrize("seed", range(6))
def test_with_all_others_dead_no_contact_is_read_later_than_the_bound(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    modules, alive = 8, rng.randrange(8)
    dead = [f"nut-{8 * m}" for m in range(modules) if m != alive]
    rows = [f'[[fault]]\nt_s = 0\ntarget = "{s}"\nfault = "silent"\nfor_s = 1000\n' for s in dead]
    pressed = {f"nut-{8 * alive + i}": 20.0 + 20.0 * i + rng.uniform(0, 10) for i in range(8)}
    rows += [
        f'[[value]]\nt_s = {at}\nsensor = "{s}"\nkind = "call_point"\nvalue = {v}\n'
        for s, t in pressed.items()
        for at, v in ((0, 0), (t, 1))
    ]
    loaded, _ = config.load(site(tmp_path, 8 * modules, SLOW))
    assert loaded is not None
    world, problems = worlds.parse(tomllib.loads("".join(rows)))
    assert world is not None, problems
    ward = Ward(loaded, world, tmp_path, seed=seed)
    ward.live(200.0)
    bound_s = max(one.read_s for one in admission.worst(loaded.site, loaded.devices))
    told = {
        m.incident["evidence"][0]["channel"].split("/")[0]: m.t_s
        for m in ward.phones[0].received
        if m.incident["hazard"] == "fire"
    }
    late = {sensor: told[sensor] - t for sensor, t in pressed.items()}
    assert max(late.values()) <= bound_s + 0.01
    assert max(late.values()) >= 0.1  # the dead ones did cost something
