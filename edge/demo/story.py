"""What happens in the demonstration, as data: seconds after the first picture, what is said, what is done.

The first half minute is the whole story: water, smoke, fire, a killed agent, "Tôi đi", a sensor that falls
silent. What follows is a second fire, answered by the phone itself, and a cable pulled out. Then it stays
quiet.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Feel:
    """From now on a virtual sensor feels this (the kind's unit)."""

    sensor: str
    kind: str
    value: float


@dataclass(frozen=True, slots=True)
class Fail:
    """A sensor or a bus fails for some seconds."""

    target: str
    fault: str
    for_s: float


@dataclass(frozen=True, slots=True)
class Kill:
    """kill -9 of the agent."""


@dataclass(frozen=True, slots=True)
class Ack:
    """Somebody answers the fire that nobody has answered yet, with `wardwatch ack`."""

    by: str


@dataclass(frozen=True, slots=True)
class PhoneAnswers:
    """The phone answers its next message with an acknowledgement."""

    by: str


@dataclass(frozen=True, slots=True)
class Step:
    """`at_s`: seconds after the first picture, ascending. `says`: the caption, empty = it stays."""

    at_s: float
    says: str
    does: Feel | Fail | Kill | Ack | PhoneAnswers | None = None


def _water(start_s: float, from_m: float, to_m: float, for_s: float) -> Iterator[Step]:
    """Water that rises or falls evenly, two steps a second."""
    n = round(for_s * 2)
    for i in range(1, n + 1):
        depth_m = from_m + (to_m - from_m) * i / n
        yield Step(start_s + i * 0.5, "", Feel("ngo-12-level", "depth_m", round(depth_m, 3)))


NIGHT: Final[tuple[Step, ...]] = (
    Step(0, "a quiet night; what has no value yet is NOT JUDGED, never just normal"),
    Step(3, "heavy rain: the water rises in Ngõ 12"),
    *_water(3, 0.02, 0.36, 5),
    Step(
        9,
        "a smoke head in house 12 of Ngõ 5 sees smoke: one head alone is a PRE-ALARM",
        Feel("khoi-5-12", "smoke_contact", 1),
    ),
    Step(
        12,
        "somebody presses the call point there: FIRE, the phone rings",
        Feel("nut-5-12", "call_point", 1),
    ),
    Step(15, "the agent is killed (kill -9); its supervisor starts it again", Kill()),
    Step(20, "Nguyễn Văn An answers 'Tôi đi': repeats stop", Ack("Nguyễn Văn An")),
    Step(
        23, "the water sensor is unplugged for 5 s: the screen must say so", Fail("ngo-12-level", "silent", 5)
    ),
    Step(28, "the water sensor is back"),
    Step(30, "the water falls; a fire stays open until somebody resets it"),
    *_water(30, 0.36, 0.02, 4),
    Step(36, "", PhoneAnswers("Trần Thị Bình")),
    Step(
        36.2,
        "a second fire in Ngõ 12; the phone itself answers 'Tôi đi'",
        Feel("nut-12-8", "call_point", 1),
    ),
    Step(43, "the cable to all sensors is pulled out for 6 s", Fail("rs485-1", "unplug", 6)),
    Step(50, "the cable is back; all is read and judged again"),
    Step(56, "quiet; Ctrl-C ends the demonstration"),
)
