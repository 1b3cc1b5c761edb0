"""What the texts must know of the site and of the time, and how they name places, moments and people.

Nothing that comes from a file or a person reaches a text but through `clean`.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

from models.reading import FIRE_CONTACTS
from models.site import Place, Site


@dataclass(frozen=True, slots=True)
class SiteBook:
    """What the texts must know of the site: places, where each sensor is, which sensors watch for fire."""

    ward: str
    places: Mapping[str, Place]
    sensor_place: Mapping[str, str]
    fire_sensors: frozenset[str]

    def where(self, channel: str, otherwise: str) -> str:
        """The place id of a channel's sensor."""
        return self.sensor_place.get(channel.split("/")[0], otherwise)


@dataclass(frozen=True, slots=True)
class WallTime:
    """One moment in both times (ns), whether the wall can be believed, and the ward's zone."""

    site_ns: int
    wall_ns: int
    synced: bool
    zone: tzinfo

    def at(self, site_ns: int) -> datetime:
        """The wall time of a site time, to the millisecond."""
        wall_ms = (self.wall_ns + site_ns - self.site_ns) // 1_000_000
        moment = datetime.fromtimestamp(wall_ms // 1000, UTC).astimezone(self.zone)
        return moment.replace(microsecond=wall_ms % 1000 * 1000)


def book(site: Site) -> SiteBook:
    """The book of a checked site."""
    return SiteBook(
        site.ward.id,
        {place.id: place for place in site.place},
        {sensor.id: sensor.place for sensor in site.sensor},
        frozenset(sensor.id for sensor in site.sensor if sensor.kind in FIRE_CONTACTS),
    )


def name(spot: str, book: SiteBook) -> str:
    """A place's name; its id where the site no longer knows it."""
    return clean(book.places[spot].name) if spot in book.places else spot


def time(wall: WallTime, site_ns: int, form: str) -> str:
    """Wall time in the form of strftime, with "~" where it is a guess."""
    return f"{'' if wall.synced else '~'}{wall.at(site_ns).strftime(form)}"


def clean(text: str) -> str:
    """NFC on one line without control characters or direction overrides (they can show another address)."""
    text = unicodedata.normalize("NFC", text)
    return "".join(c for c in text if unicodedata.category(c) != "Cc" and c not in _DIRECTION)


_DIRECTION: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
