"""The wire: how much of a serial bus is used, back to back, on a pty that keeps the wire's time.

The virtual devices are a process of their own; they count frames that came into somebody's silence, and are the judges.
The baseline is the limit that the Modbus silence and the devices' millisecond leave: 100 % cannot be reached without
breaking the silence.
"""

import asyncio
import json
import random
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from drivers import modbus
from drivers.port import SerialPort
from drivers.virtual import TURNAROUND_S
from edge import config
from edge.bench.row import Row
from edge.clock import SystemClock
from edge.poller import Poller

_DEVICES, _FOR_S = 8, 4.0
_DEVICE = 'schema = 1\ntitle = "b"\nsource = "b"\nconfidence = "unproven"\n'
_HEAD = 'schema = 1\nward = { id = "w", name = "w" }\ngateway = { id = "g", place = "p" }\n'


def rows() -> Iterator[Row]:
    """Per cent of the wire's limit at three speeds, and broken silences."""
    for baud in (9600, 19200, 115200):
        share, early = measure(baud, _FOR_S)
        yield Row(f"wire at {baud}, 8 devices x 8 registers", share, "% of the limit", 100.0, "the limit", 1)
        yield Row(f"wire at {baud}, frames into a silence", float(early), "frames", 0.0, "none allowed", 1)


def measure(baud: int, for_s: float) -> tuple[float, int]:
    """Per cent of the wire's limit over `for_s`, and frames that broke a silence."""
    with tempfile.TemporaryDirectory(prefix="wardwatch-bench-") as name:
        folder = Path(name)
        site = _write(folder, baud)
        log = folder / "device.jsonl"
        argv = [sys.executable, "-m", "edge", "virtual", str(site), "--world", str(folder / "world.toml")]
        virtual = subprocess.Popen(
            [*argv, "--dir", str(folder / "ptys"), "--log", str(log)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        try:
            assert virtual.stdout is not None
            virtual.stdout.readline()
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(_poll(site, folder / "ptys", for_s))
        finally:
            virtual.terminate()
            virtual.wait()
        events = [json.loads(line) for line in log.read_text().splitlines()]
    times = [event["t_ns"] for event in events if event["what"] == "reply"]
    exchange_s = (8 + 21) * modbus.char_s(baud, "8N1") + 2 * modbus.silence_s(baud, "8N1") + TURNAROUND_S
    rate = (len(times) - 1) / ((times[-1] - times[0]) / 1e9)
    return 100 * rate * exchange_s, sum(event["what"] in ("early", "collision") for event in events)


async def _poll(site: Path, ptys: Path, for_s: float) -> None:
    loaded, problems = config.load(site)
    assert loaded is not None, problems
    [bus] = loaded.site.bus
    poller = Poller(
        bus,
        loaded.devices,
        open_port=lambda bus: SerialPort(str(ptys / "b"), bus.baud, bus.framing),
        channel_index={
            point.name: i for i, point in enumerate(p for d in loaded.devices for p in d.channels)
        },
        life_safety=frozenset(),
        clock=SystemClock(),
        rng=random.Random(1),
        handle=lambda batch: None,
        bus_is=lambda is_up, why: None,
    )
    task = asyncio.create_task(poller.run())
    await asyncio.sleep(for_s)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _write(folder: Path, baud: int) -> Path:
    (folder / "devices").mkdir()
    values = "".join(f'[[value]]\nkind = "raw_{i}"\ntable = "holding"\naddress = {i}\n' for i in range(8))
    (folder / "devices" / "bench-8.toml").write_text(_DEVICE + values)
    (folder / "world.toml").write_text("")
    text = _HEAD + 'place = [{ id = "p", name = "p" }]\n'
    text += f'bus = [{{ id = "b", port = "virtual:b", baud = {baud} }}]\n'
    for unit in range(1, _DEVICES + 1):
        text += f'[[sensor]]\nid = "s-{unit}"\ndevice = "bench-8"\nplace = "p"\nbus = "b"\nunit = {unit}\n'
        text += 'period_s = "max"\n'
    (folder / "site.toml").write_text(text)
    return folder / "site.toml"


def _new_loop() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop(selectors.SelectSelector())
