"""Site files for the benches: many contact modules, every contact at a place of its own."""

MODULES = 63
INPUTS = 8

_HEAD = """schema = 1
[ward]
id = "bench"
name = "Bench"
[gateway]
id = "gw"
place = "gate"
[[place]]
id = "gate"
name = "Gate"
[[bus]]
id = "bus-1"
port = "virtual:bus-1"
baud = 115200
[limits]
repeat_s = 86400
[[notifier]]
id = "duty-hook"
kind = "webhook"
url = "URL"
credential = "duty-hook"
"""


def many_call_points(n: int, period_s: float = 0.5, url: str = "http://127.0.0.1:PORT/hook") -> str:
    """A site of `n` call points (at most 504) on one bus, each with its own place and fire alarm."""
    assert n <= MODULES * INPUTS
    parts = [_HEAD.replace("URL", url)]
    for i in range(n):
        unit, number = i // INPUTS + 1, i % INPUTS + 1
        parts.append(f"""[[place]]
id = "p-{i}"
name = "Nhà {i}"
lat = 21.07
lon = 105.79
[[sensor]]
id = "nut-{i}"
device = "di-8"
bus = "bus-1"
unit = {unit}
input = {number}
kind = "call_point"
place = "p-{i}"
period_s = {period_s}
[[alarm]]
id = "fire-{i}"
hazard = "fire"
place = "p-{i}"
""")
    return "".join(parts)
