"""Bad days of the disk, with real processes: full, and a journal that is spoilt before and while we run."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent_site import houses, press, told, until_accepted, until_logged, until_told
from tests.kills import incidents_in
from tests.rig import Rig, wait

pytestmark = pytest.mark.parts


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A state folder with 512 kB."""
    disk = tmp_path / "state"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """No byte is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(b"x" * 512)
    return filler


def test_a_full_disk_holds_up_no_fire_and_is_told_until_space_is_back(
    tmp_path: Path, small_disk: Path
) -> None:
    with Rig(tmp_path, houses(32)) as rig:
        rig.start_receiver("ok")
        rig.start_virtual()
        rig.start_agent()
        rig.until_up()
        filler = fill(small_disk)
        n = 0
        while "journal_unwritable" not in rig.agent_log():  # the journal's own file has room for a few
            press(rig, n)
            until_told(rig, n)
            n += 1
            assert n < 31
        durable = incidents_in(rig.state)
        press(rig, 31)
        fire = until_told(rig, 31)
        until_logged(rig, f"push_undurable key={fire['key']}")
        assert "p-31" not in incidents_in(rig.state).values()
        until_accepted(rig)
        (trouble,) = [one for one in rig.received() if one["channels"] == ["trouble/journal/unwritable"]]
        assert trouble["reason"] == "first"
        health = json.loads(rig.get("/health")[1])
        assert health["state"] == "degraded"
        assert any(one.startswith("trouble/journal/unwritable: ") for one in health["reasons"])
        filler.unlink()
        until_logged(rig, "journal_writable")
        wait(lambda: [one for one in rig.received() if one["reason"] == "cleared"])
        until_accepted(rig)
        wait(lambda: "p-31" in incidents_in(rig.state).values())
        assert rig.stop_agent() == 0
        kept, log = incidents_in(rig.state), rig.agent_log()
        rig.start_agent()
        rig.until_up()
        until_accepted(rig)
        again = {one["id"]: one["place"]["id"] for one in rig.view()["incidents"]}
    assert log.count("journal_unwritable") == log.count("journal_writable") == 1
    assert log.count("the journal cannot be written'") == 1
    assert log.count("the journal can be written again'") == 1
    by_fire = {one["incident"]: one["channels"][0] for one in rig.received() if one["reason"] == "first"}
    assert len(by_fire) == n + 2  # each once, each under a number of its own
    assert kept == again
    assert durable.items() <= kept.items()
    assert kept[fire["incident"]] == "p-31"
    keys = [one["key"] for one in rig.received()]
    assert len(keys) == len(set(keys))


def garbage(db: Path) -> None:
    db.write_bytes(os.urandom(8192))


def truncated(db: Path) -> None:
    db.write_bytes(db.read_bytes()[: db.stat().st_size // 2])


def foreign(db: Path) -> None:
    db.write_bytes(b"#!/bin/sh\necho zero bytes of a database\n")


@pytest.mark.parametrize("spoil", [garbage, truncated, foreign], ids=lambda one: one.__name__)
def test_a_spoilt_journal_is_kept_aside_said_and_numbers_get_a_series(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    with Rig(tmp_path, houses()) as rig:
        rig.start_receiver("ok")
        rig.start_virtual()
        rig.start_agent()
        rig.until_up()
        press(rig, 0)
        until_told(rig, 0)
        until_accepted(rig)
        assert rig.stop_agent() == 0
        spoil(rig.state / "incidents.db")
        garbage(rig.state / "spool.db")  # and with it the second copy of the number mark
        ruin = (rig.state / "incidents.db").read_bytes()
        rig.start_agent()
        wait(lambda: len(told(rig, 0)) == 2)  # it still burns, and nobody knows what was told
        press(rig, 1)
        second = until_told(rig, 1)
        boot = rig.view()["boot"]
        until_accepted(rig)
        assert (rig.state / "aside" / "incidents.db.0").read_bytes() == ruin
        assert rig.agent_log().count("journal_damaged ") == 1
        assert second["incident"] == f"gw-x{boot}-2"
        health = json.loads(rig.get("/health")[1])
        assert rig.stop_agent() == 0
        rig.start_agent()  # and that file is well
        rig.until_up()
        until_accepted(rig)
        press(rig, 2)
        third = until_told(rig, 2)
        assert third["incident"] == f"gw-x{boot}-17"
        assert rig.agent_log().count("journal_damaged ") == 1
    assert [one["incident"] for one in told(rig, 0)] == ["gw-1", f"gw-x{boot}-1"]
    assert any("aside" in reason for reason in health["reasons"]), health


def test_when_only_the_journal_is_lost_numbers_go_on_behind_the_spools_copy(tmp_path: Path) -> None:
    with Rig(tmp_path, houses()) as rig:
        rig.start_receiver("ok")
        rig.start_virtual()
        rig.start_agent()
        rig.until_up()
        press(rig, 0)
        assert until_told(rig, 0)["incident"] == "gw-1"
        assert rig.stop_agent() == 0
        (rig.state / "incidents.db").unlink()
        rig.start_agent()
        rig.until_up()
        press(rig, 1)
        assert (
            until_told(rig, 1)["incident"] == "gw-1018"
        )  # 16 were reserved, 1,000 to be safe; gw-1017 still burns


def test_a_journal_that_is_spoilt_while_we_run_loses_no_open_incident(tmp_path: Path) -> None:
    with Rig(tmp_path, houses()) as rig:
        rig.start_receiver("ok")
        rig.start_virtual()
        rig.start_agent()
        rig.until_up()
        press(rig, 0)
        until_told(rig, 0)
        until_accepted(rig)
        for name in ("incidents.db", "incidents.db-wal", "incidents.db-shm"):
            with (rig.state / name).open("r+b") as file:
                file.write(os.urandom((rig.state / name).stat().st_size))
        press(rig, 1)
        until_told(rig, 1)
        until_logged(rig, "journal_unwritable reason=")
        press(rig, 2)  # nobody waits for the fresh file
        until_told(rig, 2)
        until_logged(rig, "journal_writable")
        wait(lambda: [one for one in rig.received() if one["reason"] == "cleared"])
        press(rig, 3)
        until_told(rig, 3)
        until_accepted(rig)
        wait(lambda: len(incidents_in(rig.state)) == 5)
        assert (rig.state / "aside" / "incidents.db.0").exists()
        said = {one["channels"][0].split("/")[0]: one["incident"] for one in rig.received()}
        rig.kill_agent()
        rig.start_agent()
        rig.until_up()
        until_accepted(rig)
        view, log = rig.view(), rig.agent_log()
    fires = {one["evidence"][0]["channel"]: one["id"] for one in view["incidents"] if one["hazard"] == "fire"}
    assert fires == {f"nut-{i}/call_point": said[f"nut-{i}"] for i in range(4)}
    assert [len(told(rig, i)) for i in range(4)] == [1, 1, 1, 1]
    assert log.count("journal_damaged ") == 1
    assert log.count("journal_unwritable") == log.count("journal_writable") == 1


def test_a_restart_on_a_full_disk_forgets_no_open_fire_and_makes_no_second_one(
    tmp_path: Path, small_disk: Path
) -> None:
    with Rig(tmp_path, houses()) as rig:
        rig.start_receiver("ok")
        rig.start_virtual()
        rig.start_agent()
        rig.until_up()
        press(rig, 0)
        until_told(rig, 0)
        until_accepted(rig)
        assert rig.stop_agent() == 0
        filler = fill(small_disk)
        rig.start_agent()
        rig.until_up()
        press(rig, 1)
        until_told(rig, 1)
        until_logged(rig, "journal_unwritable reason=")
        filler.unlink()
        until_logged(rig, "journal_writable")
        until_accepted(rig)
        rig.kill_agent()
        rig.start_agent()
        rig.until_up()
        until_accepted(rig)
        fires = [one["place"]["id"] for one in rig.view()["incidents"] if one["hazard"] == "fire"]
    assert [len(told(rig, i)) for i in (0, 1)] == [1, 1]
    assert sorted(fires) == ["p-0", "p-1"]


def test_a_card_whose_fsync_fails_holds_up_no_fire_and_is_told(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace (Debian package; deploy/test installs it)")
    failing = ("-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=12+")
    with Rig(tmp_path, houses()) as rig:
        rig.start_receiver("ok")
        rig.start_virtual()
        rig.start_agent(strace, "-D", "-f", "-qq", "-o", "/dev/null", *failing)
        rig.until_up(60)
        for i in range(4):  # the first ones are still durable
            press(rig, i)
            until_told(rig, i)
        until_logged(rig, "journal_unwritable reason=disk I/O error", within_s=30)
        wait(lambda: [one for one in rig.received() if one["channels"] == ["trouble/journal/unwritable"]])
        health = json.loads(rig.get("/health")[1])
        assert any(one.startswith("trouble/journal/unwritable: ") for one in health["reasons"])
    assert {one["channels"][0] for one in rig.received()} >= {f"nut-{i}/call_point" for i in range(4)}
