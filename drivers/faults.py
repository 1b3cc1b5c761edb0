"""What the faults of a world do to the bytes of a virtual device's reply, as pure functions.

silent   no answer
late     answers 0.1 to 3 reply time-outs later; its first character is seen before the rest, as on a wire
crc      the check sum is wrong
flip     one bit is wrong
split    comes in pieces with pauses
merge    a stale reply of this bus is glued before it
garbage  random bytes before it, or instead of it
echo     the request comes back first (two wires)
busy     exception 6 instead of the answer
unplug   a bus: its port is gone; a sensor: silent

What is a matter of time (`silent`, `late`, `echo`, `unplug`) is done by `drivers.virtual`. Several may hold
at once. Randomness is a passed generator.
"""

import random
from collections.abc import Set
from typing import Final

from drivers.modbus import exception_reply

_BUSY: Final = 6


def spoil(reply: bytes, stale: bytes, faults: Set[str], rng: random.Random) -> bytes:
    """The reply as the faults leave it; `stale` is what `merge` glues before it (may be empty)."""
    if "busy" in faults:
        reply = exception_reply(reply[0], reply[1], _BUSY)
    if "flip" in faults:
        bit = rng.randrange(len(reply) * 8)
        reply = bytes(b ^ (1 << bit % 8 if i == bit // 8 else 0) for i, b in enumerate(reply))
    if "crc" in faults:
        reply = reply[:-2] + bytes(b ^ 0xFF for b in reply[-2:])
    if "merge" in faults:
        reply = stale + reply
    if "garbage" in faults:
        noise = rng.randbytes(rng.randint(1, 16))
        reply = noise if rng.random() < 0.5 else noise + reply
    return reply


def pieces(data: bytes, faults: Set[str], char_s: float, rng: random.Random) -> list[tuple[float, bytes]]:
    """(seconds since the piece before, bytes): what is handed over when."""
    cuts, pauses_s = [len(data)], [0.0]
    if "split" in faults and len(data) > 1:
        cuts = sorted({rng.randrange(1, len(data)) for _ in range(2)}) + cuts
        # A USB adapter's latency timer is 16 ms: pauses shorter and longer than that and than the silence.
        pauses_s = [0.0] + [rng.uniform(0.001, 0.020) for _ in cuts[1:]]
    elif "late" in faults and len(data) > 1:
        cuts, pauses_s = [1, len(data)], [0.0, 0.0]
    starts = [0, *cuts[:-1]]
    return [
        (pause_s + (end - start) * char_s, data[start:end])
        for start, end, pause_s in zip(starts, cuts, pauses_s, strict=True)
    ]
