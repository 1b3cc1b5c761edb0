"""The one line that a locked phone shows, and the words for what a sensor says.

It stands alone in 70 characters: what, when, where, first signs. When it is too long it loses its signs
first, then the longer words around 114, the count of further houses, the word for a repeat and the floor;
never the place, the time or, for a fire, "Gọi 114". It names the place of the sensor that spoke first. Only
in a drill may the longest names lose their end.
"""

import re
from collections.abc import Iterator
from typing import Final

from gateway import book as naming
from gateway.book import SiteBook, WallTime
from gateway.notify import Reason
from gateway.words import HEADLINE_CHARS_MAX, Words
from models.evidence import Contribution
from models.incident import Incident, IncidentState
from models.reading import KINDS, Hazard

OVER: Final = (IncidentState.UNDER_CONTROL, IncidentState.CLEARED, IncidentState.CLOSED)
_DRILL_SHORT: Final = "DIỄN TẬP"


def headline(incident: Incident, book: SiteBook, wall: WallTime, reason: Reason, words: Words) -> str:
    """One line of at most 70 characters that stands alone."""
    first, *others = spots(incident, book)
    place = book.places.get(first)
    name = re.sub(r"(?<=\w)\. (?=\d)", ".", naming.clean(place.name if place else first))
    floor = f" {naming.clean(place.floor)}" if place and place.floor else ""
    is_house = all(spot in book.places and book.places[spot].kind == "house" for spot in others)
    more = f" {(words.houses if is_house else words.places).format(n=len(others))}" if others else ""
    state = words.state[incident.hazard, incident.state]
    time = naming.time(wall, _told_ns(incident), "%H:%M")
    repeat = f"{words.repeat} " if reason is Reason.UNACKED_REPEAT else ""
    tail, short_tail = _tails(incident, words)
    signs = [f", {detail}" for detail in _details(incident, words)]
    marks = (f"{words.drill} ", f"{_DRILL_SHORT} ") if incident.drill else ("",)

    def shapes() -> Iterator[str]:
        mark = marks[0]
        for sign in (*signs, ""):
            yield f"{mark}{repeat}{state} {time} {name}{floor}{more}{sign}{tail}"
        for mark in marks:
            yield f"{mark}{repeat}{state} {time} {name}{floor}{more}{short_tail}"
            yield f"{mark}{repeat}{state} {time} {name}{floor}{short_tail}"
            yield f"{mark}{state} {time} {name}{floor}{short_tail}"
            yield f"{mark}{state} {time} {name}{short_tail}"
        last = short_tail.removeprefix(".")
        yield f"{mark}{state} {time} {name}{last}"
        spare = HEADLINE_CHARS_MAX - len(f"{mark}{state} {time} …{last}")
        yield f"{mark}{state} {time} {name[:spare]}…{last}"

    return next(line for line in shapes() if len(line) <= HEADLINE_CHARS_MAX)


def _told_ns(incident: Incident) -> int:
    """An active incident is known by its beginning, one that is over by its end."""
    return incident.changed_ns if incident.state in OVER else incident.opened_ns


def _tails(incident: Incident, words: Words) -> tuple[str, str]:
    """How a fire's headline ends: in full, and as short as can be."""
    if incident.hazard is not Hazard.FIRE:
        return "", ""
    if incident.drill:
        return f". {words.call_if_real}", f". {words.call}"
    return f". {words.call_if_fire if incident.state in OVER else words.call}", f". {words.call}"


def spots(incident: Incident, book: SiteBook) -> list[str]:
    """Place ids of the contributing sensors, first-up first; the incident's own place without any."""
    seen = dict.fromkeys(book.where(one.channel, incident.place) for one in incident.evidence)
    return list(seen) or [incident.place]


def _details(incident: Incident, words: Words) -> list[str]:
    """What the headline says of the signs, longest first."""
    if incident.hazard is Hazard.TROUBLE:
        subject, kind = trouble(incident)
        long, short, _ = words.trouble.get(kind, words.trouble_other)
        fill = {"subject": subject, "kind": kind.replace("_", " ")}
        return [long.format(**fill), short.format(**fill)]
    if incident.state in OVER:
        return []
    kinds = [_kind(one) for one in incident.evidence]
    if incident.hazard is Hazard.FIRE:
        names = list(dict.fromkeys(words.kind.get(kind, kind) for kind in kinds))
        return ["+".join(names[:n]) for n in range(len(names), 0, -1)]
    measured = [value(incident.evidence[0], words)] if incident.evidence else []
    level = words.level_word.format(n=incident.level)
    word = level_name(incident, words)
    return [", ".join([*measured, f"{level} {word}".rstrip()]), ", ".join([*measured, level]), *measured]


def trouble(incident: Incident) -> tuple[str, str]:
    """(subject, kind) of a trouble alarm `trouble/SUBJECT/KIND`."""
    _, subject, kind = (*incident.alarms[0].split("/", 2), "", "")[:3]
    return subject, kind


def _kind(one: Contribution) -> str:
    return one.channel.rsplit("/", 1)[-1]


def value(one: Contribution, words: Words, is_over: bool = False) -> str:
    """`khói: đang báo`, `khói ≥0,17 dB/m`, `sâu 32 cm`."""
    kind = _kind(one)
    what = words.kind.get(kind, kind)
    info = KINDS.get(kind)
    if info is not None and info.is_contact:
        return (words.contact_was if is_over else words.contact_on).format(what=what)
    bound = {"at_least": words.at_least, "at_most": words.at_most, None: "{text}"}[one.bound]
    if kind == "depth_m":
        return words.depth.format(text=bound.format(text=f"{one.value * 100:.0f}"))
    number = f"{one.value:.3g}" if abs(one.value) < 100 else f"{one.value:.0f}"
    unit = "" if info is None or info.unit == what else f" {info.unit}"
    return f"{what} {bound.format(text=number.replace('.', words.decimal))}{unit}".rstrip()


def level_name(incident: Incident, words: Words) -> str:
    """The word for a flood level; "" where there is none."""
    is_named = incident.hazard is Hazard.FLOOD and incident.level < len(words.level)
    return words.level[incident.level] if is_named else ""
