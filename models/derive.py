"""Channels made of others. Today: depth of water over the street from a distance to it.

depth_m = mount_height_m - distance_m. A negative depth stays (water below the street: forecasts need it), NaN
stays NaN, and of an impossible distance (RANGE) no depth is made. The mother's flags are carried over,
translated: "at least this far" is "at most this deep" and the other way round.

Rounded to a micrometre: 2.5 - 2.2 is 0.2999999999999998 in binary and would miss a limit of
0.30 that the water reached.

Source: domain facts, distance to depth (H_mount - d). Confidence: certain. Not yet: speed of sound by air
temperature.
"""

from typing import Final

import numpy as np

from models.kernels import f8, i8, jit
from models.reading import BOUNDED, Quality

_LOW: Final = int(Quality.BOUND_LOW)
_HIGH: Final = int(Quality.BOUND_HIGH)
_NOT_BOUNDED: Final = ~int(BOUNDED)
_PER_M: Final = 1e6


@jit(f8(f8, f8))
def depth_m(mount_height_m: float, distance_m: float) -> float:
    """Water over the street, m, to a micrometre.

    >>> depth_m(2.5, 2.2), depth_m(3.2, 3.25)
    (0.3, -0.05)
    """
    return float(np.rint((mount_height_m - distance_m) * _PER_M) / _PER_M)


@jit(i8(i8))
def depth_flags(flags: int) -> int:
    """The distance's flags as the depth carries them."""
    turned = flags & _NOT_BOUNDED
    if flags & _LOW:
        turned |= _HIGH
    if flags & _HIGH:
        turned |= _LOW
    return turned
