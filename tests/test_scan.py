"""`wardwatch scan`: who is on the bus, on real ptys; empty, noisy, doubled and pulled buses."""

import asyncio
import os
import random
import re
import selectors
import subprocess
import threading
import time
import tomllib
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers import modbus, reports
from drivers.pty import PtyServer
from drivers.registers import Device, lone
from drivers.scan import COMMON, worst_s
from drivers.stage import Stage
from drivers.virtual import VirtualWire, virtual_wire
from drivers.world import World
from edge import config
from models.site import Bus
from tests.rig import WARDWATCH

LIBRARY = config.library()
TRUTH = {"temperature_c": 30.5, "humidity_pct": 54.6, "rain_mm": 12.5, "pm2_5_ug_m3": 35.0, "distance_m": 1.5}


def there(name: str, unit: int) -> Device:
    return lone(name, LIBRARY[name], unit)


@contextmanager
def bus(folder: Path, devices: list[Device], unplug_after_s: float | None = None) -> Iterator[str]:
    """Virtual devices on a pty, served by a thread with a loop of its own; gives the path."""
    path, stop, ready = folder / "port", threading.Event(), threading.Event()

    async def serve() -> None:
        link = devices[0].profile.link
        stage = Stage(World(), asyncio.get_running_loop().time)
        one = Bus(id="b", port="virtual:port", baud=link.baud, framing=link.framing)
        alike = [Device("b", d.unit, d.name, d.profile, d.sensors, d.period_s, d.channels) for d in devices]
        wire: VirtualWire = virtual_wire(one, alike, stage, random.Random(1))
        server = PtyServer(wire, path)
        stage.begin()
        for device in alike:
            for point in device.channels:
                stage.set(device.sensors[0].id, point.kind, TRUTH.get(point.kind, 1.0))
        server.start()
        if unplug_after_s is not None:
            asyncio.get_running_loop().call_later(unplug_after_s, lambda: stage.fail("b", "unplug", 60.0))
        ready.set()
        await asyncio.to_thread(stop.wait)
        server.stop()

    def work() -> None:
        with asyncio.Runner(
            loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
        ) as runner:
            runner.run(serve())

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(10)
    try:
        yield str(path)
    finally:
        stop.set()
        thread.join()


@contextmanager
def raw(folder: Path, answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """A pty whose far end answers each read with `answer(data)`."""
    near, far = os.openpty()
    tty.setraw(far)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with selectors.DefaultSelector() as selector:
                selector.register(near, selectors.EVENT_READ)
                if selector.select(0.02):
                    out = answer(os.read(near, 256))
                    time.sleep(0.02)
                    os.write(near, out)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield os.ttyname(far)
    finally:
        stop.set()
        thread.join()
        os.close(near)
        os.close(far)


def scan(path: str, *more: str) -> subprocess.CompletedProcess[str]:
    argv = [*WARDWATCH, "scan", path, *more]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120)


@pytest.mark.parts
def test_three_devices_are_found_recognised_and_their_lines_make_a_site(tmp_path: Path) -> None:
    with bus(tmp_path, [there("xy-md02", 7), there("sen0575", 192), there("di-8", 3)]) as path:
        seen = scan(path, "--baud", "9600", "--units", "1-9,192", "--timeout", "60")
    assert seen.returncode == 0, seen.stdout + seen.stderr
    assert "unit 192  is sen0575  (rain_mm 12.5)" in seen.stdout
    assert re.search(r"unit 7 .*could be .*xy-md02.*temperature_c 30.5, humidity_pct 54.6", seen.stdout)
    assert re.search(r"unit 3 .*could be .*di-8", seen.stdout)
    lines = seen.stdout.split("reads it back):\n")[1]
    data = tomllib.loads(lines)
    assert data["bus"] == [{"id": "bus-1", "port": f"serial:{path}", "baud": 9600, "framing": "8N1"}]
    assert {(one["device"], one["unit"]) for one in data["sensor"]} == {
        ("xy-md02", 7),
        ("sen0575", 192),
        ("di-8", 3),
    }
    site = tmp_path / "site.toml"
    head = 'schema = 1\nward = { id = "w", name = "W" }\ngateway = { id = "g", place = "p" }\n'
    head += 'place = [{ id = "p", name = "P" }]\n'
    site.write_text(head + lines.replace("PLACE", "p").replace("KIND", "smoke_contact"))
    loaded, problems = config.load(site)
    assert loaded is not None, problems


@pytest.mark.parts
def test_an_empty_bus_ends_within_what_was_said_and_says_where_to_look(tmp_path: Path) -> None:
    with raw(tmp_path, lambda data: b"") as path:
        start_s = time.monotonic()
        seen = scan(path, "--units", "1-20", "--timeout", "60")
        took_s = time.monotonic() - start_s
    assert seen.returncode == 1
    said = re.search(r"at most (\d+) s", seen.stdout)
    assert said is not None
    assert took_s < int(said[1]) + 3  # the interpreter's start is not the scan's
    assert "1. supply" in seen.stdout
    assert "2. A and B" in seen.stdout


def test_the_whole_common_range_takes_less_than_three_minutes() -> None:
    assert worst_s(COMMON, 247) < 180


@pytest.mark.parts
def test_a_sensor_that_talks_by_itself_is_known_by_its_frames(tmp_path: Path) -> None:
    with bus(tmp_path, [there("a02yyuw", 1)]) as path:
        seen = scan(path, "--baud", "9600", "--units", "1-3")
    assert seen.returncode == 0, seen.stdout + seen.stderr
    assert re.search(r"talks by itself +could be .*a02yyuw", seen.stdout)
    assert "distance_m 1.5" in seen.stdout
    sensor = tomllib.loads(seen.stdout.split("reads it back):\n")[1])["sensor"][0]
    assert "unit" not in sensor


@pytest.mark.parts
def test_two_devices_with_one_number_are_told_as_that(tmp_path: Path) -> None:
    def both(data: bytes) -> bytes:
        if len(data) != 8 or data[0] != 5:
            return b""
        one = modbus.data_reply(5, data[1], b"\x01\x31")
        other = modbus.data_reply(5, data[1], b"\x02\x22")
        return bytes(a | b for a, b in zip(one, other, strict=True))

    with raw(tmp_path, both) as path:
        seen = scan(path, "--baud", "9600", "--units", "1-8", "--timeout", "60")
    assert seen.returncode == 1
    assert "something answers as unit 5, but never cleanly: two devices with that number" in seen.stdout


@pytest.mark.parts
def test_noise_is_called_noise_and_another_speed_is_proposed(tmp_path: Path) -> None:
    with raw(tmp_path, lambda data: bytes(range(0x80, 0x90))) as path:
        seen = scan(path, "--baud", "9600", "--units", "1-3", "--timeout", "60")
    assert seen.returncode == 1
    assert "another speed or parity is likely" in seen.stdout


@pytest.mark.parts
def test_an_adapter_that_is_pulled_ends_it_with_what_was_found(tmp_path: Path) -> None:
    with bus(tmp_path, [there("xy-md02", 1)], unplug_after_s=6.0) as path:
        seen = scan(path, "--baud", "9600", "--units", "1-247", "--timeout", "200")
    assert seen.returncode == 1
    assert "the scan ended:" in seen.stderr
    assert "1 found" in seen.stdout
    assert "xy-md02" in seen.stdout


def test_a_port_that_is_not_there_is_said(tmp_path: Path) -> None:
    seen = scan(str(tmp_path / "ttyUSB9"))
    assert seen.returncode == 1
    assert "there is no such port" in seen.stderr


@pytest.mark.parts
def test_it_only_ever_reads(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def note(data: bytes) -> bytes:
        asked.append(data)
        return b""

    with raw(tmp_path, note) as path:
        scan(path, "--baud", "9600,115200", "--units", "1-12,192", "--timeout", "40")
    harmless = {reports.ask(p) for p in LIBRARY.values() if p.uart is not None}
    for data in asked:
        assert data in harmless or (modbus.has_valid_crc(data) and data[1] in modbus.READS), data.hex(" ")
