"""The real agent with a real broker and a real database: what arrives, over outages, kills and restarts.

Judged by the subscriber, by the rows of the database and by what the virtual devices counted, never by the agent.
"""

import asyncio
import contextlib
import itertools
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from aiomqtt import ProtocolVersion

from tests.rig import Rig, wait
from tests.servers import influxd, mosquitto, v2_path
from tests.test_contracts import PAGE

pytestmark = [pytest.mark.parts, pytest.mark.timeout(180)]

# A machine without a synchronised clock holds history back for ten minutes after its boot; here for a second.
LANE = (Path(__file__).parent / "sites" / "lane.toml").read_text() + "\n[limits]\ntime_hold_s = 1\n"
ROOT = "wardwatch/v1/xuan-dinh/xd-gw-07"
MQTT = '\n[[sink]]\nid = "ward-mqtt"\nkind = "mqtt"\nurls = ["mqtt://127.0.0.1:{}"]\n'
INFLUX = '\n[[sink]]\nid = "ward-influx"\nkind = "influx"\nurls = ["{}"]\norg = "ward"\nbucket = "ward"\n'


class Watcher:
    """Everything that a subscriber got, in a thread and loop of its own."""

    def __init__(self, port: int) -> None:
        self.got: list[tuple[str, bytes, dict[str, str]]] = []
        self._port = port
        self._stop = threading.Event()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        assert self._is_up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    async def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    "127.0.0.1",
                    self._port,
                    protocol=ProtocolVersion.V5,
                    identifier="watcher",
                    clean_start=False,
                ) as one:
                    await one.subscribe("wardwatch/#", qos=1)
                    self._is_up.set()
                    while not self._stop.is_set():
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(0.2):
                                m = await anext(one.messages)
                                words = dict(getattr(m.properties, "UserProperty", None) or [])
                                assert isinstance(m.payload, bytes)
                                self.got.append((str(m.topic), m.payload, words))
            await asyncio.sleep(0.05)

    def of(self, topic: str) -> list[bytes]:
        return [payload for name, payload, _ in self.got if name == f"{ROOT}/{topic}"]

    def history(self) -> dict[tuple[str, str], set[bytes]]:
        """(boot, seq) -> the different payloads under it: one, or a point was sent with two times."""
        found: dict[tuple[str, str], set[bytes]] = {}
        for name, payload, words in self.got:
            if name == f"{ROOT}/history":
                found.setdefault((words["boot"], words["seq"]), set()).add(payload)
        return found

    def lines(self) -> list[str]:
        return [
            line for payloads in self.history().values() for p in payloads for line in p.decode().splitlines()
        ]


def readings(lines: list[str]) -> list[tuple[str, int]]:
    """(sensor, ms) of every reading with a value."""
    found = []
    for line in lines:
        if line.startswith("reading,") and not re.search(r" quality=\d+i \d+$", line):
            sensor = re.search(r"sensor=([^, ]+)", line)
            assert sensor is not None
            found.append((sensor[1], int(line.rsplit(" ", 1)[1])))
    return found


@contextlib.contextmanager
def v2(server: Any) -> Iterator[str]:
    """The database's v2 path, served from a loop of its own."""
    ready: list[str] = []
    stop, is_up = threading.Event(), threading.Event()

    async def serve() -> None:
        async with v2_path(server) as url:
            ready.append(url)
            is_up.set()
            while not stop.is_set():  # noqa: ASYNC110  # an event of another thread
                await asyncio.sleep(0.05)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert is_up.wait(10)
    yield ready[0]
    stop.set()
    thread.join(10)


def settled(rig: Rig) -> bool:
    """Every sink has everything that is sealed."""
    told = rig.command(do="spool")["sinks"]
    return bool(told) and all(one["pending"] == 0 and one["delivered"] > 0 for one in told)


def test_readings_incidents_and_topics_reach_both_servers_once(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, influxd(tmp_path) as db, v2(db) as url, Watcher(broker.port) as seen:
        with Rig(tmp_path, LANE + MQTT.format(broker.port) + INFLUX.format(url)) as rig:
            rig.start_receiver("ok")
            rig.start_virtual()
            rig.start_agent()
            rig.until_up()
            rig.set("nut-5-12", "call_point", 1)
            wait(lambda: [p for p in seen.of("incident/xd-gw-07-1") if json.loads(p)["state"] == "confirmed"])
            wait(lambda: len(seen.of("live")) > 10)
            wait(lambda: settled(rig) and rig.command(do="spool")["sinks"][0]["delivered"] > 60, 60)
            sinks = rig.view()["sinks"]
            assert rig.stop_agent() == 0
        wait(lambda: json.loads(seen.of("status")[-1])["state"] == "offline")
        told = readings(seen.lines())
        assert len(told) == len(set(told)) > 60
        rows = db.rows("SELECT call_point, quality FROM reading WHERE sensor='nut-5-12'")
        mine = [ms for sensor, ms in told if sensor == "nut-5-12"]
        last = min(max(mine), rows[-1][0])
        assert [row[0] for row in rows if row[0] <= last and row[1] is not None] == [
            m for m in mine if m <= last
        ]
        assert db.rows("SELECT last(id) FROM incident")[0][1] == "xd-gw-07-1"
        assert db.rows("SELECT last(version) FROM gateway")[0][1]
    assert all(len(payloads) == 1 for payloads in seen.history().values())
    live = [row for p in seen.of("live") for row in json.loads(p)["r"]]
    # Live values are stamped at once, history when it is sealed: a millisecond apart at most, none is missing.
    at_once = {(row[0], row[1] + d) for row in live for d in (-2, -1, 0, 1, 2)}
    first = min(row[1] for row in live) + 2
    assert {one for one in told if one[1] > first} <= at_once
    topic = json.loads(seen.of("sensor/nut-5-12")[-1])
    assert (topic["values"], topic["level"]) == ({"call_point": 1.0}, 2)
    page = json.loads(re.search(r'^ "sinks":(\[.*\]),$', PAGE, re.MULTILINE)[1])  # type: ignore[index]
    assert [one.keys() for one in sinks] == [page[0].keys()] * 2


@pytest.mark.parametrize("blow", ["killed", "frozen"])
def test_an_outage_of_the_broker_with_a_kill_of_the_agent_in_it_loses_only_the_unsealed_tail(
    tmp_path: Path, blow: str
) -> None:
    with mosquitto(tmp_path, "persistence true", f"persistence_location {tmp_path}/") as broker:
        with Watcher(broker.port) as seen, Rig(tmp_path, LANE + MQTT.format(broker.port)) as rig:
            rig.start_receiver("ok")
            rig.start_virtual()
            rig.start_agent()
            rig.until_up()
            wait(lambda: settled(rig), 30)
            if blow == "killed":
                broker.kill()
            else:
                broker.freeze()
            wait(lambda: rig.command(do="spool")["sinks"][0]["pending"] > 20, 40)
            rig.kill_agent()
            rig.start_agent()
            rig.until_up()
            wait(lambda: rig.command(do="spool")["sinks"][0]["pending"] > 40, 40)
            if blow == "killed":
                broker.start()
            else:
                broker.thaw()
            wait(lambda: settled(rig), 60)
            assert rig.stop_agent() == 0
            counts = rig.agent_log()
        told = readings(seen.lines())
    assert all(len(payloads) == 1 for payloads in seen.history().values())  # no point has two times
    assert len(told) == len(set(told))
    # Every half second a reading of the call point, but for the kill: at most the unsealed ten seconds and the restart.
    times = sorted(ms for sensor, ms in told if sensor == "nut-5-12")
    gaps = [b - a for a, b in itertools.pairwise(times) if b - a > 1500]
    assert len(gaps) <= 1
    assert all(gap < 10_000 + 4_000 for gap in gaps)
    assert "Traceback" not in counts
