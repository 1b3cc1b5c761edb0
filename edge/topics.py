"""What the broker keeps for those who come later: `sensor/<id>` and `incident/<id>`, as suffix and payload.

A sensor is told on a change of its quality or alarm level, else every 60 s; an incident at each revision, and its topic
is emptied 24 h after it was closed. The payloads are those of deploy/docs/contracts.md.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from edge.readings import Reading
from models.incident import Incident
from models.reading import flag_names

AGAIN_NS: Final = 60_000_000_000
CLOSED_KEEP_NS: Final = 86_400_000_000_000

Retained = tuple[str, bytes | None]  # topic suffix, payload; None empties it


class Topics:
    """Newest reading of each sensor, and what was told of it. `level_of(sensor)`: the worst alarm that hears it."""

    def __init__(self, level_of: Callable[[str], int], wall_ms: Callable[[int], int]) -> None:
        self._level_of = level_of
        self._wall_ms = wall_ms
        self._newest: dict[str, Reading] = {}
        self._good_ns: dict[str, int] = {}
        self._told: dict[str, tuple[int, int, int]] = {}  # sensor -> (quality, level, site ns)
        self._closed: dict[str, int] = {}  # incident -> site ns

    def reading(self, one: Reading) -> None:
        """Remember it; `due` tells it."""
        self._newest[one.sensor] = one
        if one.values:
            self._good_ns[one.sensor] = one.site_ns

    def due(self, site_ns: int) -> Iterator[Retained]:
        """Sensors that changed or were not told for a minute, and topics whose day is over."""
        for sensor, one in self._newest.items():
            level = self._level_of(sensor)
            told = self._told.get(sensor)
            if told is None or told[:2] != (one.quality, level) or site_ns - told[2] >= AGAIN_NS:
                self._told[sensor] = (one.quality, level, site_ns)
                yield f"sensor/{sensor}", self._payload(one, level, site_ns)
        for incident in [name for name, at_ns in self._closed.items() if site_ns - at_ns >= CLOSED_KEEP_NS]:
            del self._closed[incident]
            yield f"incident/{incident}", None

    def incidents(
        self, changed: Iterable[Incident], as_json: Callable[[Incident], Mapping[str, Any]]
    ) -> Iterator[Retained]:
        """The newest revision of each."""
        for one in changed:
            if one.closed_ns is not None:
                self._closed[one.id] = one.closed_ns
            yield f"incident/{one.id}", _bytes(as_json(one))

    def _payload(self, one: Reading, level: int, site_ns: int) -> bytes:
        good_ns = self._good_ns.get(one.sensor)
        return _bytes({
            "v": 1,
            "sensor": one.sensor,
            "place": one.place,
            "at": self._wall_ms(one.site_ns),
            "values": dict(zip(one.fields, one.values, strict=True)),
            "flags": flag_names(one.quality),
            "level": level,
            "age_s": None if good_ns is None else round((site_ns - good_ns) / 1e9, 1),
        })  # fmt: skip


def _bytes(what: Mapping[str, Any]) -> bytes:
    return json.dumps(what, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
