"""The core: a reply of eight values decoded, judged and put into the open batch, against what a bare script does.

The bare script unpacks the same reply and makes a JSON text of it: no judgement, no flags, nothing kept.
"""

import json
import struct
from collections.abc import Iterator

import numpy as np

from drivers import modbus, registers
from drivers.profile import parse
from drivers.reader import reader
from edge.bench.row import RUNS, Row, each_us
from edge.history import History
from edge.readings import Readings
from models.judge import Channel, Judge
from models.reading import KINDS, Batch
from models.site import Bus, Gateway, Place, Sensor, Site, Ward

_CALLS = 5_000
_S = 1_000_000_000


def rows() -> Iterator[Row]:
    """Microseconds for one reply of eight values."""
    site, device = _site()
    [request] = registers.requests(device)
    reply = modbus.data_reply(1, modbus.READ_HOLDING, struct.pack(">8H", *range(100, 108)))
    channels = [_channel(name) for name in request.channels]
    judge, readings, history = Judge(channels, [], 0), Readings(channels), History(site)
    read, indexes = reader(device, request), np.arange(8, dtype=np.int32)

    def ours() -> None:
        values, flags = read(reply)
        batch = Batch(_S, indexes, np.array(values), np.array(flags, np.uint32))
        for reading in readings.of(judge.judge(batch).batch):
            history.reading(reading)
        if history.points_n > 1_000:
            history.take()

    def bare() -> None:
        words = struct.unpack(">8H", reply[3:-2])
        json.dumps({"t": 1_763_925_247_000, **{f"raw_{i}": word for i, word in enumerate(words)}}).encode()

    yield Row(
        "core, a reply of 8 values",
        each_us(ours, _CALLS),
        "us",
        each_us(bare, _CALLS),
        "unpack and JSON",
        RUNS,
    )


def _channel(name: str) -> Channel:
    sensor, kind = name.split("/")
    return Channel(name, sensor, kind, "p", _S, 30 * _S, 0, KINDS[kind].low, KINDS[kind].high)


def _site() -> tuple[Site, registers.Device]:
    values = [{"kind": f"raw_{i}", "table": "holding", "address": i} for i in range(8)]
    profile, problems = parse(
        "bench", {"schema": 1, "title": "b", "source": "b", "confidence": "unproven", "value": values}
    )
    assert profile is not None, problems
    sensor = Sensor(id="s", device="bench", place="p", bus="b", unit=1)
    table = {
        "schema": 1,
        "ward": Ward(id="w", name="w"),
        "gateway": Gateway(id="g", place="p"),
        "place": (Place(id="p", name="p"),),
        "bus": (Bus(id="b", port="virtual:b"),),
        "sensor": (sensor,),
    }
    site = Site.model_validate(table)
    return site, registers.devices(site, {"bench": profile})[0]
