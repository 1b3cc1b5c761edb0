"""An incident as a message: headline, full text and the JSON of the contract, in Vietnamese and English.

Everything is plain text, NFC, without control characters; each notifier escapes it for its own grammar. The
texts name the place of the sensor that spoke first, the JSON names the alarm's place. Times are site ns and
become wall time by the pair in `WallTime`; where the clock is not synchronised they carry "~" and the JSON
says "guessed". Pure: no file, no clock; the zone is handed in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway import book as naming
from gateway import headline as line_one
from gateway.book import SiteBook, WallTime, book
from gateway.notify import Reason
from gateway.words import Words
from gateway.words_en import EN
from gateway.words_vi import VI
from models.evidence import Contribution
from models.incident import Incident, is_acked
from models.reading import Hazard

__all__ = ["Message", "SiteBook", "WallTime", "book", "compose"]

EVIDENCE_LINES_MAX: Final = 12
LANGUAGES: Final = {"vi": VI, "en": EN}


@dataclass(frozen=True, slots=True)
class Message:
    """What a notifier gets. `incident` is the contract's JSON object; headline and text are in `language`."""

    incident: dict[str, Any]
    headline: str
    text: str
    language: str


def compose(
    incident: Incident,
    book: SiteBook,
    wall: WallTime,
    reason: Reason,
    language: str,
    next_ns: int | None = None,
) -> Message:
    """The message of one revision, told now (`wall`) for `reason`. `next_ns`: when it will be repeated."""
    headlines = {
        name: line_one.headline(incident, book, wall, reason, words) for name, words in LANGUAGES.items()
    }
    texts = {
        name: "\n".join((headlines[name], *_body(incident, book, wall, reason, words)))
        for name, words in LANGUAGES.items()
    }
    row = {
        "v": 1,
        "id": incident.id,
        "revision": incident.revision,
        "hazard": str(incident.hazard),
        "state": str(incident.state),
        "priority": incident.priority,
        "level": incident.level,
        "drill": incident.drill,
        "place": _place_json(incident.place, book),
        "headline": headlines["vi"],
        "text": texts["vi"],
        "headline_en": headlines["en"],
        "text_en": texts["en"],
        "reason": str(reason),
        "ward": book.ward,
        "opened": _iso(wall.at(incident.opened_ns)),
        "clock": "synced" if wall.synced else "guessed",
        "changed": _iso(wall.at(incident.changed_ns)),
        "closed": None if incident.closed_ns is None else _iso(wall.at(incident.closed_ns)),
        "cause": incident.cause,
        "evidence": [_evidence_json(one, wall) for one in incident.evidence],
        "acks": [
            {"by": ack.by, "via": ack.via, "revision": ack.revision, "at": _iso(wall.at(ack.at_ns))}
            for ack in incident.acks
        ],
        "next": None
        if next_ns is None
        else {"reason": str(Reason.UNACKED_REPEAT), "at": _iso(wall.at(next_ns))},
    }
    return Message(row, headlines[language], texts[language], language)


def _body(incident: Incident, book: SiteBook, wall: WallTime, reason: Reason, words: Words) -> Iterator[str]:
    """The lines after the headline."""
    line = words.line
    is_fire = incident.hazard is Hazard.FIRE
    if incident.drill:
        yield line["drill"] if is_fire else line["drill_other"]
    if is_fire:
        yield line["call_after"] if incident.state in line_one.OVER else line["call"]
    first, *others = line_one.spots(incident, book)
    yield from _place_lines(first, book, words)
    for spot in others[:EVIDENCE_LINES_MAX]:
        yield line["also"].format(place=naming.name(spot, book))
    if incident.hazard is Hazard.FLOOD:
        word = line_one.level_name(incident, words)
        yield (line["level"] if word else line["level_only"]).format(n=incident.level, word=word)
    elif incident.hazard is Hazard.TROUBLE:
        yield from _trouble_lines(incident, book, words)
    if incident.evidence:
        yield line["evidence"]
        for one in incident.evidence[:EVIDENCE_LINES_MAX]:
            since, where = (
                naming.time(wall, one.since_ns, "%H:%M:%S"),
                naming.name(book.where(one.channel, first), book),
            )
            yield line["one"].format(
                what=line_one.value(one, words, incident.state in line_one.OVER),
                place=where,
                channel=one.channel,
                time=since,
            )
        if len(incident.evidence) > EVIDENCE_LINES_MAX:
            yield line["more"].format(n=len(incident.evidence) - EVIDENCE_LINES_MAX)
    if incident.cause:
        yield line["cause"].format(text=naming.clean(words.cause.get(incident.cause, incident.cause)))
    yield line["opened"].format(time=naming.time(wall, incident.opened_ns, "%H:%M:%S %d/%m"))
    now = naming.time(wall, wall.site_ns, "%H:%M:%S %d/%m")
    yield line["changed"].format(time=now, reason=words.reason.get(reason, str(reason)))
    if not wall.synced:
        yield line["guessed"]
    yield line["id"].format(id=incident.id, revision=incident.revision)
    if incident.acks:
        yield line["acked"].format(
            text=", ".join(dict.fromkeys(naming.clean(ack.by) for ack in incident.acks))
        )
    if incident.state not in line_one.OVER and not is_acked(incident):
        yield line["ack"].format(id=incident.id)
    if is_fire:
        yield line["helper"]


def _place_lines(spot: str, book: SiteBook, words: Words) -> Iterator[str]:
    line = words.line
    yield line["place"].format(place=naming.name(spot, book))
    place = book.places.get(spot)
    if place is None:
        return
    if place.inside:
        yield line["inside"].format(place=naming.name(place.inside, book))
    for key, text in (
        ("floor", place.floor),
        ("address", place.address),
        ("access", place.access),
        ("contact", place.contact),
    ):
        if text:
            yield line[key].format(text=naming.clean(text))
    if place.lat is not None and place.lon is not None:
        yield line["map"].format(text=f"https://www.google.com/maps?q={place.lat:.6f},{place.lon:.6f}")


def _trouble_lines(incident: Incident, book: SiteBook, words: Words) -> Iterator[str]:
    subject, kind = line_one.trouble(incident)
    _, _, check = words.trouble.get(kind, words.trouble_other)
    if incident.state not in line_one.OVER:
        yield words.line["check"].format(text=check.format(subject=subject))
        if kind == "silent" and subject in book.fire_sensors:
            yield words.line["blind_fire"]


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _place_json(spot: str, book: SiteBook) -> dict[str, Any]:
    place = book.places.get(spot)
    keys = ("name", "floor", "address", "access", "lat", "lon")
    return {"id": spot, **{key: getattr(place, key, None) for key in keys}}


def _evidence_json(one: Contribution, wall: WallTime) -> dict[str, Any]:
    return {
        "channel": one.channel,
        "value": one.value,
        "bound": one.bound,
        "limit": one.limit,
        "since_s": round((wall.site_ns - one.since_ns) / 1e9, 3),
        "why": one.why,
    }
