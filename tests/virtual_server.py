"""`wardwatch virtual` as a child process, with a small site and world, for tests that talk to it from outside."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SITE = """
schema = 1
ward = { id = "w", name = "Phường Thử" }
gateway = { id = "g", place = "p" }
[[place]]
id = "p"
name = "Ngõ 1"
[[bus]]
id = "bus-a"
port = "virtual:a"
baud = 9600
[[bus]]
id = "bus-b"
port = "virtual:b"
baud = 9600
[[sensor]]
id = "khoi"
device = "di-8"
bus = "bus-a"
unit = 1
place = "p"
input = 1
kind = "smoke_contact"
[[sensor]]
id = "nut"
device = "di-8"
bus = "bus-a"
unit = 1
place = "p"
input = 3
kind = "call_point"
[[sensor]]
id = "muc-nuoc"
device = "sen0676"
bus = "bus-a"
unit = 12
place = "p"
mount_height_m = 3.2
[[sensor]]
id = "nhiet"
device = "xy-md02"
bus = "bus-b"
unit = 3
place = "p"
"""
WORLD = """
[[value]]
t_s = 0
sensor = "muc-nuoc"
kind = "depth_m"
value = 0.214
[[value]]
t_s = 0
sensor = "nhiet"
kind = "temperature_c"
value = -10.1
[[value]]
t_s = 0
sensor = "nhiet"
kind = "humidity_pct"
value = 61.5
[[value]]
t_s = 0
sensor = "khoi"
kind = "smoke_contact"
value = 1
"""
MODULE = bytes.fromhex("01 02 00 00 00 08 79 cc")
INPUT_1 = bytes.fromhex("01 02 01 01 60 48")  # relay.toml's layout, CRC by pymodbus (asserted below)


class Server:
    """A running `wardwatch virtual`."""

    def __init__(self, folder: Path, *options: str, site: str = SITE, world: str = WORLD) -> None:
        (folder / "site.toml").write_text(site)
        (folder / "world.toml").write_text(world)
        self.dir = folder / "ports"
        command = [sys.executable, "-m", "edge", "virtual", str(folder / "site.toml")]
        command += ["--world", str(folder / "world.toml"), "--dir", str(self.dir), *options]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def wait_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().decode() == f"ready {self.dir}\n", self.end(signal.SIGKILL)

    def tell(self, **order: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()

    def end(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=10)
        return self.process.returncode, err.decode()


@contextmanager
def serving(folder: Path, *options: str, **texts: str) -> Iterator[Server]:
    server = Server(folder, *options, **texts)
    try:
        server.wait_ready()
        yield server
    finally:
        if server.process.poll() is None:
            server.end(signal.SIGTERM)
