"""UART sensors as devices: one request that asks or listens, a report as samples, and the report of a simulated one."""

from collections.abc import Sequence

from drivers.coding import ChannelPoint, World, put, raw_word, sample, siblings
from drivers.device_file import Profile, Uart
from drivers.families import FAMILIES
from drivers.line import Request
from drivers.uart import Family, Words
from models.reading import Sample


def family(profile: Profile) -> Family:
    """How this device frames its reports."""
    return FAMILIES[_uart(profile).family]


def ask(profile: Profile) -> bytes:
    """What makes it report; b"" = it talks by itself."""
    own = _uart(profile).ask
    return family(profile).ask if own is None else bytes.fromhex(own)


def every_s(profile: Profile) -> float:
    """About how often it talks by itself; 0.0 = it is asked."""
    return 0.0 if ask(profile) else family(profile).every_s


def words_of(profile: Profile, frame: bytes) -> Words | None:
    """The words of a checked frame; None = it is no report, or the report of another model."""
    words = family(profile).words_of(frame)
    return words if words is not None and len(words) == _uart(profile).words else None


def request(unit: int, profile: Profile, points: Sequence[ChannelPoint]) -> Request:
    """The one question of a UART sensor. `expected` is 0: a line of such a sensor knows its frames itself."""
    link = profile.link
    return Request(
        unit=unit,
        tx=ask(profile),
        expected=0,
        timeout_ms=link.reply_ms,
        late_ms=link.late_ms,
        rest_ms=link.rest_ms,
        channels=tuple(point.name for point in points),
        resync=None,
    )


def decode(profile: Profile, points: Sequence[ChannelPoint], frame: bytes) -> tuple[Sample, ...]:
    """The samples of a report, one a channel. NaN always has a flag."""
    words = words_of(profile, frame)
    assert words is not None, "the line hands on reports of this model only"
    flags = family(profile).flags(words)
    samples = siblings([sample(point, words, 0) for point in points])
    return tuple(Sample(one.kind, one.value, one.quality | flags) for one in samples)


def report(profile: Profile, points: Sequence[ChannelPoint], world: World) -> bytes:
    """What the device sends in this world; words that no channel reads are 0."""
    held = dict.fromkeys(range(_uart(profile).words), 0)
    for word, content in _uart(profile).fixed.items():
        held[int(word)] = content
    for point in points:
        put(held, point.value, raw_word(point, world))
    return family(profile).frame_of([held[i] for i in range(_uart(profile).words)])


def _uart(profile: Profile) -> Uart:
    assert profile.uart is not None
    return profile.uart
