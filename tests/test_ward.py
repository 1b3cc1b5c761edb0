"""The whole service in virtual time, judged by what the phone received."""

import itertools
import tomllib
from pathlib import Path

import pytest

from drivers import world as worlds
from edge import config as configuration
from edge.config import Config
from edge.simulation.run import Ward
from gateway.outcome import Outcome, Verdict

pytestmark = pytest.mark.ward

SITE = Path(__file__).parent / "sites" / "lane.toml"
DRY = """
[[value]]
t_s = 0
sensor = "ngo-12-level"
kind = "depth_m"
value = 0.0
"""


def config(folder: Path) -> Config:
    site = folder / "site.toml"
    site.write_text(SITE.read_text().replace("PORT", "9"))
    found, problems = configuration.load(site)
    assert found is not None, problems
    return found


def ward(tmp_path: Path, world: str = "", seed: int = 1) -> Ward:
    found, problems = worlds.parse(tomllib.loads(DRY + world))
    assert found is not None, problems
    tmp_path.mkdir(exist_ok=True)
    return Ward(config(tmp_path), found, tmp_path, seed=seed)


def press(t_s: float, value: int = 1, sensor: str = "nut-5-12", kind: str = "call_point") -> str:
    return f'[[value]]\nt_s = {t_s}\nsensor = "{sensor}"\nkind = "{kind}"\nvalue = {value}\n'


def test_a_quiet_hour_then_a_fire_and_its_repeats_until_somebody_goes(tmp_path: Path) -> None:
    one = ward(tmp_path, press(0, 0) + press(3600))
    phone = one.phones[0]
    one.live(3600 + 700, script=lambda w: w.loop.call_later(4000, _ack, w))
    assert [m.incident["reason"] for m in phone.received] == ["first", "unacked_repeat", "unacked_repeat"]
    first, second, third = phone.received
    assert 3600.0 <= first.t_s <= 3600.0 + 0.5 + 0.2  # one period, one exchange
    assert second.t_s == pytest.approx(first.t_s + 180, abs=0.5)
    assert third.t_s == pytest.approx(first.t_s + 360, abs=0.5)
    assert {m.incident["id"] for m in phone.received} == {"xd-gw-07-1"}
    assert [m.key for m in phone.received] == [f"xd-gw-07-1/1/duty-hook/{n}" for n in range(3)]
    assert "Ng.5/12 Xuân Đỉnh" in first.headline
    assert first.headline.startswith("CHÁY ")
    assert first.headline.endswith("Gọi 114")
    assert one.buses["rs485-1"].stats.early_frames == 0
    assert one.buses["rs485-1"].stats.collisions == 0


def _ack(one: Ward) -> None:
    assert one.service is not None
    answer = one.service.dispatch.act({"do": "ack", "incident": "xd-gw-07-1"}, "an", "test")
    assert answer["ok"], answer


def test_a_call_point_closed_before_the_first_poll_is_told_at_once_and_once(tmp_path: Path) -> None:
    one = ward(tmp_path, press(0))
    one.live(120)
    assert [m.incident["reason"] for m in one.phones[0].received] == ["first"]
    assert one.phones[0].received[0].t_s < 1.0


def test_an_uncertified_head_is_a_pre_alarm_and_the_call_point_raises_it(tmp_path: Path) -> None:
    one = ward(tmp_path, press(10, 1, "khoi-5-12", "smoke_contact") + press(0, 0, "khoi-5-12", "smoke_contact")
               + press(0, 0) + press(40))  # fmt: skip
    one.live(60)
    assert [(m.incident["state"], m.incident["reason"]) for m in one.phones[0].received] == [
        ("pre_alarm", "first"),
        ("confirmed", "escalated"),
    ]
    assert one.phones[0].received[0].headline.startswith("NGHI CHÁY")


def test_water_must_stand_for_a_minute_and_tells_its_level(tmp_path: Path) -> None:
    rise = '[[value]]\nt_s = 100\nsensor = "ngo-12-level"\nkind = "depth_m"\nvalue = 0.40\n'
    flat = '[[value]]\nt_s = 99.9\nsensor = "ngo-12-level"\nkind = "depth_m"\nvalue = 0.0\n'
    one = ward(tmp_path, flat + rise)
    one.live(300)
    (told,) = one.phones[0].received
    assert 160 <= told.t_s <= 171  # a minute after the first poll that saw it
    assert (told.incident["hazard"], told.incident["level"], told.incident["priority"]) == ("flood", 3, 2)
    assert told.incident["evidence"][0]["value"] == pytest.approx(0.40, abs=0.006)


def test_a_silent_smoke_head_is_told_within_100_s_and_its_return_too(tmp_path: Path) -> None:
    silent = '[[fault]]\nt_s = 60\ntarget = "khoi-5-12"\nfault = "silent"\nfor_s = 200\n'
    one = ward(tmp_path, press(0, 0) + silent)
    one.live(400)
    told = [m for m in one.phones[0].received if m.incident["state"] == "confirmed"]
    assert {m.incident["hazard"] for m in told} == {"trouble"}
    assert {m.incident["evidence"][0]["channel"] for m in told} >= {"trouble/khoi-5-12/silent"}
    assert all(60 <= m.t_s <= 160 for m in told)
    cleared = [m for m in one.phones[0].received if m.incident["state"] == "cleared"]
    assert len(cleared) == len(told)
    assert all(260 <= m.t_s <= 280 for m in cleared)


def test_a_dead_bus_is_one_trouble_and_a_fire_that_began_meanwhile_is_told_on_return(tmp_path: Path) -> None:
    gone = '[[fault]]\nt_s = 60\ntarget = "rs485-1"\nfault = "unplug"\nfor_s = 600\n'
    one = ward(tmp_path, press(0, 0) + press(100) + gone)
    one.live(800)
    confirmed = [m for m in one.phones[0].received if m.incident["state"] == "confirmed"]
    assert [m.incident["hazard"] for m in confirmed[:2]] == ["trouble", "fire"]
    assert len([m for m in confirmed if m.incident["hazard"] == "trouble"]) == 1
    fire = confirmed[1]
    assert 660 <= fire.t_s <= 667


def test_an_open_fire_keeps_its_number_over_a_bus_outage(tmp_path: Path) -> None:
    gone = '[[fault]]\nt_s = 60\ntarget = "rs485-1"\nfault = "unplug"\nfor_s = 600\n'
    one = ward(tmp_path, press(0, 0) + press(30) + gone)
    one.live(800, script=lambda w: w.loop.call_later(40, _ack, w))
    fires = [m for m in one.phones[0].received if m.incident["hazard"] == "fire"]
    assert [(m.incident["id"], m.incident["reason"]) for m in fires] == [("xd-gw-07-1", "first")]


def test_an_ack_in_the_phones_answer_stops_the_repeats(tmp_path: Path) -> None:
    one = ward(tmp_path, press(0, 0) + press(10))
    one.phones[0].answer = lambda _m: Outcome(Verdict.ACCEPTED, ack_by="an")
    one.live(600)
    assert len(one.phones[0].received) == 1


def test_a_phone_that_is_away_is_tried_again_under_one_key(tmp_path: Path) -> None:
    one = ward(tmp_path, press(0, 0) + press(10))
    phone = one.phones[0]
    phone.answer = lambda m: Outcome(Verdict.RETRY if m.t_s < 60 else Verdict.ACCEPTED)
    one.live(120)
    assert len({m.key for m in phone.received}) == 1
    assert len(phone.received) > 3


def test_a_restart_keeps_the_number_and_tells_nothing_twice(tmp_path: Path) -> None:
    first = ward(tmp_path, press(0, 0) + press(10))
    first.live(30)
    again = ward(tmp_path, press(0, 1))
    again.live(30)
    assert len(first.phones[0].received) == 1
    assert again.phones[0].received == []
    assert again.service is not None
    assert [one.id for one in again.service.core.incidents.values()] == ["xd-gw-07-1"]


def test_a_pending_on_delay_survives_a_restart(tmp_path: Path) -> None:
    deep = '[[value]]\nt_s = 0.1\nsensor = "ngo-12-level"\nkind = "depth_m"\nvalue = 0.40\n'
    first = ward(tmp_path, deep)
    first.live(40)
    assert first.phones[0].received == []
    again = ward(tmp_path, deep)
    again.live(60)
    (told,) = again.phones[0].received
    assert told.t_s < 35  # 60 s after the water came, not 60 s after the restart


def test_a_late_and_noisy_bus_breaks_no_silence_and_tells_no_false_fire(tmp_path: Path) -> None:
    faults = "".join(
        f'[[fault]]\nt_s = {t}\ntarget = "rs485-1"\nfault = "{fault}"\nfor_s = 20\n'
        for t, fault in enumerate(("late", "crc", "flip", "split", "merge", "garbage", "echo", "busy"), 1)
        for t in (t * 100,)
    )
    for seed in range(3):
        one = ward(tmp_path / str(seed), press(0, 0) + faults, seed=seed)
        one.live(1000)
        assert [m for m in one.phones[0].received if m.incident["hazard"] == "fire"] == []
        assert one.buses["rs485-1"].stats.early_frames == 0


def test_the_same_seed_gives_the_same_night(tmp_path: Path) -> None:
    nights = []
    for run in ("a", "b"):
        late = '[[fault]]\nt_s = 5\ntarget = "rs485-1"\nfault = "late"\nfor_s = 300\n'
        one = ward(tmp_path / run, press(0, 0) + press(100) + late, seed=7)
        one.live(400)
        nights.append([(m.t_s, m.key, m.headline) for m in one.phones[0].received])
    assert nights[0] == nights[1]
    assert nights[0]


def test_a_flood_that_rises_and_falls_is_told_with_the_depth_of_that_moment(tmp_path: Path) -> None:
    water = [(0, 0.0), (60, 0.0), (600, 0.55), (900, 0.55), (1000, 0.02)]  # drains in 100 s
    rows = "".join(
        f'[[value]]\nt_s = {t}\nsensor = "ngo-12-level"\nkind = "depth_m"\nvalue = {v}\n'
        for t, v in water[1:]
    )
    one = ward(tmp_path, rows)
    one.live(1570)

    def depth_m(t_s: float) -> float:
        (t0, v0), (t1, v1) = next(pair for pair in itertools.pairwise(water) if pair[1][0] >= t_s)
        return v0 + (v1 - v0) * (t_s - t0) / (t1 - t0)

    assert [m.incident["level"] for m in one.phones[0].received] == [1, 2, 3, 4]
    for told in one.phones[0].received:
        [evidence] = told.incident["evidence"]
        # told after the on-delay: the depth of the telling, at most a poll old, not of the crossing
        assert evidence["value"] == pytest.approx(depth_m(told.t_s), abs=0.012)
        assert f"sâu {round(evidence['value'] * 100)} cm" in told.headline
    # level 3 and 2 fall ten minutes after the water did: what stands on the screen is the water of now
    assert one.service is not None
    [flood] = [i for i in one.service.core.incidents.values() if i.hazard == "flood"]
    assert flood.level < 4
    assert flood.evidence[0].value == pytest.approx(0.02, abs=0.005)
    assert "now, limit" in flood.evidence[0].why
