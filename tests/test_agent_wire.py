"""Bad days on the wire, with real processes: a contact closed before we look, a vanished adapter, garbled bytes."""

from pathlib import Path

import pytest

from tests.agent_site import exchanges, houses, press, told, until_accepted, until_logged, until_told
from tests.rig import Rig, wait

pytestmark = pytest.mark.parts


def mask(rig: Rig, alarm: str) -> str:
    return next(str(one["mask"]) for one in rig.view()["alarms"] if one["id"] == alarm)


def test_a_call_point_that_is_closed_at_start_is_told_at_once_and_once(tmp_path: Path) -> None:
    with Rig(tmp_path, houses()) as rig:
        rig.start_receiver("ok")
        rig.start_virtual()
        press(rig, 0)
        rig.start_agent()
        until_told(rig, 0)
        until_accepted(rig)
        polled = exchanges(rig)
        rig.kill_agent()
        press(rig, 1)  # while nobody looks
        rig.start_agent()
        until_told(rig, 1)
        until_accepted(rig)
        wait(lambda: exchanges(rig) > polled + 10)
        assert [(one["id"], one["place"]["id"]) for one in rig.view()["incidents"]] == [
            ("gw-1", "p-0"),
            ("gw-17", "p-1"),  # the block of the killed agent is gone
        ]
        assert [one["key"] for one in rig.received()] == ["gw-1/1/duty-hook/0", "gw-17/1/duty-hook/0"]


def test_a_vanished_adapter_is_one_trouble_and_a_fire_meanwhile_is_told_when_it_is_back(
    tmp_path: Path,
) -> None:
    with Rig(tmp_path, houses()) as rig:
        rig.start_receiver("ok")
        rig.start_virtual()
        rig.start_agent()
        rig.until_up()
        press(rig, 0)
        before = until_told(rig, 0)
        rig.fail("bus-1", "unplug", 5.0)
        until_logged(rig, "bus_down bus=bus-1 reason=")
        press(rig, 1)
        assert mask(rig, "trouble/nut-2/silent") == "suppressed"
        assert not rig.view()["buses"][0]["up"]
        # A re-plugged adapter would be no fault yet: this one is told after three seconds.
        trouble = wait(
            lambda: [one for one in rig.received() if one["channels"] == ["trouble/bus-1/bus_down"]]
        )
        assert told(rig, 1) == []
        until_logged(rig, "bus_up bus=bus-1 reason=-", n=2)  # the first was the start
        until_told(rig, 1)
        assert rig.view()["buses"][0]["up"]
        wait(lambda: len(rig.received()) == 4, 20.0)
        until_accepted(rig)
        log, (fire, *_), view = rig.agent_log(), told(rig, 0), rig.view()
    assert (before["key"], len(told(rig, 0)), len(told(rig, 1))) == (fire["key"], 1, 1)
    assert [(one["incident"], one["reason"]) for one in rig.received()] == [
        ("gw-1", "first"),
        ("gw-2", "first"),
        ("gw-3", "first"),
        ("gw-2", "cleared"),
    ]
    assert trouble[0]["incident"] == "gw-2"
    assert {one["place"]["id"]: one["id"] for one in view["incidents"] if one["hazard"] == "fire"} == {
        "p-0": "gw-1",
        "p-1": "gw-3",
    }
    assert [log.count(f"bus_{word} bus=bus-1") for word in ("down", "up")] == [1, 2]
    assert log.count("bus bus-1 is down'") == log.count("bus bus-1 is back'") == 1
    assert "no believable value" not in log


def test_garbled_frames_raise_no_fire_and_hide_none(tmp_path: Path) -> None:
    with Rig(tmp_path, houses(16)) as rig:  # two modules
        rig.start_receiver("ok")
        rig.start_virtual()
        rig.start_agent()
        rig.until_up()
        for fault in ("garbage", "flip", "split", "merge", "echo"):
            rig.fail("nut-0", fault, 3.6)  # six questions, each with the silence after a bad answer
        until_logged(rig, "device_silent bus=bus-1 unit=1")
        press(rig, 8)
        until_told(rig, 8)  # the module beside it is read as ever
        press(rig, 0)
        until_logged(rig, "device_answers bus=bus-1 unit=1")
        until_told(rig, 0)
        until_accepted(rig)
        bus, log = rig.view()["buses"][0], rig.agent_log()
    assert sorted(one["channels"][0] for one in rig.received()) == ["nut-0/call_point", "nut-8/call_point"]
    assert bus["errors"] >= 5  # it did answer: no time-outs
    assert log.count("device_silent") == log.count("device_answers") == 1
    assert "bus_down" not in log
    assert [e["what"] for e in rig.device_log() if e["what"] in ("early", "collision")] == []
