"""Real servers on free loopback ports, one fresh instance a test: mosquitto, InfluxDB 1.6.7 behind its v2 path.

Each is a context manager that gives its port and ends with the process gone. `freeze` and `thaw` stop a process without
closing its sockets: to a client that is a black hole.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, web

START_S = 15.0


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def need(program: str) -> str:
    """The program's path; without it the test is skipped (CI may not skip: tests/conftest.py)."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if path is None:
        pytest.skip(f"needs {program} (Debian package; deploy/test installs it)")
    return path


class Server:
    """One process that listens on `port`; it can be killed and started again on the same port and data."""

    def __init__(self, argv: list[str], port: int, log: Path) -> None:
        self.argv, self.port, self._log = argv, port, log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Until it takes connections."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, stdout=log, stderr=log, env={**os.environ, "HOME": "/tmp"}
            )
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.5):
                return
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, f"{self.argv[0]} does not listen"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """It answers nothing more, and no socket closes."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """Started on entry, gone on exit."""
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def mosquitto(folder: Path, *lines: str, listener: str = "") -> Iterator[Server]:
    """A broker that lets everybody in. `lines` are added to its configuration, `listener` to the port's own."""
    program, port = need("mosquitto"), free_port()
    own = ["allow_anonymous true"] if not any(line.startswith("allow_anonymous") for line in lines) else []
    conf = folder / f"mosquitto-{port}.conf"
    conf.write_text("\n".join([f"listener {port} 127.0.0.1", listener, *own, "user root", *lines]) + "\n")
    with running(Server([program, "-c", str(conf)], port, folder / "mosquitto.log")) as server:
        yield server


INFLUX_CONF = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{dir}/meta"
[data]
dir = "{dir}/data"
wal-dir = "{dir}/wal"
index-version = "inmem"
query-log-enabled = false
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
[subscriber]
enabled = false
[continuous_queries]
enabled = false
"""


class Influxd(Server):
    """InfluxDB 1.6.7."""

    def query(self, text: str, db: str = "ward") -> Any:
        """The JSON answer to InfluxQL."""
        words = urllib.parse.urlencode({"q": text, "db": db, "epoch": "ms"}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/query", words, timeout=10) as answer:
            return json.load(answer)

    def rows(self, text: str, db: str = "ward") -> list[list[Any]]:
        """The rows of all series of a query."""
        [result] = self.query(text, db)["results"]
        return [row for series in result.get("series", ()) for row in series["values"]]


@contextlib.contextmanager
def influxd(folder: Path, db: str = "ward") -> Iterator[Influxd]:
    """A database `db`."""
    program, port = need("influxd"), free_port()
    conf = folder / f"influx-{port}.conf"
    conf.write_text(INFLUX_CONF.format(dir=folder / f"influx-{port}", port=port, rpc=free_port()))
    server = Influxd([program, "-config", str(conf)], port, folder / "influx.log")
    with running(server):
        server.query(f"CREATE DATABASE {db}")
        yield server  # type: ignore[misc]  # it is that very server


class VictoriaMetrics(Server):
    """VictoriaMetrics; it takes the v2 write path itself."""

    def values(self, match: str) -> dict[str, int]:
        """How many points each series has."""
        words = urllib.parse.urlencode({"match[]": match})
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.port}/api/v1/export?{words}&reduce_mem_usage=1", timeout=10
        ) as answer:
            rows = [json.loads(line) for line in answer]
        found: Counter[str] = Counter()
        for row in rows:
            found[row["metric"]["__name__"] + "/" + row["metric"].get("sensor", "")] += len(row["timestamps"])
        return found


@contextlib.contextmanager
def victoria_metrics(folder: Path) -> Iterator[VictoriaMetrics]:
    """A single node that keeps everything."""
    program, port = need("victoria-metrics"), free_port()
    argv = [program, f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={folder / 'vm'}", "-retentionPeriod=100y",
            "-search.latencyOffset=0s", "-dedup.minScrapeInterval=1ms"]  # fmt: skip
    server = VictoriaMetrics(argv, port, folder / "vm.log")
    with running(server):
        yield server  # type: ignore[misc]  # it is that very server


@contextlib.asynccontextmanager
async def v2_path(server: Influxd) -> AsyncIterator[str]:
    """The v2 write path in front of 1.6.7: gives the URL to write to. Bodies and answers pass through."""
    precisions = {"ns": "n", "us": "u", "ms": "ms", "s": "s"}

    async def write(request: web.Request) -> web.StreamResponse:
        words = {"db": request.query["bucket"], "precision": precisions[request.query["precision"]]}
        headers = {k: v for k, v in request.headers.items() if k.lower() == "content-encoding"}
        target = f"http://127.0.0.1:{server.port}/write"
        try:
            async with session.post(
                target, params=words, data=await request.read(), headers=headers
            ) as answer:
                body = await answer.read()
                return web.Response(status=answer.status, body=body, content_type="application/json")
        except ClientError:  # the database is away: so is what stands before it
            return web.Response(status=503, text='{"code":"unavailable","message":"away"}')

    session = ClientSession(auto_decompress=False)
    app = web.Application(client_max_size=50_000_000)
    app.router.add_post("/api/v2/write", write)
    runner = web.AppRunner(app, auto_decompress=False, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await session.close()


async def eventually(ready: Any, within_s: float = 20.0) -> Any:
    """Poll until `ready()` gives something true."""
    deadline = time.monotonic() + within_s
    while not (found := ready()):
        assert time.monotonic() < deadline, f"not within {within_s} s"
        await asyncio.sleep(0.02)
    return found
