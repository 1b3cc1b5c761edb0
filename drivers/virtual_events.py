"""What a virtual bus tells about itself: events for logs and benches, and plain counters.

A reply's time is that of its last byte at the device, so that nobody has to believe the one who asked.
"""

from dataclasses import dataclass, field

from drivers.modbus import READS, parse_read
from drivers.registers import FUNCTION, Device


@dataclass(frozen=True, slots=True)
class Event:
    """Something ended on the wire at `t_s` (the loop's clock): the last byte of a reply or a refused frame.

    `what`: reply, early, collision, bad. `changed`: channels whose contact this reply reports for the first
    time as other than before (open before the first reply); empty when a fault makes the reply unusable.
    """

    t_s: float
    bus: str
    unit: int
    what: str
    changed: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(slots=True)
class BusStats:
    """Plain counters. `foreign_frames` ask a unit that is not here; `busy_s`: characters on the wire."""

    requests: int = 0
    replies: int = 0
    early_frames: int = 0
    collisions: int = 0
    bad_frames: int = 0
    foreign_frames: int = 0
    undelivered: int = 0
    busy_s: float = 0.0
    requests_by_unit: dict[int, int] = field(default_factory=dict)
    replies_by_unit: dict[int, int] = field(default_factory=dict)


def told_channels(device: Device, frame: bytes, reply: bytes) -> set[str]:
    """The channels whose first register or bit the reply to a checked frame carries."""
    if reply[1] not in READS or len(frame) != 8:
        return set()
    _, function, first, count = parse_read(frame)
    return {
        point.name
        for point in device.channels
        if FUNCTION[point.value.table] == function and first <= point.value.address < first + count
    }


def count(by_unit: dict[int, int], unit: int) -> None:
    """One more for this unit."""
    by_unit[unit] = by_unit.get(unit, 0) + 1
