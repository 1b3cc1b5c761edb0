"""Floats of sensors as whole numbers: v = k / 10**d, or float32(k / 10**d) where a device answers in float32.

A column has one grid: 0..6 is d, 8..14 the same in float32. What is not on it (NaN, -0.0, infinities, finer
values) is *odd*: the caller keeps it beside the column, and its step repeats the one before. Division gives
the nearest float64 of a decimal number, so k / 10**d is exact for whatever a driver divided likewise.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.columns_steps import Ints, Lengths, starts_of

Floats = NDArray[np.float64]

GRIDS: Final = 16  # codes below are grids
_F32: Final = 8
_DIGITS_MAX: Final = 6
_EXACT_MAX: Final = float(1 << 53)  # whole numbers beyond are not all float64


def to_grid(values: Floats, lengths: Lengths) -> tuple[NDArray[np.uint8], Ints, Ints]:
    """The grid of each column, its values as whole steps of it, and where the odd ones stand."""
    if not len(values):
        return np.zeros(len(lengths), np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64)
    digits = _digits(values, is_f32=False)
    starts = starts_of(lengths)
    grids = np.maximum.reduceat(np.where(digits > _DIGITS_MAX, 0, digits), starts)
    missed = np.add.reduceat((digits > _DIGITS_MAX).astype(np.intp), starts)
    if missed.any():  # seldom: most devices answer in whole numbers
        digits = _digits(values, is_f32=True)
        single = np.maximum.reduceat(np.where(digits > _DIGITS_MAX, 0, digits), starts)
        is_better = np.add.reduceat((digits > _DIGITS_MAX).astype(np.intp), starts) < missed
        grids = np.where(is_better, single + _F32, grids)
    per_value = np.repeat(grids, lengths)
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.rint(values * 10.0 ** (per_value & 7))
    steps = np.where(np.abs(steps) <= _EXACT_MAX, steps, 0.0).astype(np.int64)
    is_odd = from_grid(steps, per_value).view(np.int64) != values.view(np.int64)
    odd = np.flatnonzero(is_odd)
    if len(odd):  # an odd value repeats the one before it: no step
        last = np.maximum.accumulate(np.where(is_odd, np.repeat(starts, lengths), np.arange(len(values))))
        steps = steps[last]
    return grids.astype(np.uint8), steps, odd


def _digits(values: Floats, *, is_f32: bool) -> Lengths:
    """How many decimals each value needs, 0.._DIGITS_MAX; more where it is on no such grid."""
    digits = np.full(len(values), _DIGITS_MAX + 1, np.intp)
    left = np.flatnonzero(np.abs(values) < _EXACT_MAX)  # no NaN, no infinity
    for d in range(_DIGITS_MAX + 1):
        if not len(left):
            break
        wanted = values[left]
        found = np.rint(wanted * 10.0**d) / 10.0**d
        is_on = (found.astype(np.float32).astype(np.float64) if is_f32 else found) == wanted
        digits[left[is_on]] = d
        left = left[~is_on]
    return digits


def from_grid(steps: Ints, grids: NDArray[np.uint8] | Lengths) -> Floats:
    """The values of whole steps on their grids."""
    values = steps / 10.0 ** (grids & 7)
    is_f32 = grids >= _F32
    if is_f32.any():
        with np.errstate(over="ignore"):
            values = np.where(is_f32, values.astype(np.float32).astype(np.float64), values)
    return values
