"""Retained topics: told on change, again each minute, emptied a day after closing."""

import json
from typing import Any

from edge.readings import Reading
from edge.topics import Topics
from models.incident import Incident, IncidentState
from models.reading import Hazard, Quality

S = 1_000_000_000


def reading(at_s: int, value: float | None = 0.21, quality: int = 0) -> Reading:
    fields, values = (("depth_m",), (value,)) if value is not None else ((), ())
    return Reading("ngo-12-level", "ngo-12", at_s * S, fields, values, quality)


def told(topics: Topics, at_s: int) -> list[dict[str, Any]]:
    return [json.loads(payload or b"{}") for _, payload in topics.due(at_s * S)]


def test_a_sensor_is_told_on_change_of_quality_or_level_else_each_minute() -> None:
    level = 0
    topics = Topics(lambda sensor: level, lambda site_ns: site_ns // 1_000_000)
    topics.reading(reading(1))
    assert told(topics, 2) == [
        {
            "v": 1, "sensor": "ngo-12-level", "place": "ngo-12", "at": 1000, "values": {"depth_m": 0.21},
            "flags": [], "level": 0, "age_s": 1.0,
        }
    ]  # fmt: skip
    topics.reading(reading(7, 0.25))
    assert told(topics, 8) == []
    topics.reading(reading(12, None, Quality.COMMS))
    [silent] = told(topics, 13)
    assert (silent["values"], silent["flags"], silent["age_s"]) == ({}, ["COMMS"], 6.0)
    level = 2
    assert [one["level"] for one in told(topics, 14)] == [2]
    assert told(topics, 73) == []
    assert len(told(topics, 74)) == 1


def test_a_closed_incident_stays_for_a_day() -> None:
    topics = Topics(lambda sensor: 0, lambda site_ns: 0)
    one = Incident("gw-1", Hazard.FIRE, "p", IncidentState.CLOSED, 1, 2, 3, 0, 5 * S, ("a",), closed_ns=5 * S)
    assert list(topics.incidents([one], lambda i: {"id": i.id})) == [("incident/gw-1", b'{"id":"gw-1"}')]
    assert list(topics.due(86_404 * S)) == []
    assert list(topics.due(86_405 * S)) == [("incident/gw-1", None)]
    assert list(topics.due(90_000 * S)) == []
