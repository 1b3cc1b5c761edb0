"""Orders and changed configurations through the whole service in virtual time, judged by what the phone got."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from drivers import world as worlds
from edge import config as configuration
from edge.simulation.run import Ward
from tests.test_ward import press, ward

pytestmark = pytest.mark.ward

FIRE = "xd-gw-07-1"
CALM = press(0, 0) + press(0, 0, "khoi-5-12", "smoke_contact")


def act(one: Ward, **request: Any) -> dict[str, Any]:
    assert one.service is not None
    return one.service.dispatch.act(request, "local-user", "control")


def ordered(one: Ward, for_s: float, *orders: tuple[float, dict[str, Any]]) -> list[dict[str, Any]]:
    """Live, give each order at its second; the answers."""
    answers: list[dict[str, Any]] = []

    def script(here: Ward) -> None:
        for at_s, request in orders:
            here.loop.call_later(at_s, lambda request=request: answers.append(act(here, **request)))

    one.live(for_s, script)
    return answers


def reasons(one: Ward) -> list[str]:
    return [m.incident["reason"] for m in one.phones[0].received]


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"do": "ack", "incident": "xd-gw-07-9"}, "no incident xd-gw-07-9 is open"),
        (
            {"do": "ack", "incident": FIRE, "revision": 2},
            f"incident {FIRE} has no revision 2, the newest is 1",
        ),
        ({"do": "ack", "incident": FIRE, "revision": True}, "revision is a whole number"),
        ({"do": "ack", "incident": FIRE, "id": "x" * 65}, "id has at most 64 printable characters"),
        ({"do": "ack"}, "say who (by) and which (incident), in at most 64 printable characters"),
        (
            {"do": "ack", "incident": FIRE, "by": ""},
            "say who (by) and which (incident), in at most 64 printable characters",
        ),
        ({"do": "shelve", "incident": FIRE}, "cannot shelve: ack, under_control, reset or close"),
        ({"incident": FIRE}, "cannot None: ack, under_control, reset or close"),
        (
            {"do": "reset", "incident": FIRE},
            "say the cause in 1 to 80 printable characters, such as: cooking",
        ),
    ],
)
def test_an_order_that_cannot_be_done_says_why_and_changes_nothing(
    tmp_path: Path, request_: dict[str, Any], why: str
) -> None:
    one = ward(tmp_path, CALM + press(10))
    (answer,) = ordered(one, 30, (20, request_))
    assert (answer["ok"], answer["why"]) == (False, why)
    assert reasons(one) == ["first"]
    assert one.service is not None
    assert one.service.core.incidents[FIRE].revision == 1


def test_reset_is_refused_while_it_burns_and_closes_by_itself_when_it_is_over(tmp_path: Path) -> None:
    one = ward(tmp_path, CALM + press(10) + press(60, 0))
    order = {"do": "reset", "incident": FIRE, "by": "an", "cause": "cooking"}
    burning, over = ordered(one, 4000, (30, order), (90, order))
    assert not burning["ok"]
    assert "fire" in burning["why"]
    assert over == {"v": 1, "id": None, "ok": True, "why": ""}
    assert reasons(one) == ["first", "cleared", "closed"]
    assert one.phones[0].received[-1].incident["cause"] == "cooking"
    assert one.phones[0].received[-1].incident["acks"][0]["by"] == "an"


def test_after_closing_the_next_fire_has_a_new_number(tmp_path: Path) -> None:
    one = ward(tmp_path, CALM + press(10) + press(60, 0) + press(120))
    order = {"do": "close", "incident": FIRE, "by": "an", "cause": "drill"}
    (done,) = ordered(one, 150, (90, order))
    assert done["ok"]
    told = [(m.incident["id"], m.incident["reason"]) for m in one.phones[0].received]
    assert told[-1] == ("xd-gw-07-2", "first")
    assert told[-2] == (FIRE, "closed")


def test_under_control_stops_the_repeats_and_a_second_sign_asks_again(tmp_path: Path) -> None:
    one = ward(tmp_path, CALM + press(10, 1, "khoi-5-12", "smoke_contact") + press(500))
    (done,) = ordered(one, 520, (60, {"do": "under_control", "incident": FIRE, "by": "an"}))
    assert done["ok"]
    assert reasons(one) == ["first", "under_control", "escalated"]


def test_an_ack_of_what_was_seen_before_it_got_worse_does_not_stop_the_repeats(tmp_path: Path) -> None:
    one = ward(tmp_path, CALM + press(10, 1, "khoi-5-12", "smoke_contact") + press(20))
    (done,) = ordered(one, 250, (30, {"do": "ack", "incident": FIRE, "by": "an", "revision": 1}))
    assert done["ok"]
    assert reasons(one) == ["first", "escalated", "unacked_repeat"]


def test_a_command_id_acts_once_over_restarts_too(tmp_path: Path) -> None:
    world = CALM + press(10)
    order = {"do": "ack", "incident": FIRE, "by": "an", "id": "01JX"}
    once = {"ok": False, "why": "command 01JX was carried out before: an id acts once", "id": "01JX", "v": 1}
    assert [one["ok"] for one in ordered(ward(tmp_path, world), 40, (20, order), (30, order))] == [
        True,
        False,
    ]
    assert ordered(ward(tmp_path, press(0)), 40, (20, order)) == [once]


def test_a_refused_command_may_come_again_under_its_id(tmp_path: Path) -> None:
    order = {"do": "ack", "incident": FIRE, "by": "an", "id": "01JX"}
    early, late = ordered(ward(tmp_path, CALM + press(10)), 30, (5, order), (20, order))
    assert (early["ok"], late["ok"]) == (False, True)


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        (
            'id = "ngo-5-fire"\nhazard = "fire"\nplace = "ngo-5"',
            'id = "other"\nhazard = "fire"\nplace = "ngo-5"',
            "alarm_gone",
        ),
        ('hazard = "fire"\nplace = "ngo-5"', 'hazard = "fire"\nplace = "ngo-5-12"', "place_moved"),
    ],
)
def test_an_incident_that_the_configuration_left_behind_is_closed_and_what_burns_is_told_anew(
    tmp_path: Path, old: str, new: str, cause: str
) -> None:
    ward(tmp_path, CALM + press(10)).live(30)
    site = tmp_path / "site.toml"
    assert old in site.read_text()
    site.write_text(site.read_text().replace(old, new))
    changed, problems = configuration.load(site)
    assert changed is not None, problems
    world, _ = worlds.parse(tomllib.loads(press(0)))
    assert world is not None
    again = Ward(changed, world, tmp_path)
    again.live(30)
    told = [(m.incident["id"], m.incident["reason"], m.incident["cause"]) for m in again.phones[0].received]
    assert sorted(told) == [(FIRE, "closed", cause), ("xd-gw-07-17", "first", None)]
