"""What the agent says of itself: the snapshot has the page's shape, and not judged is never fine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge import admission
from edge.simulation.run import Ward
from gateway.outcome import Outcome, Verdict
from tests.test_contracts import section
from tests.test_ward import press, ward

pytestmark = pytest.mark.ward

CALM = press(0, 0) + press(0, 0, "khoi-5-12", "smoke_contact")


def gone(t_s: float, target: str, fault: str, for_s: float) -> str:
    return f'[[fault]]\nt_s = {t_s}\ntarget = "{target}"\nfault = "{fault}"\nfor_s = {for_s}\n'


def seen(one: Ward, *times_s: float) -> list[dict[str, Any]]:
    """The ward's snapshots at these virtual seconds."""
    found: list[dict[str, Any]] = []

    def look() -> None:
        assert one.service is not None
        found.append(one.service.status.snapshot())

    def script(here: Ward) -> None:
        for at_s in times_s:
            here.loop.call_later(at_s, look)

    one.live(max(times_s) + 1.0, script)
    return found


def shape(value: Any) -> Any:
    """Keys all the way down; of a list of objects the first."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return shape(value[0]) if isinstance(value, list) and value else None


def test_the_snapshot_has_the_keys_of_the_page(tmp_path: Path) -> None:
    page = section("## Control socket")
    told = json.loads(page[page.index("```json") + 7 : page.rindex("```")])
    told["incidents"] = []  # the page shows it elsewhere
    told["sinks"] = []  # this site has none: tests/test_agent_sinks.py
    (now,) = seen(ward(tmp_path, CALM + press(5) + gone(15, "rs485-1", "unplug", 60)), 20)
    assert shape(now | {"incidents": []}) == shape(told)
    assert json.loads(json.dumps(now, allow_nan=False)) == now


def test_what_was_never_believed_is_not_judged_and_no_fire_sensor_at_all_is_blind(tmp_path: Path) -> None:
    dead = "".join(gone(0, name, "silent", 60) for name in ("khoi-5-12", "nut-5-12"))
    first, later = seen(ward(tmp_path, CALM + dead), 3, 75)
    assert first["state"] == "blind"
    assert first["reasons"][0] == "no life-safety sensor can be believed now"
    states = {one["channel"]: (one["state"], one["value"], one["class"]) for one in first["channels"]}
    assert states["nut-5-12/call_point"] == ("not_judged", None, "none")
    assert states["ngo-12-level/depth_m"][0] == "judged"
    assert (later["state"], later["reasons"]) == ("ok", [])


def test_a_lost_bus_makes_what_was_judged_stale_then_blind_and_its_end_is_ok_again(tmp_path: Path) -> None:
    world = CALM + gone(10, "rs485-1", "unplug", 60)
    before, stale, blind, after = seen(ward(tmp_path, world), 9, 15, 65, 100)
    states = [
        {one["state"] for one in now["channels"] if one["sensor"] == "nut-5-12"}
        for now in (before, stale, blind, after)
    ]
    assert states == [{"judged"}, {"stale"}, {"blind"}, {"judged"}]
    assert [now["state"] for now in (before, stale, blind, after)] == ["ok", "blind", "blind", "ok"]
    assert any(one.startswith("trouble/rs485-1/bus_down: ") for one in blind["reasons"])
    assert [now["buses"][0]["up"] for now in (before, stale, blind, after)] == [True, False, False, True]


def test_one_silent_head_is_degraded_and_named(tmp_path: Path) -> None:
    world = CALM + press(0, 0, "khoi-5-12", "smoke_contact") + gone(10, "ngo-12-level", "silent", 700)
    (now,) = seen(ward(tmp_path, world), 690)
    assert now["state"] == "degraded"
    assert now["reasons"] == ["trouble/ngo-12-level/silent: no believable value"]


@pytest.mark.parametrize(
    ("answer", "row", "reasons"),
    [
        (lambda _: Outcome(Verdict.ACCEPTED), {"accepted": 1, "failed": 0, "pending": 0, "reason": ""}, []),
        (
            lambda _: Outcome(Verdict.REJECTED, "HTTP 404"),
            {"accepted": 0, "failed": 1, "pending": 0, "reason": "HTTP 404"},
            ["notifier duty-hook: HTTP 404"],
        ),
        (
            lambda _: Outcome(Verdict.RETRY, "HTTP 503"),
            {"accepted": 0, "failed": 0, "pending": 1, "reason": "HTTP 503"},
            ["notifier duty-hook: HTTP 503"],
        ),
    ],
)
def test_how_telling_goes_is_said(
    tmp_path: Path, answer: Callable[[Any], Outcome], row: dict[str, Any], reasons: list[str]
) -> None:
    one = ward(tmp_path, CALM + press(10))
    one.phones[0].answer = answer
    (now,) = seen(one, 20)
    (told,) = now["notifiers"]
    assert {key: told[key] for key in row} == row
    assert (now["state"], now["reasons"]) == ("degraded" if reasons else "ok", reasons)
    (delivery,) = now["deliveries"]
    assert delivery["key"] == "xd-gw-07-1/1/duty-hook/0"


def test_the_load_of_a_bus_is_at_least_what_the_wire_must_carry(tmp_path: Path) -> None:
    one = ward(tmp_path, CALM)
    least = admission.share(one.config.site.bus[0], one.config.devices)
    early, late = seen(one, 3, 300)
    for now in (early, late):
        assert least * 0.5 < now["buses"][0]["load"] < 1.0  # the silences are not busy time


def test_a_spoilt_journal_is_said_until_somebody_looks(tmp_path: Path) -> None:
    (tmp_path / "incidents.db").write_bytes(b"not a database at all" * 100)
    (now,) = seen(ward(tmp_path, CALM), 30)
    assert now["state"] == "degraded"
    assert any("aside/incidents.db.0" in reason for reason in now["reasons"])
