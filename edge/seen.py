"""What became of each question of a bus the last time: for people who look, and what a reply of it means."""

from dataclasses import dataclass

from drivers.line import Request
from drivers.reader import Read
from drivers.registers import Device
from models.reading import I4


@dataclass(slots=True)
class Seen:
    """What became of one question the last time, for people who look. `why`: "" = it was answered."""

    device: Device
    request: Request
    read: Read
    channels: I4  # of the core, as the reply has them
    heard: bytes = b""
    why: str = "not asked yet"
    at_s: float = 0.0  # loop seconds
    good_n: int = 0
    bad_n: int = 0  # since the last answer

    def note(self, heard: bytes, why: str, at_s: float) -> None:
        """An exchange ended."""
        self.heard, self.why, self.at_s = heard, why, at_s
        self.good_n, self.bad_n = (self.good_n, self.bad_n + 1) if why else (self.good_n + 1, 0)
