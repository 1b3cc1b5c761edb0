"""What a judged reply says about each of its sensors: field names and values as the platform gets them.

A value that may not be believed (class bad) is named `<kind>_bad`, so that no panel can draw it as good; NaN is left
out; `quality` is the OR of the flags of the sensor's values. A reply in which nothing has a value ("asked, no
answer") is told once when it starts and then every 60 s, so that a dead sensor does not fill the spool.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from models.judge import Channel
from models.reading import Batch, QualityClass, quality_class

SILENT_AGAIN_NS: Final = 60_000_000_000


class Reading(NamedTuple):
    """One sensor in one reply. `fields` and `values` in step, without NaN; empty when it said nothing."""

    sensor: str
    place: str
    site_ns: int
    fields: tuple[str, ...]
    values: tuple[float, ...]
    quality: int


@dataclass(frozen=True, slots=True)
class _Group:
    """The channels of one sensor in replies of one shape: positions in the batch, and their kinds."""

    sensor: str
    place: str
    members: tuple[tuple[int, str], ...]


class Readings:
    """Turns batches into readings. `channels` in the order of the judge's indexes."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = tuple(channels)
        self._shapes: dict[bytes, tuple[_Group, ...]] = {}  # as many as there are requests
        self._silent_since: dict[str, int] = {}  # sensor -> site ns at which its silence was told last

    def of(self, batch: Batch) -> Iterator[Reading]:
        """One reading a sensor, for those that have something to tell now."""
        key = batch.channel.tobytes()
        groups = self._shapes.get(key)
        if groups is None:
            groups = self._shapes[key] = self._shape(batch.channel.tolist())
        values, flags = batch.value.tolist(), batch.quality.tolist()
        for group in groups:
            fields, given, quality = [], [], 0
            for i, kind in group.members:
                quality |= flags[i]
                if values[i] == values[i]:  # not NaN
                    fields.append(kind if flags[i] == 0 else _name(kind, flags[i]))
                    given.append(values[i])
            if given:
                self._silent_since.pop(group.sensor, None)
            elif self._is_told(group.sensor, batch.site_ns):
                continue
            yield Reading(group.sensor, group.place, batch.site_ns, tuple(fields), tuple(given), quality)

    def _shape(self, indexes: list[int]) -> tuple[_Group, ...]:
        members: dict[str, list[tuple[int, str]]] = {}
        for i, index in enumerate(indexes):
            channel = self._channels[index]
            members.setdefault(channel.sensor, []).append((i, channel.kind))
        places = {channel.sensor: channel.place for channel in self._channels}
        return tuple(_Group(sensor, places[sensor], tuple(its)) for sensor, its in members.items())

    def _is_told(self, sensor: str, site_ns: int) -> bool:
        """Whether this silence was told within the last minute; else it is told now."""
        told_ns = self._silent_since.get(sensor)
        if told_ns is not None and site_ns - told_ns < SILENT_AGAIN_NS:
            return True
        self._silent_since[sensor] = site_ns
        return False


def _name(kind: str, flags: int) -> str:
    return f"{kind}_bad" if quality_class(flags) is QualityClass.BAD else kind
