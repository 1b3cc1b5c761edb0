"""Points as a ward makes them, for the benches of the store: the same seed gives the same points.

`ward`: levels walk in millimetres, temperature and humidity in tenths, dust in whole ug/m3 with noise, rain
tips 0.2 mm, and each reply carries its quality. `harness`: the registers of a measuring harness, as raw
numbers: a counter, a fast clock in two words, and values that stand still.
"""

import random
from collections.abc import Iterator

from gateway.series import Points, Row, Series, Value

MS = 1_000_000


class Device:
    """One device of eight values that is asked once a period."""

    def __init__(self, number: int, kind: str, rng: random.Random, fields: int = 8) -> None:
        self.rng, self.kind = rng, kind
        self.n = 0
        place = f"ngo-{number // 4}"
        tags = (
            ("gateway", "xd-gw-07"),
            ("place", place),
            ("sensor", f"{place}-{number}"),
            ("ward", "xuan-dinh"),
        )
        names = {
            "ward": (
                "depth_m",
                "distance_m",
                "temperature_c",
                "humidity_pct",
                "pm2_5_ug_m3",
                "co_ppm",
                "rain_mm",
                "battery_v",
            ),
            "harness": tuple(f"raw_{i}" for i in range(8)),
        }[kind][:fields]
        self.series = Series("reading", tags, (*names, "quality"))
        self.level_mm, self.rain_tips = rng.randrange(100, 900), rng.randrange(4000)
        self.temperature, self.humidity = rng.randrange(180, 340), rng.randrange(500, 950)
        self.dust, self.co = rng.uniform(5, 120), rng.uniform(0, 30)

    def row(self, site_ns: int) -> Row:
        """The next reply."""
        self.n += 1
        made = self._ward() if self.kind == "ward" else self._harness(site_ns)
        return site_ns, (*made[: len(self.series.fields) - 1], 0)

    def _harness(self, site_ns: int) -> tuple[Value, ...]:
        ticks = site_ns // 100_000
        number = float(self.n & 0xFFFF)
        return number, float(ticks >> 16 & 0xFFFF), float(ticks & 0xFFFF), 0.0, 1204.0, 905.0, 1333.0, 872.0

    def _ward(self) -> tuple[Value, ...]:
        rng = self.rng
        self.level_mm = max(0, self.level_mm + round(rng.gauss(0, 1.5)))
        self.temperature += rng.choice((-1, 0, 0, 0, 0, 0, 0, 1))
        self.humidity += rng.choice((-1, 0, 0, 0, 1))
        self.dust += rng.gauss(0, 0.3)
        self.co = max(0.0, self.co + rng.gauss(0, 0.1))
        self.rain_tips += rng.random() < 0.01
        return (
            self.level_mm / 1000,
            (3200 - self.level_mm) / 1000,
            self.temperature / 10,
            self.humidity / 10,
            float(max(0, round(self.dust + rng.gauss(0, 1.0)))),
            round(self.co + rng.gauss(0, 0.1), 1),
            self.rain_tips * 2 / 10,
            round(3.6 + rng.gauss(0, 0.004), 2),
        )


def batches(
    kind: str, n_devices: int, seal_s: int, *, seed: int = 1, fields: int = 8, grain_ns: int = MS
) -> Iterator[tuple[int, Points]]:
    """Endless (site ns of the newest row, points): every device once a second, asked back to back.

    Replies come 4 ms apart and late by some 100 us; `grain_ns` = 1 keeps every nanosecond of that.
    """
    rng = random.Random(seed)
    devices = [Device(i, kind, rng, fields) for i in range(n_devices)]
    second = 40_000
    while True:
        points: Points = {}
        newest = 0
        for _ in range(seal_s):
            second += 1
            for i, device in enumerate(devices):
                at = second * 1_000_000_000 + i * 4 * MS + round(rng.expovariate(1 / 150_000))
                newest = at // grain_ns * grain_ns
                points.setdefault(device.series, []).append(device.row(newest))
        yield newest, points
