"""`wardwatch probe`: beside a running agent, alone on the bus, and what it says when nothing comes."""

import subprocess
from pathlib import Path

import pytest

from edge import probe
from edge.poller import Poller
from tests.agent_site import lane
from tests.rig import WARDWATCH, Rig


def look(rig: Rig, sensor: str, *more: str) -> subprocess.CompletedProcess[str]:
    argv = [*WARDWATCH, "probe", str(rig.site), sensor, "--state", str(rig.state), "--once", *more]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


@pytest.mark.parts
def test_beside_the_agent_and_alone_it_shows_the_same_bytes_registers_and_values(tmp_path: Path) -> None:
    with Rig(tmp_path, lane()) as rig:
        rig.start_receiver("ok")
        rig.start_virtual()
        rig.set("ngo-12-level", "depth_m", 0.20)
        alone = look(rig, "ngo-12-level", "--virtual", str(rig.ptys))
        rig.start_agent()
        rig.until_up()
        beside = look(rig, "ngo-12-level")
        for seen in (alone, beside):
            assert seen.returncode == 0, seen.stdout + seen.stderr
            assert "asked  0c 03 00 01 00 01" in seen.stdout  # unit 12, holding 1, one register
            assert "heard  0c 03 02 0b b8" in seen.stdout  # 3000 mm under a mount of 3.20 m
            assert "holding 1 (0x0001)         0x0BB8  u16 3000   i16 3000" in seen.stdout
            assert "= ngo-12-level/distance_m  3 m  good" in seen.stdout
        assert rig.agent is not None
        assert rig.agent.poll() is None


@pytest.mark.parts
def test_a_silent_sensor_has_no_number_and_a_list_of_what_to_look_at(tmp_path: Path) -> None:
    with Rig(tmp_path, lane()) as rig:
        rig.start_receiver("ok")
        rig.start_virtual()
        rig.fail("ngo-12-level", "silent", 600)
        seen = look(rig, "ngo-12-level", "--virtual", str(rig.ptys))
        assert seen.returncode == 1
        lines = seen.stdout.splitlines()
        assert "heard  (nothing)" in lines
        assert any(line.startswith("NO VALUE: no reply") for line in lines)
        assert "  1. the supply of the sensor: is its light on?" in lines
        assert "leaves the factory with 115200 8N1, the bus has 9600 8N1" in seen.stdout
        assert "= " not in seen.stdout
        rig.fail("rs485-1", "unplug", 600)
        gone = look(rig, "ngo-12-level", "--virtual", str(rig.ptys))
        assert gone.returncode == 1
        assert "BUS DOWN" in gone.stdout


def test_a_wrong_name_gets_the_right_one(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(lane().replace("WEB", "1").replace("PORT", "1"))
    argv = [*WARDWATCH, "probe", str(site), "ngo-12-levle", "--state", str(tmp_path)]
    seen = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert seen.returncode == 2
    assert "Did you mean ngo-12-level?" in seen.stderr


def test_all_orders_of_a_32_bit_value_are_shown() -> None:
    """123456.0 in the four spellings (domain.md 4.2)."""
    pair = probe._pair(2, (0x47F1, 0x2000))
    assert pair["ABCD"] == {"u32": 0x47F12000, "i32": 0x47F12000, "f32": 123456.0}
    for words, order in (((0x2000, 0x47F1), "CDAB"), ((0xF147, 0x0020), "BADC"), ((0x0020, 0xF147), "DCBA")):
        assert probe._pair(2, words)[order]["f32"] == 123456.0


def test_the_agent_without_that_sensor_says_so() -> None:
    nobody: list[Poller] = []
    assert probe.answer(nobody, "x", 0.0) == {"ok": False, "why": "no bus has a sensor 'x'"}
