"""One thing that is wrong in a file, with the place and what to write instead."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """`path` is dotted (`sensor.ngo-12-level.period_s`), `instead` tells what to write.

    A notice is something that is only absent on this machine or worth knowing; it never stops `run`.
    """

    path: str
    what: str
    instead: str = ""
    is_notice: bool = False
