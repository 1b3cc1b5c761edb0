"""Bad days of the clock, with real processes: the machine comes up hours behind the last shutdown."""

import contextlib
import ctypes
import sqlite3
from datetime import datetime
from pathlib import Path

import pytest

from tests.agent_site import houses, press, told, until_accepted, until_told
from tests.rig import Rig

pytestmark = pytest.mark.parts

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@pytest.mark.skipif(FAKETIME is None, reason="needs libfaketime (Debian package faketime)")
def test_a_clock_hours_behind_the_last_shutdown_changes_no_number_and_no_site_time(tmp_path: Path) -> None:
    behind = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME": "-5h",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",  # else the compiled kernels look outdated
    }
    with Rig(tmp_path, houses()) as rig:
        rig.start_receiver("ok")
        rig.start_virtual()
        rig.start_agent()
        rig.until_up()
        press(rig, 0)
        until_told(rig, 0)
        until_accepted(rig)
        before = rig.view()
        assert rig.stop_agent() == 0
        saved_ns = site_ns(rig)
        rig.start_agent(env=behind)
        rig.until_up()
        press(rig, 1)
        second = until_told(rig, 1)
        until_accepted(rig)
        view = rig.view()
        assert rig.stop_agent() == 0
    wall_h = [datetime.fromisoformat(one["wall"]).timestamp() / 3600 for one in (before, view)]
    assert wall_h[1] - wall_h[0] == pytest.approx(-5.0, abs=0.05)  # the clock is believed to be what it is,
    assert view["clock"] == before["clock"] == ("synced" if kernel_says_synced() else "guessed")
    assert ("~" in second["headline"]) == (view["clock"] == "guessed")  # and its word for it is told
    first, later = ({one["id"]: one for one in seen["incidents"]}["gw-1"] for seen in (before, view))
    assert first["revision"] == later["revision"]
    assert second["incident"] == "gw-17"
    assert len(told(rig, 0)) == 1
    assert saved_ns < site_ns(rig) < saved_ns + 60e9
    fires = [one for one in view["alarms"] if one["id"] in ("fire-0", "fire-1")]
    assert all(0.0 <= one["since_s"] < 60.0 for one in fires)


def site_ns(rig: Rig) -> int:
    """The site time that the journal saved."""
    with contextlib.closing(sqlite3.connect(rig.state / "incidents.db")) as db:
        return int(db.execute("SELECT value FROM meta WHERE name='site_ns'").fetchone()[0])


def kernel_says_synced() -> bool:
    """adjtimex(2), asked by the test itself; 5 = not synchronised."""
    return ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(256)) != 5
