"""The running agent from outside: how it stops, its orders, its pages, its socket. With real processes."""

import contextlib
import json
import re
import signal
import socket
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge import control
from edge.clock import SystemClock
from tests.agent_site import (
    houses,
    notifier,
    press,
    told,
    until_accepted,
    until_told,
)
from tests.rig import Rig, wait

pytestmark = pytest.mark.parts

HOSTILE = (b"\x00\xff garbage\n", b'{"do":"ack"', b"x" * 1_000_000, b"[" * 60_000 + b"\n")

CONTRACTS = Path(__file__).parent.parent / "deploy" / "docs" / "contracts.md"


def test_sigterm_ends_it_though_a_receiver_hangs_and_the_push_goes_out_after_the_restart(
    tmp_path: Path,
) -> None:
    with Rig(tmp_path, houses()) as rig:
        port = rig.start_receiver("hang")
        rig.start_virtual()
        rig.start_agent()
        rig.until_up()
        press(rig, 0)
        key = until_told(rig, 0)["key"]
        start = time.monotonic()
        assert rig.stop_agent() == 0
        assert time.monotonic() - start < 4.0
        assert "edge.service stopping" in rig.agent_log()
        assert not control.listen_path(rig.state).exists()
        rig.stop_receiver()
        rig.start_receiver("ok", port)
        rig.start_agent()
        wait(lambda: any(one["accepted"] for one in told(rig, 0)))
        until_accepted(rig)
        assert [one["key"] for one in rig.received()] == [key, key]
        assert "gw-1 was on its way to duty-hook at the restart: sent again, same key" in rig.agent_log()
        assert rig.stop_agent(by=signal.SIGINT) == 0  # Ctrl-C is the same


def test_a_second_agent_on_one_state_folder_says_so_and_leaves_the_first_alone(tmp_path: Path) -> None:
    with Rig(tmp_path, houses()) as rig:
        rig.start_receiver("ok")
        rig.start_virtual()
        rig.start_agent()
        rig.until_up()
        second = rig.wardwatch("run", str(rig.site), "--virtual", str(rig.ptys))
        assert second.returncode == 1
        assert second.stderr.splitlines()[-1] == (
            f"another wardwatch runs on {rig.state}: stop it, or choose another folder with --state DIR."
        )
        press(rig, 0)
        until_told(rig, 0)
        assert rig.agent is not None
        assert rig.view()["pid"] == rig.agent.pid


def test_an_acknowledgement_at_the_box_stops_the_repeats_of_that_fire_alone(tmp_path: Path) -> None:
    with Rig(tmp_path, houses(repeat_s=10)) as rig:
        away = rig.wardwatch("ack", "gw-1")
        assert (away.returncode, away.stdout) == (1, "")
        assert "no agent answers" in away.stderr
        rig.start_receiver("ok")
        rig.start_virtual()
        rig.start_agent()
        rig.until_up()
        assert rig.wardwatch("ack").returncode == 3  # nothing to acknowledge
        press(rig, 0)
        until_told(rig, 0)
        done = rig.wardwatch("ack", "gw-1", "--by", "Nguyễn Văn An")
        assert (done.returncode, done.stdout, done.stderr) == (0, "gw-1: acknowledged.\n", "")
        twice = rig.wardwatch("ack", "gw-1", "--by", "Nguyễn Văn An")
        assert (twice.returncode, twice.stderr) == (0, "")
        unknown = rig.wardwatch("ack", "gw-99")
        assert (unknown.returncode, unknown.stdout) == (1, "")
        assert unknown.stderr == "no incident gw-99 is open\n"
        press(rig, 1)
        press(rig, 2)
        until_told(rig, 1)
        until_told(rig, 2)
        several = rig.wardwatch("ack")
        assert several.returncode == 2
        assert [line.split()[0] for line in several.stderr.splitlines()[1:]] == ["gw-2", "gw-3"]
        assert rig.wardwatch("ack", "gw-3").returncode == 0
        only = rig.wardwatch("ack")
        assert (only.returncode, only.stdout) == (0, "gw-2: acknowledged.\n")
        press(rig, 3)
        until_told(rig, 3)
        wait(lambda: len(told(rig, 3)) == 2, 20.0)  # later than a repeat of the others would have been
        acks = {one["id"]: [ack["by"] for ack in one["acks"]] for one in rig.view()["incidents"]}
    assert [len(told(rig, i)) for i in range(3)] == [1, 1, 1]
    assert [one["reason"] for one in told(rig, 3)] == ["first", "unacked_repeat"]
    assert acks["gw-1"] == ["Nguyễn Văn An"]
    assert acks["gw-4"] == []


def test_the_pages_say_what_the_contract_names_and_blind_is_503(tmp_path: Path) -> None:
    with Rig(tmp_path, houses()) as rig:
        rig.start_receiver("ok")
        rig.start_agent()  # and no adapter
        status, text = wait(lambda: (got := rig.get("/health"))[0] and got)
        assert (status, json.loads(text)["state"]) == (503, "blind")
        rig.start_virtual()
        status, text = wait(lambda: (got := rig.get("/health"))[0] == 200 and got)
        assert json.loads(text)["state"] in ("degraded", "ok")
        wait(lambda: json.loads(rig.get("/health")[1]) == {"state": "ok", "reasons": []}, 20.0)
        press(rig, 0)
        until_told(rig, 0)
        until_accepted(rig)
        status, text = rig.get("/metrics")
        families = {one.name: one for one in text_string_to_metric_families(text)}
        view = rig.view()
    assert status == 200
    page = CONTRACTS.read_text("utf-8")
    section = page[page.index("\n## Health and metrics") : page.index("\n## Virtual devices")]
    rows = re.findall(r"^\| `(wardwatch_\w+)` \| ([^|]*) \|", section, re.MULTILINE)
    named = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    samples = [one for family in families.values() for one in family.samples]
    shown = {one.name for one in samples}
    assert shown <= set(named)
    assert all("sink" in named[name] for name in set(named) - shown)  # this site has none
    assert all(set(one.labels) == named[one.name] for one in samples)
    kinds = {name: family.type for name, family in families.items()}
    assert all((f"{name}_total" in named) == (kind == "counter") for name, kind in kinds.items())
    values = {(one.name, *one.labels.values()): one.value for one in samples}
    assert values["wardwatch_alarms_raised", "fire"] == values["wardwatch_incidents_open",] == 1.0
    assert values["wardwatch_pushes_total", "duty-hook", "accepted"] >= 1.0
    assert values["wardwatch_bus_up", "bus-1"] == 1.0
    is_synced = SystemClock().wall().synced
    assert values["wardwatch_clock_synced",] == float(is_synced)
    assert view["clock"] == ("synced" if is_synced else "guessed")
    assert "nut-" not in text
    assert "p-0" not in text


def test_a_hostile_socket_does_not_disturb_a_fire(tmp_path: Path) -> None:
    with Rig(tmp_path, houses()) as rig:
        rig.start_receiver("ok")
        rig.start_virtual()
        rig.start_agent()
        rig.until_up()
        path = str(control.listen_path(rig.state))
        held = [socket.socket(socket.AF_UNIX) for _ in range(50)]
        for i, one in enumerate(held):
            one.settimeout(5.0)
            one.connect(path)
            with contextlib.suppress(OSError):  # it may hang up
                one.sendall(HOSTILE[i % len(HOSTILE)])
        polled = len(rig.device_log())
        press(rig, 0)
        until_told(rig, 0)
        wait(lambda: len(rig.device_log()) > polled + 20)
        for one in held:
            one.close()
        wait(lambda: notifier(rig, "duty-hook")["accepted"] == 1)
        hostile = [
            {"do": "ack", "incident": "gw-1", "revision": 99},
            {"do": "ack", "incident": {"id": "gw-1"}},
            {"do": "ack", "incident": "gw-1", "by": "x" * 65},
            {"do": "ack", "incident": "gw-1", "by": "\x1b[2J"},
            {"do": "explode", "incident": "gw-1"},
            {"do": None},
            {},
        ]
        for request in hostile:
            answer = rig.command(**request)
            assert not answer["ok"], request
            assert answer["why"], request
        view, log = rig.view(), rig.agent_log()
        assert rig.stop_agent() == 0
    assert [(one["id"], one["acks"]) for one in view["incidents"]] == [("gw-1", [])]
    assert len(rig.received()) == 1
    assert "Traceback" not in log
