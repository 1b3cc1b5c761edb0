"""Rows by the clock: what a place and a sensor are called, and when they are told."""

import tomllib
from pathlib import Path

import pytest

from edge.beats import Beat, Beats, sensor_state
from models import site as sites
from models.incident import Incident, IncidentState
from models.judge import ChannelView
from models.reading import Hazard
from models.site import Site

S = 1_000_000_000
LANE = Path(__file__).parent / "sites" / "lane.toml"


def lane() -> Site:
    tables, _ = sites.read(tomllib.loads(LANE.read_text().replace("PORT", "9")))
    return sites.whole(tables)


def view(name: str, state: str = "ok") -> ChannelView:
    return ChannelView(
        name, 0.0, 0, 90 * S, 90 * S, state == "stale", state == "blind", False, state not in ("not_judged",)
    )


def incident(state: IncidentState, hazard: Hazard = Hazard.FIRE, place: str = "ngo-5-12") -> Incident:
    return Incident("gw-1", hazard, place, state, 1, 2, 1, 0, 0, ("a",))


def told(beats: Beats, at_s: int, views: list[ChannelView], *incidents: Incident) -> list[Beat]:
    return list(beats.due(at_s * S, views, incidents, lambda: {"version": "0"}))


ALL_WELL = [view("ngo-12-level/depth_m"), view("khoi-5-12/smoke_contact"), view("nut-5-12/call_point")]


def places(rows: list[Beat]) -> dict[str, tuple[object, object]]:
    return {tags["place"]: (f["state"], f["level"]) for name, tags, f in rows if name == "place"}


def test_everything_is_told_at_first_then_places_on_change_and_the_gateway_each_minute() -> None:
    beats = Beats(lane())
    first = told(beats, 100, ALL_WELL)
    assert {name for name, *_ in first} == {"place", "sensor", "gateway"}
    assert told(beats, 101, ALL_WELL) == []
    assert [name for name, *_ in told(beats, 160, ALL_WELL)] == ["gateway"]
    changed = told(beats, 161, ALL_WELL, incident(IncidentState.CONFIRMED))
    assert places(changed) == {"ngo-5-12": ("alarm", 2)}
    assert {name for name, *_ in told(beats, 701, ALL_WELL)} == {"place", "sensor", "gateway"}


@pytest.mark.parametrize(
    ("state", "words"),
    [("ok", "ok"), ("stale", "trouble"), ("blind", "trouble"), ("not_judged", "not_judged")],
)
def test_a_place_is_as_good_as_its_worst_sensor(state: str, words: str) -> None:
    views = [*ALL_WELL[:1], view("khoi-5-12/smoke_contact", state), ALL_WELL[2]]
    found = places(told(Beats(lane()), 100, views))
    assert found["ngo-5-12"] == (words, 0)
    assert found["ngo-12"] == ("ok", 0)
    # no sensor of its own: nobody can say
    assert found["ngo-5"] == ("not_judged", 0)


def test_an_incident_names_the_place_until_it_is_over() -> None:
    for state, words in (
        (IncidentState.PRE_ALARM, ("pre_alarm", 2)),
        (IncidentState.UNDER_CONTROL, ("alarm", 2)),
        (IncidentState.CLEARED, ("ok", 0)),
        (IncidentState.CLOSED, ("ok", 0)),
    ):
        assert places(told(Beats(lane()), 100, ALL_WELL, incident(state)))["ngo-5-12"] == words
    trouble = incident(IncidentState.CONFIRMED, Hazard.TROUBLE)
    assert places(told(Beats(lane()), 100, ALL_WELL, trouble))["ngo-5-12"] == ("trouble", 0)


def test_a_sensor_is_called_by_its_worst_channel() -> None:
    assert sensor_state([view("a/x"), view("a/y", "blind"), view("a/z", "stale")]) == "blind"
    assert sensor_state([view("a/x"), view("a/y", "not_judged")]) == "not_judged"
