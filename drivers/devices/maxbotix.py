r"""MaxBotix ultrasonic lines: `R1234\r` in mm (HRXL), `R123\r` in cm (XL). Word 0 is that number.

Boot text also begins with R ("RoHS"); stray FF bytes and a blank before the end occur.

Source: MaxBotix PD11500, PD12141, esphome (domain.md 4.1).
"""

import re
from collections.abc import Sequence
from typing import Final

from drivers.uart import Family, Words, cut_line

_END: Final = b"\r"


def _family(digits: int) -> Family:
    line = re.compile(rb"\xff*R(\d{%d}) ?\r" % digits)

    def cut(data: bytes) -> tuple[bytes, int]:
        return cut_line(data, _END, lambda text: line.fullmatch(text) is not None)

    def words_of(frame: bytes) -> Words | None:
        found = line.fullmatch(frame)
        return (int(found[1]),) if found else None

    def frame_of(words: Sequence[int]) -> bytes:
        return b"R%0*d\r" % (digits, min(words[0], 10**digits - 1))

    return Family(cut, words_of, frame_of, every_s=0.15)


MILLIMETRES: Final = _family(4)
CENTIMETRES: Final = _family(3)
