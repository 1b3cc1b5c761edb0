"""The open batch: rows as the platform will see them, and when it is sealed."""

import tomllib
from pathlib import Path

from edge.history import SEAL_POINTS_MAX, History
from edge.readings import Reading
from gateway.series import Series
from models import site as sites
from models.alarm import AlarmEvent
from models.alarm_table import AlarmState, What
from models.incident import Ack, AlarmSpec, Incident, IncidentState
from models.reading import Hazard
from models.site import Site

S = 1_000_000_000
LANE = Path(__file__).parent / "sites" / "lane.toml"


def lane() -> Site:
    tables, problems = sites.read(tomllib.loads(LANE.read_text().replace("PORT", "9")))
    assert not [p for p in problems if not p.is_notice]
    return sites.whole(tables)


WARD = (("gateway", "xd-gw-07"), ("ward", "xuan-dinh"))


def tags(**more: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((*WARD, *more.items())))


def test_readings_of_one_shape_share_a_series() -> None:
    history = History(lane())
    for i in range(3):
        history.reading(Reading("level", "ngo-12", i * S, ("depth_m",), (0.1 * i,), 0))
    history.reading(Reading("level", "ngo-12", 3 * S, (), (), 32768))
    points, n = history.take()
    where = tags(place="ngo-12", sensor="level")
    assert n == 4
    assert points == {
        Series("reading", where, ("depth_m", "quality")): [(i * S, (0.1 * i, 0)) for i in range(3)],
        Series("reading", where, ("quality",)): [(3 * S, (32768,))],
    }
    assert history.take() == ({}, 0)


def test_alarms_and_incidents_are_rows_too() -> None:
    history = History(lane())
    spec = AlarmSpec("ngo-5-fire", Hazard.FIRE, "ngo-5")
    event = AlarmEvent(What.RAISED, spec.id, 7, AlarmState.NORMAL, AlarmState.UNACKED, 2)
    history.alarm(event, spec, "xd-gw-07-1")
    incident = Incident(
        "xd-gw-07-1", Hazard.FIRE, "ngo-5", IncidentState.CONFIRMED, 1, 2, 2, 7, 9 * S + 5, (spec.id,),
        acks=(Ack("an", "duty-hook", 1, 7 + 41_230_000_000),),
    )  # fmt: skip
    history.incident(incident)
    points, _ = history.take()
    (alarm, alarm_rows), (told, told_rows) = points.items()
    assert alarm == Series(
        "alarm", tags(alarm="ngo-5-fire", hazard="fire", place="ngo-5"), ("state", "level", "incident")
    )
    assert alarm_rows == [(0, ("unacked", 2, "xd-gw-07-1"))]  # to the ms
    assert told.measurement == "incident"
    assert told.tags == tags(hazard="fire", place="ngo-5")
    assert told_rows == [(9 * S, ("xd-gw-07-1", "confirmed", 2, 1, 2, 41.2, False))]


def reading(at_s: float) -> Reading:
    return Reading("level", "ngo-12", round(at_s * S), ("depth_m",), (0.1,), 0)


def test_it_is_due_after_ten_seconds_or_two_thousand_points() -> None:
    history = History(lane())
    assert not history.is_due(100 * S)
    for second in range(5, 15):
        assert not history.is_due(second * S)
        history.reading(reading(second))
    assert not history.is_due(15 * S - 1)
    assert history.is_due(15 * S)
    history.take()
    for i in range(SEAL_POINTS_MAX):
        assert not history.is_due(5 * S)
        history.reading(Reading("level", "ngo-12", 5 * S + i, ("depth_m",), (0.1,), 0))
    assert history.is_due(5 * S)


def test_when_the_wire_stands_still_what_is_there_is_sealed_early_but_seldom() -> None:
    history = History(lane())
    history.reading(reading(5))
    assert not history.is_due(8 * S - 1)
    assert history.is_due(8 * S)
    history.take()
    history.reading(reading(20))
    assert not history.is_due(24 * S)  # a sparse ward waits for its ten seconds
    assert history.is_due(30 * S)
    history.take()
    history.reading(reading(400))
    assert history.is_due(403 * S)
    # silence is no value: what only says "no answer" waits
    history.take()
    history.reading(Reading("level", "ngo-12", 800 * S, (), (), 32768))
    assert not history.is_due(805 * S)
