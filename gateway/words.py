"""The words of our messages in Vietnamese and English, and how they are put together. Plain text, NFC, no
markup.

Headlines stand alone in at most 70 characters, because one SMS part in UCS-2 has 70 and a locked phone shows
about that much. What is called by these words and what is not:
- A fire text always says "Gọi 114". It never claims that somebody else was called, and never that this is a
  certified fire-alarm transmission device.
- The end of the signals is not the end of a fire: the texts of CLEARED and CLOSED say "nếu còn cháy".
Source: domain facts on what a fire push must carry; the wording itself is ours.
"""

from dataclasses import dataclass
from typing import Final

HEADLINE_CHARS_MAX: Final = 70


@dataclass(frozen=True, slots=True)
class Words:
    """One language. Braces are filled in by `gateway.message`.

    `state` by (hazard, state); `level` by flood level; `kind` by kind of channel, `trouble` by kind of
    trouble (long, short, what to look at), each with a readable fallback for kinds that have no words yet.
    """

    state: dict[tuple[str, str], str]
    level: tuple[str, ...]
    kind: dict[str, str]
    trouble: dict[str, tuple[str, str, str]]
    trouble_other: tuple[str, str, str]
    cause: dict[str, str]
    reason: dict[str, str]
    drill: str
    repeat: str
    level_word: str
    depth: str
    at_least: str
    at_most: str
    houses: str
    places: str
    call: str
    call_if_fire: str
    call_if_real: str
    contact_on: str
    contact_was: str
    decimal: str
    line: dict[str, str]
