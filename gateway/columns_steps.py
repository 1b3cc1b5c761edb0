"""Whole numbers in columns as small steps, and steps as planes of bytes: what makes columns compress.

A column is its first number and the differences from row to row, as zigzag numbers (0, -1, 1, -2, ..), so that
small steps are small bytes. A *plane* holds one byte of each number: the lowest of all first numbers, the next
ones, then the lowest of all steps, and so on. A column has as many planes as its largest step needs; one that
stands still has none. Several arrays of columns lie end to end; `lengths` says how many rows each column has.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Lengths = NDArray[np.intp]

_BYTES_MAX: Final = 8


def starts_of(lengths: Lengths | list[int]) -> Lengths:
    """Where each column that has rows begins."""
    of = np.asarray(lengths, np.intp)
    return (np.cumsum(of) - of)[of > 0]


def steps_of(values: Ints, lengths: Lengths | list[int]) -> Ints:
    """The first value of each column, then the differences; int64 wraps around and back."""
    steps = np.diff(values, prepend=0)
    starts = starts_of(lengths)
    steps[starts] = values[starts]
    return steps


def sums_of(steps: Ints, lengths: Lengths) -> Ints:
    """The values of `_steps`."""
    values = np.cumsum(steps)
    starts = starts_of(lengths)
    return values - np.repeat(values[starts] - steps[starts], lengths[lengths > 0])


def places_of(steps: Ints, n: int) -> Ints:
    """Places below `n` from the steps between them. Raises ValueError."""
    places = np.cumsum(steps)
    if np.any((places < 0) | (places >= n)):
        raise ValueError("a place outside")
    return places


def to_planes(parts: tuple[tuple[Ints, Any], ...]) -> tuple[bytes, list[bytes]]:
    """Bytes a step of each column, and the planes: lowest bytes of all firsts, of all steps, next bytes, .."""
    steps = np.concatenate([steps for steps, _ in parts])
    lengths = np.concatenate([np.asarray(lengths, np.intp) for _, lengths in parts])
    zigzag = ((steps << 1) ^ (steps >> 63)).view(np.uint64)
    starts = starts_of(lengths)
    widths = np.zeros(len(lengths), np.uint8)
    is_first = np.zeros(len(steps), bool)
    is_first[starts] = True
    sizes = _bytes_needed(zigzag)
    sizes[starts] = 0
    if len(starts):
        widths[lengths > 0] = np.maximum.reduceat(sizes, starts)
    firsts, rest = zigzag[is_first], zigzag[~is_first]
    first_width = int(_bytes_needed(firsts).max(initial=0))
    per_step = np.repeat(widths, lengths)[~is_first]
    planes = [_byte(firsts, j) for j in range(first_width)]
    planes += [_byte(rest[per_step > j], j) for j in range(int(widths.max(initial=0)))]
    return bytes([first_width]) + widths.tobytes(), planes


def from_planes(raw: bytes, at: int, lengths: tuple[Lengths, ...]) -> list[Ints]:
    """The steps of each part, from its lengths and the planes that begin at `at`."""
    joined = np.concatenate(lengths)
    first_width = raw[at] if at < len(raw) else 0
    widths = np.frombuffer(raw, np.uint8, len(joined), at + 1)
    if first_width > 8 or np.any(widths > 8):
        raise ValueError("a step of more than 8 bytes")
    at += 1 + len(widths)
    n = int(joined.sum())
    zigzag = np.zeros(n, np.uint64)
    is_first = np.zeros(n, bool)
    is_first[starts_of(joined)] = True
    per_step = np.where(is_first, first_width, np.repeat(widths, joined))
    for of_group, width in ((is_first, first_width), (~is_first, int(widths.max(initial=0)))):
        for j in range(width):
            where = np.flatnonzero(of_group & (per_step > j))
            plane = np.frombuffer(raw, np.uint8, len(where), at)
            zigzag[where] |= plane.astype(np.uint64) << np.uint64(8 * j)
            at += len(plane)
    if at != len(raw):
        raise ValueError("another length than its columns")
    steps = (zigzag >> np.uint64(1)).view(np.int64) ^ -(zigzag & np.uint64(1)).view(np.int64)
    return np.split(steps, np.cumsum([int(of.sum()) for of in lengths])[:-1])


def _bytes_needed(numbers: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """0..8 for each number."""
    sizes = np.zeros(len(numbers), np.uint8)
    for j in range(8):
        is_more = numbers >> np.uint64(8 * j) > 0
        if not is_more.any():
            break
        sizes += is_more
    return sizes


def _byte(numbers: NDArray[np.uint64], j: int) -> bytes:
    return (numbers >> np.uint64(8 * j)).astype(np.uint8).tobytes()
