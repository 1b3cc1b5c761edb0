"""What the spool gives and takes: plain records, to speak of without a database."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sealed:
    """One batch to send. (boot, seq) names its points for ever; wall time = site time + `offset_ns`."""

    seq: int
    boot: str
    offset_ns: int
    is_guessed: bool
    points: int
    codec: str
    payload: bytes

    @property
    def is_whole(self) -> bool:
        """Whether the payload is what was sealed; else a page of the card went bad."""
        return self.codec != ""


@dataclass(frozen=True, slots=True)
class Dead:
    """A piece that a server refused alone: line protocol, and the server's words."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class SinkCounts:
    """Points of one sink since it was added; `oldest_ns`: site time of the oldest pending batch."""

    produced: int
    delivered: int
    rejected: int
    dropped: int
    pending: int
    batches: int
    oldest_ns: int | None
