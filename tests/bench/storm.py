"""Late-reply storm: one unit, one function, one count, and a device that answers 0.1 to 3 time-outs too late.

Every reply carries the number of the question that it answers, so a reply that is taken for another one
shows. The device answers in order and each question once, the resync reads too. Run it: `python -m
tests.bench.storm [SEED]`.
"""

import random
import sys
import time
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from drivers import modbus, registers
from drivers.line import Line, LineStats, WireError
from drivers.profile import parse
from models.site import Bus, Gateway, Place, Sensor, Site, Ward
from tests.wire import WirePort, in_virtual_time

DEVICES = Path(modbus.__file__).parent / "devices"
BAUD = 9600


@dataclass(frozen=True, slots=True)
class Storm:
    """What came of it. `wrong`: values that answered an earlier question."""

    exchanges: int
    values: int
    wrong: int
    too_early: int
    stats: LineStats
    virtual_s: float


def device_of(name: str) -> registers.Device:
    """A device of the library with one sensor (a module: one for each input)."""
    profile, problems = parse(name, tomllib.loads((DEVICES / f"{name}.toml").read_text()))
    assert profile is not None, problems
    sensors = [Sensor(id="s-1", device=name, place="p", bus="b", unit=7)]
    if profile.inputs is not None:
        sensors = [
            Sensor(id=f"s-{i}", device=name, place="p", bus="b", unit=7, input=i, kind="smoke_contact")
            for i in range(1, profile.inputs.count + 1)
        ]
    site = Site(
        schema=1, ward=Ward(id="w", name="w"), gateway=Gateway(id="g", place="p"), place=(Place(id="p",
        name="p"),), bus=(Bus(id="b", port="virtual:b"),), sensor=tuple(sensors),
    )  # fmt: skip
    return registers.devices(site, {name: profile})[0]


def storm(name: str, n: int, seed: int, *, late_timeouts: float, is_deaf_to_resync: bool = False) -> Storm:
    """`n` exchanges with the first request of a device; `late_ms` is so many time-outs."""
    device = device_of(name)
    rng = random.Random(seed)
    timeout_s = device.profile.link.reply_ms / 1e3
    request = registers.requests(device)[0]
    request = replace(request, late_ms=late_timeouts * request.timeout_ms)
    asked = 0
    free_s = 0.0

    def number(count: int) -> int:
        return count % 256 if device.profile.inputs else count % 30_000 + 1000

    def world(sensor: str, kind: str) -> float:
        if device.profile.inputs:
            return float(number(asked) >> (int(sensor[2:]) - 1) & 1)
        return number(asked) / {"distance_m": 1000, "temperature_c": 1e9, "humidity_pct": 1e9}[kind]

    def script(tx: bytes) -> list[tuple[float, bytes]]:
        nonlocal asked, free_s
        if tx != request.tx and is_deaf_to_resync:
            return []
        asked += tx == request.tx
        reply = registers.answer(device, tx, world)
        assert reply is not None
        delay_s = timeout_s * (rng.uniform(0.02, 0.9) if rng.random() < 0.5 else 1 + rng.uniform(0.1, 3.0))
        start_s = max(free_s, port.loop.time() + delay_s)
        free_s = start_s + (len(reply) + 4) * port.char_s
        return [(start_s - port.loop.time(), reply)]

    port = WirePort(script, BAUD)

    async def ask() -> Storm:
        line = Line(port, BAUD, "8N1")
        await line.open()
        values = wrong = 0
        for _ in range(n):
            try:
                reply = await line.exchange(request)
            except WireError:
                continue
            values += 1
            data = modbus.reply_data(reply)
            wrong += int.from_bytes(data, "big") != number(asked)
        line.close()
        return Storm(n, values, wrong, port.frames_too_early, line.stats, port.loop.time())

    return in_virtual_time(ask)


CASES = [
    ("sen0676", 3.5, False),  # every late reply falls into the time of being left alone
    ("sen0676", 1.0, False),  # most come after it: the resync read must tell them apart
    ("di-8", 3.5, False),
    ("di-8", 1.0, False),  # up to 8 inputs have one reply length: the resync read asks for 9 and is refused
    ("sen0676", 1.0, True),  # a device that ignores the resync read: the stated arithmetic alone
]


def main(seed: int) -> int:
    """Print one line for each case; 1 when anything is wrong."""
    is_bad = False
    for name, late, deaf in CASES:
        start = time.perf_counter()
        s = storm(name, 10_000, seed, late_timeouts=late, is_deaf_to_resync=deaf)
        is_bad = is_bad or bool(s.wrong or s.too_early)
        print(
            f"{name:8} late_ms={late:.1f} time-outs{' deaf' if deaf else '     '} seed={seed}: "
            f"{s.exchanges} exchanges, {s.values} values, wrong {s.wrong}, too early {s.too_early}, "
            f"late replies {s.stats.late_replies}, resyncs {s.stats.resyncs}, "
            f"{s.virtual_s:.0f} s of wire in {time.perf_counter() - start:.1f} s"
        )
    return int(is_bad)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
