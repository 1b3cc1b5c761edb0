"""`wardwatch virtual` from outside: foreign Modbus clients, killed readers, pulled plugs, clean ends."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import serial
from pymodbus.client import ModbusSerialClient
from pymodbus.framer import FramerRTU

from tests.virtual_server import INPUT_1, MODULE, SITE, WORLD, Server, serving

pytestmark = pytest.mark.wire


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that change nothing."""
    with serving(tmp_path_factory.mktemp("virtual")) as running:
        yield running


def until(condition: Any, within_s: float = 5.0) -> None:
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s, "did not happen in time"
        time.sleep(0.005)


def ask(port: Path, request: bytes = MODULE, expected: int = 6) -> bytes:
    with serial.Serial(str(port), 9600, timeout=1.0) as line:
        line.reset_input_buffer()
        time.sleep(0.01)  # more than the silence
        line.write(request)
        return bytes(line.read(expected))


@contextmanager
def pymodbus(port: Path) -> Iterator[ModbusSerialClient]:
    client = ModbusSerialClient(str(port), baudrate=9600, timeout=2.0)
    assert client.connect()
    try:
        time.sleep(0.01)
        yield client
    finally:
        client.close()  # type: ignore[no-untyped-call]  # pymodbus leaves this one untyped


def test_pymodbus_reads_what_the_world_says(server: Server) -> None:
    with pymodbus(server.dir / "a") as client:
        inputs = client.read_discrete_inputs(0, count=8, device_id=1)
        time.sleep(0.01)
        distance = client.read_holding_registers(1, count=1, device_id=12)
        time.sleep(0.01)
        refused = client.read_coils(9, count=1, device_id=1)
    with pymodbus(server.dir / "b") as client:
        climate = client.read_input_registers(1, count=2, device_id=3)
    assert inputs.bits[:8] == [True] + [False] * 7
    assert distance.registers == [2986]  # 3.2 m above the street, 0.214 m of water
    assert climate.registers == [0x10000 - 101, 615]
    assert refused.isError()


def test_mbpoll_reads_what_the_world_says(server: Server) -> None:
    if shutil.which("mbpoll") is None:
        pytest.skip("mbpoll is not installed here (apt install mbpoll): libmodbus did not check the devices")
    for port, options, expected in [
        ("a", ["-a1", "-t1", "-r1", "-c8"], ["[1]: \t1", "[2]: \t0", "[8]: \t0"]),
        ("a", ["-a12", "-t4", "-r2", "-c1"], ["[2]: \t2986"]),
        ("b", ["-a3", "-t3", "-r2", "-c2"], ["[2]: \t65435 (-101)", "[3]: \t615"]),
    ]:
        command = ["mbpoll", "-mrtu", "-b9600", "-Pnone", "-1", "-o2", *options, str(server.dir / port)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        for line in expected:
            assert line in run.stdout


def test_an_exchange_takes_at_least_the_time_of_its_wire(server: Server) -> None:
    # 8 + 9 characters and the silence between: 21.35 ms at 9600 baud, whatever the machine does.
    request = bytes.fromhex("03 04 00 01 00 02 21 e9")
    with serial.Serial(str(server.dir / "b"), 9600, timeout=1.0) as line:
        for _ in range(5):
            time.sleep(0.01)
            start_s = time.monotonic()
            line.write(request)
            assert len(line.read(9)) == 9
            assert time.monotonic() - start_s > (8 + 3.5 + 9) * 10 / 9600 - 0.0005


def test_a_killed_reader_leaves_the_port_for_the_next_one(server: Server) -> None:
    reader = (
        "import serial, sys, time\n"
        f"line = serial.Serial({str(server.dir / 'a')!r}, 9600, timeout=1, exclusive=True)\n"
        f"line.write(bytes.fromhex({MODULE.hex()!r}))\n"
        "print('asked', flush=True)\ntime.sleep(60)\n"
    )
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", reader], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"asked\n"
            process.kill()  # with its reply on the wire
        time.sleep(0.05)
        assert ask(server.dir / "a") == INPUT_1


def test_a_plug_that_is_pulled_hangs_up_and_comes_back_under_the_same_name(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        descriptors = Path(f"/proc/{server.process.pid}/fd")
        n_open = len(list(descriptors.iterdir()))
        # Opened without any setting: the port is raw by itself, it echoes nothing.
        line = os.open(server.dir / "a", os.O_RDWR | os.O_NOCTTY)
        os.write(line, MODULE)
        assert select.select([line], [], [], 2.0)[0]
        assert os.read(line, 64) == INPUT_1
        time.sleep(0.01)
        os.write(line, MODULE)  # the plug goes while this is on the wire
        server.tell(fault={"target": "bus-a", "fault": "unplug", "for_s": 0.4})
        until(lambda: not os.path.lexists(server.dir / "a"))
        assert (server.dir / "b").is_symlink()
        assert select.select([line], [], [], 2.0)[0]
        with pytest.raises(OSError, match="Input/output"):  # as an adapter that is gone
            os.read(line, 10) or os.write(line, MODULE)
        os.close(line)
        until(lambda: (server.dir / "a").exists())
        assert ask(server.dir / "a") == INPUT_1
        assert len(list(descriptors.iterdir())) == n_open


def test_a_hand_changes_the_world_and_the_device_times_the_change(tmp_path: Path) -> None:
    with serving(tmp_path, "--log", str(tmp_path / "log.jsonl")) as server:
        port = server.dir / "a"
        ask(port)
        server.tell(set={"sensor": "nut", "kind": "call_point", "value": 1})
        server.tell(set={"sensor": "nut", "kind": "call_pont", "value": 1})  # named, and nothing happens
        server.tell(fault={"target": "nobody", "fault": "silent"})
        assert server.process.stdin is not None
        server.process.stdin.write(b"\xff{nonsense\n")
        server.process.stdin.close()  # the end of stdin is not the end of the sensors
        server.process.stdin = None
        time.sleep(0.1)
        before_ns = time.monotonic_ns()
        assert ask(port)[3] == 0b101
        after_ns = time.monotonic_ns()
        assert ask(port)[3] == 0b101
        code, err = server.end(signal.SIGTERM)
        assert code == 0
        for named in ("call_pont", "nobody", "not understood"):
            assert named in err
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["what"] for row in rows] == ["reply"] * 3
    assert [row["changed"] for row in rows] == [["khoi/smoke_contact"], ["nut/call_point"], []]
    assert before_ns < rows[1]["t_ns"] < after_ns
    assert {(row["bus"], row["unit"]) for row in rows} == {("bus-a", 1)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    with serving(tmp_path) as server:
        assert sorted(p.name for p in server.dir.iterdir()) == ["a", "b"]
        assert server.end(number) == (0, "")
        assert not server.dir.exists()


def test_it_ends_with_its_parent_when_told_so(tmp_path: Path) -> None:
    with serving(tmp_path, "--until-stdin-closes") as server:
        server.process.communicate(timeout=10)
        assert server.process.returncode == 0
        assert not server.dir.exists()


def test_links_of_a_killed_server_are_taken_over_and_files_are_not(tmp_path: Path) -> None:
    ports = tmp_path / "ports"
    ports.mkdir()
    (ports / "a").symlink_to("/dev/pts/gone")
    with serving(tmp_path) as server:
        assert ask(server.dir / "a") == INPUT_1
    assert list(ports.iterdir()) == []  # a folder that was there stays
    (ports / "b").write_text("precious")
    server = Server(tmp_path)
    _, err = server.process.communicate(timeout=10)
    assert server.process.returncode == 1
    assert str(ports / "b") in err.decode()
    assert [p.name for p in ports.iterdir()] == ["b"]


@pytest.mark.parametrize(
    ("site", "world", "named"),
    [
        (SITE.replace("schema = 1", "schema = 99"), WORLD, "schema"),  # a wrong site
        (SITE, WORLD.replace("humidity_pct", "humidity"), "value[3].kind"),  # a wrong row
        (SITE, "[[value]", "world.toml"),  # no TOML
        (SITE, WORLD.replace('"khoi"', '"khoai"'), 'write "khoi"'),  # no such sensor
        (SITE.replace("virtual:", "serial:/dev/tty"), WORLD, "virtual:NAME"),  # nothing to play
    ],
)
def test_a_wrong_site_or_world_is_told_with_exit_code_2_and_nothing_is_made(
    tmp_path: Path, site: str, world: str, named: str
) -> None:
    server = Server(tmp_path, site=site, world=world)
    out, err = server.process.communicate(timeout=10)
    assert server.process.returncode == 2
    assert (out, named in err.decode()) == (b"", True), err.decode()
    assert not server.dir.exists()


def test_the_expected_frame_is_what_pymodbus_says() -> None:
    assert FramerRTU.compute_CRC(INPUT_1[:-2]).to_bytes(2, "big") == INPUT_1[-2:]
    assert FramerRTU.compute_CRC(bytes.fromhex("03 04 00 01 00 02")).to_bytes(2, "big") == bytes.fromhex(
        "21 e9"
    )
