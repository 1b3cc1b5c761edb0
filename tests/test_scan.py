"""`wardwatch scan` on real ptys: virtual devices in another process, and raw ends for what they do not do."""

import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
import tomllib
import tty
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from drivers import modbus
from drivers.profile import Profile
from drivers.scan import Link, Plan, streaming
from edge import config
from edge.__main__ import cli
from edge.commands.scan import candidates, duration, packaged, plan_steps
from edge.commands.scan import run as scan_run
from tests.virtual_server import ROOT, serving

pytestmark = pytest.mark.wire

HEAD = """
schema = 1
ward = { id = "w", name = "W" }
gateway = { id = "g", place = "p" }
[[place]]
id = "p"
name = "P"
[[bus]]
id = "a"
port = "virtual:a"
baud = 9600
"""
ROW = '[[sensor]]\nid = "{0}"\ndevice = "{0}"\nbus = "a"\nplace = "p"\n'
LANE = (
    HEAD
    + (ROW.format("sen0676") + "unit = 12\n")
    + (ROW.format("xy-md02") + "unit = 3\n")
    + (ROW.format("sen0575") + "unit = 192\n")
)
WORLD = "".join(
    f'[[value]]\nt_s = 0\nsensor = "{sensor}"\nkind = "{kind}"\nvalue = {value}\n'
    for sensor, kind, value in [
        ("sen0676", "distance_m", 2.986),
        ("xy-md02", "temperature_c", 21.5),
        ("xy-md02", "humidity_pct", 61.5),
        ("sen0575", "rain_mm", 12.5),
    ]
)
Script = Callable[[bytes], list[tuple[float, bytes]] | None]  # None: the plug is pulled
QUICK_S = 0.1  # of listening, where nothing is to be heard


def scan(port: object, *words: str) -> Result:
    return CliRunner().invoke(cli, ["scan", str(port), *words])


def worst_s(result: Result) -> float:
    """The longest that was announced, for what then was found."""
    found = re.search(r"at most (?:(\d+) min )?(\d+) s, and up to (\d+) s for each", result.stderr)
    assert found, result.stderr
    n_found = len(re.findall(r"^  \S+ +\d+ +8[NEO]1 ", result.stdout, re.MULTILINE))
    return 60.0 * int(found[1] or 0) + int(found[2]) + n_found * int(found[3])


@dataclass
class Look:
    """What one run of the command said, and how long it took."""

    exit_code: int
    stdout: str
    stderr: str
    took_s: float
    worst_s: float


@pytest.fixture
def look(capsys: pytest.CaptureFixture[str]) -> Callable[..., Look]:
    """The command behind its options, with a short time to listen."""

    def run(
        port: str,
        units: Iterable[int],
        link: Link,
        timeout_ms: float,
        listen_s: float = QUICK_S,
        **known: Profile,
    ) -> Look:
        plan = Plan(((link, tuple(units)),), timeout_ms, listen_s)
        start_s = time.monotonic()
        code = scan_run(port, plan, known)
        out, err = capsys.readouterr()
        return Look(code, out, err, time.monotonic() - start_s, plan.worst_s)

    return run


@contextmanager
def far_end(script: Script, chatter: tuple[float, bytes] = (0.0, b"")) -> Iterator[str]:
    """A pty whose far end answers requests by a script, and says `chatter` each so many seconds."""
    near, far = os.openpty()
    tty.setraw(far)
    stop = threading.Event()

    def serve() -> None:
        next_s = time.monotonic() + chatter[0]
        while not stop.is_set():
            if select.select([near], [], [], 0.005)[0]:
                said = script(os.read(near, 256))
                if said is None:
                    break
                for after_s, data in said:
                    time.sleep(after_s)
                    os.write(near, data)
            if chatter[1] and time.monotonic() > next_s:
                os.write(near, chatter[1])
                next_s += chatter[0]
        os.close(near)
        os.close(far)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield os.ttyname(far)
    finally:
        stop.set()
        thread.join()


def silent(request: bytes) -> list[tuple[float, bytes]]:
    return []


def holding(unit: int, *values: int) -> bytes:
    return modbus.data_reply(unit, 3, b"".join(value.to_bytes(2, "big") for value in values))


def test_three_devices_are_found_and_their_lines_pass_check_in_a_whole_site(tmp_path: Path) -> None:
    with serving(tmp_path, site=LANE, world=WORLD) as server:
        start_s = time.monotonic()
        result = scan(server.dir / "a", "--baud", "9600", "--units", "3,11-12,192")
        took_s = time.monotonic() - start_s
        log = server.end(signal.SIGTERM)
    assert result.exit_code == 0, result.output
    assert log == (0, "")
    table = result.stdout.partition("For the site file:")[0]
    assert re.search(r"^  12 +9600 +8N1 +could be sen0676 +distance_m 2.986 m$", table, re.MULTILINE)
    assert re.search(r"^  3 +9600 +8N1 +could be xy-md02 +temperature_c 21.5 °C, humid", table, re.MULTILINE)
    assert re.search(r"^  192 +9600 +8N1 +is sen0575 +rain_mm 12.5 mm$", table, re.MULTILINE)
    assert "asks 8 questions" in result.stderr
    assert took_s <= worst_s(result)
    # pasted into the example site, whose places exist
    pasted = result.stdout.partition("For the site file:")[2]
    rows = tomllib.loads(pasted)
    assert {(s["device"], s["unit"]) for s in rows["sensor"]} == {
        ("sen0676", 12),
        ("xy-md02", 3),
        ("sen0575", 192),
    }
    example = (ROOT / "deploy" / "site.example.toml").read_text("utf-8")
    (tmp_path / "whole.toml").write_text(example + pasted, "utf-8")
    whole, problems = config.load(tmp_path / "whole.toml")
    assert whole is not None, [p for p in problems if not p.is_notice]


def test_nothing_but_reads_is_sent_and_a_refusal_proves_a_device(look: Callable[..., Look]) -> None:
    asked: list[bytes] = []

    def device(request: bytes) -> list[tuple[float, bytes]]:
        asked.append(request)
        return [(0.0, modbus.exception_reply(7, request[1], 2))] if request[0] == 7 else []

    with far_end(device) as port:
        seen = look(port, range(6, 9), Link(115200, "8N1"), 30.0, **packaged())
    assert seen.exit_code == 0
    assert "answers; no device file fits" in seen.stdout
    assert all(modbus.has_valid_crc(frame) and frame[1] in modbus.READS for frame in asked)
    assert {frame[1] for frame in asked} == {1, 2, 3, 4}  # every file's questions were asked


def test_an_empty_bus_ends_in_its_time_and_says_what_to_look_at(look: Callable[..., Look]) -> None:
    with far_end(silent) as port:
        seen = look(port, range(1, 5), Link(19200, "8N1"), 130.0)
    assert seen.exit_code == 1
    # Nobody answers: it takes what was announced, but for the longer listening and the opening.
    assert seen.worst_s - 2 * QUICK_S - 0.3 < seen.took_s <= seen.worst_s
    said = [seen.stdout.index(word) for word in ("power", "swap", "baud", "termination", "address")]
    assert said == sorted(said)
    assert "asks 8 questions" in seen.stderr
    assert seen.stderr.count("\n") == 3  # the worst case, and one line for each thing that it does


def test_the_default_ends_within_three_minutes_and_begins_with_the_likeliest() -> None:
    steps = plan_steps(packaged(), None, None, None, False)
    assert [link for link, _ in steps[:2]] == [Link(9600, "8N1"), Link(4800, "8N1")]
    assert Plan(steps).worst_s <= 180
    units = steps[0][1]
    assert units[0] == 1  # most leave the factory so
    assert set(units[:4]) == {1, 12, 192, 255}
    assert sorted(units) == [*range(1, 248), 255]
    # new devices at the speed of their factory, with its address alone
    assert dict(steps)[Link(19200, "8N1")] == (12,)
    assert dict(steps)[Link(115200, "8N1")] == (1,)
    assert len(plan_steps(packaged(), None, None, None, True)) == 12
    assert duration(170.2) == "2 min 51 s"


def test_a_sensor_that_talks_by_itself_is_recognised_without_a_question(tmp_path: Path) -> None:
    with serving(tmp_path, site=HEAD + ROW.format("pms5003"), world="") as server:
        result = scan(server.dir / "a", "--units", "1-3", "--baud", "9600")
    assert result.exit_code == 0, result.output
    assert re.search(
        r"^  - +9600 +8N1 +could be .*pms5003.* pm2_5_ug_m3 0 µg/m³", result.stdout, re.MULTILINE
    )
    assert "asks 3 addresses" not in result.stderr
    [row] = tomllib.loads(result.stdout.partition("For the site file:")[2])["sensor"]
    assert "unit" not in row


def test_a_talker_that_was_not_heard_while_listening_is_recognised_while_asking(
    look: Callable[..., Look],
) -> None:
    with far_end(silent, chatter=(0.5, bytes.fromhex("ff 07 a1 a7 ff 07 a2 a8"))) as port:
        seen = look(port, range(1, 60), Link(9600, "8N1"), 30.0, a02yyuw=packaged()["a02yyuw"])
    assert seen.exit_code == 0
    assert re.search(r"^  - +9600 +8N1 +could be a02yyuw +distance_m 1.95", seen.stdout, re.MULTILINE)
    assert "asks 59 addresses" in seen.stderr


STREAMS = [
    (bytes.fromhex("ff 07 a1 a7 ff 07 a2 a8"), "ultrasonic"),
    (bytes.fromhex("a1 a7 ff 07 a1 a7 ff 07 a2 a8"), "ultrasonic"),  # begun in the middle
    (bytes.fromhex("ff 07 a1 a7"), None),  # one frame may be chance
    (bytes.fromhex("ff 07 a1 a7 00 ff 07 a2 a8"), None),  # not in a row
    (bytes.fromhex("ff 07 a1 a6 ff 07 a2 a7"), None),  # wrong sums
    (b"R1234\rR1235\r", "maxbotix-mm"),
    (bytes.fromhex("aa c0 d4 04 3a 0a a1 60 1d ab") * 2, "nova"),  # the maker's printed frame
    (bytes(64), None),
    (b"\xff" * 64, None),
    (b"", None),
]


@pytest.mark.parametrize(("data", "family"), STREAMS)
def test_two_good_frames_in_a_row_are_a_stream(data: bytes, family: str | None) -> None:
    assert streaming(data) == family


def test_bytes_that_are_never_a_frame_are_told_with_their_speed(look: Callable[..., Look]) -> None:
    with far_end(silent, chatter=(0.02, bytes.fromhex("80 7f 80 00 f8 78"))) as port:
        seen = look(port, range(1, 200), Link(9600, "8E1"), 20.0)
    assert seen.exit_code == 1
    assert "At 9600 8E1 bytes came" in seen.stdout
    assert "baud or the parity is likely wrong" in seen.stdout
    assert "80 7f 80 00 f8 78" in seen.stdout
    assert "two devices answer" not in seen.stdout
    assert seen.took_s < seen.worst_s  # the speed is given up


@pytest.mark.parametrize("way", ["glued", "spoilt"])
def test_two_devices_with_one_address_are_named(look: Callable[..., Look], way: str) -> None:
    first, second = holding(5, 1), holding(5, 0x1234)
    both = {
        "glued": [(0.002, first), (0.01, second)],
        "spoilt": [(0.002, bytes(a & b for a, b in zip(first, second, strict=True)))],
    }[way]

    def wire(request: bytes) -> list[tuple[float, bytes]]:
        if request[0] == 5 and request[1] == 3:
            return both
        return [(0.002, modbus.exception_reply(6, request[1], 2))] if request[0] == 6 else []

    with far_end(wire) as port:
        seen = look(port, (5, 6), Link(19200, "8N1"), 40.0)
    assert "At 19200 8N1 two devices answer as unit 5" in seen.stdout, seen.stdout
    assert seen.stdout.count("two devices") == 1
    assert re.search(r"^  6 ", seen.stdout, re.MULTILINE)
    assert seen.exit_code == 0  # unit 6 is well


def test_one_address_that_garbles_alone_may_be_two_devices_or_a_parity(look: Callable[..., Look]) -> None:
    """Nobody answers well there, so nothing says that baud and parity are right."""

    def wire(request: bytes) -> list[tuple[float, bytes]]:
        return [(0.002, bytes.fromhex("05 83 02 ff ff"))] if request[0] == 5 else []

    with far_end(wire) as port:
        seen = look(port, (5, 4), Link(19200, "8N1"), 40.0)
    assert seen.exit_code == 1
    assert "when unit 5 was asked" in seen.stdout
    assert "or two devices have one address" in seen.stdout


def test_a_slow_device_is_found_by_its_late_answer(look: Callable[..., Look]) -> None:
    """It needs 150 ms, its time is 30 ms: its answer comes while another address is asked."""

    def slow(request: bytes) -> list[tuple[float, bytes]]:
        return [(0.15, holding(9, 77))] if request[:2] == b"\x09\x03" else []

    with far_end(slow) as port:
        seen = look(port, range(9, 13), Link(19200, "8N1"), 30.0)
    assert seen.exit_code == 0, seen.stdout
    assert re.search(r"^  9 +19200", seen.stdout, re.MULTILINE)


def test_a_two_wire_adapter_that_echoes_is_no_trouble(look: Callable[..., Look]) -> None:
    def wire(request: bytes) -> list[tuple[float, bytes]]:
        return [(0.0, request), (0.004, holding(3, 7))] if request[:2] == b"\x03\x03" else [(0.0, request)]

    with far_end(wire) as port:
        seen = look(port, range(1, 5), Link(19200, "8N1"), 40.0)
    assert seen.exit_code == 0
    assert re.findall(r"^  (\d+) +19200", seen.stdout, re.MULTILINE) == ["3"]
    assert "bytes came" not in seen.stdout


def test_a_stray_byte_after_each_question_is_no_trouble(look: Callable[..., Look]) -> None:
    with far_end(lambda request: [(0.001, b"\0")]) as port:
        seen = look(port, range(1, 8), Link(19200, "8N1"), 30.0)
    assert seen.exit_code == 1
    assert seen.took_s <= seen.worst_s
    assert "Nothing answers" in seen.stdout


def test_another_master_is_not_disturbed(look: Callable[..., Look]) -> None:
    asked: list[bytes] = []

    def note(request: bytes) -> list[tuple[float, bytes]]:
        asked.append(request)
        return []

    traffic = modbus.read_request(12, 3, 1, 1) + holding(12, 2986)
    with far_end(note, chatter=(0.03, traffic)) as port:
        seen = look(port, range(1, 4), Link(9600, "8N1"), 30.0)
    assert seen.exit_code == 1
    assert "Somebody else asks on this bus at 9600 8N1, and unit 12 answers" in seen.stdout
    assert asked == []


def test_an_adapter_that_is_pulled_leaves_what_was_found(look: Callable[..., Look]) -> None:
    def pulled(request: bytes) -> list[tuple[float, bytes]] | None:
        if request[0] == 3:
            return None
        return [(0.002, modbus.exception_reply(1, request[1], 2))] if request[0] == 1 else []

    with far_end(pulled) as port:
        seen = look(port, range(1, 60), Link(19200, "8N1"), 30.0)
    assert seen.exit_code == 1
    assert "THE ADAPTER IS GONE" in seen.stdout
    assert re.search(r"^  1 +19200 +8N1 +answers", seen.stdout, re.MULTILINE)


def test_ctrl_c_ends_with_what_was_found() -> None:
    is_far = threading.Event()

    def device(request: bytes) -> list[tuple[float, bytes]]:
        if request[0] == 192:  # the second or third that is asked
            is_far.set()
        return [(0.002, modbus.exception_reply(1, request[1], 2))] if request[0] == 1 else []

    with far_end(device) as port:
        argv = [sys.executable, "-m", "edge", "scan", port, "--baud", "9600"]
        process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert is_far.wait(20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert out.startswith("ENDED BY HAND")
    assert re.search(r"^  1 +9600 +8N1 +answers", out, re.MULTILINE)


def test_a_port_that_is_missing_or_taken_is_told_in_words(tmp_path: Path) -> None:
    result = scan(tmp_path / "ttyUSB9")
    assert (result.exit_code, "there is no such port" in result.stderr) == (2, True)
    with far_end(silent) as port:
        import serial

        with serial.Serial(port, exclusive=True):
            result = scan(port)
    assert (result.exit_code, "another program uses it" in result.stderr) == (2, True)
    assert "Does the agent run?" in result.stderr


WRONG = ["--units 0-5", "--units 9-3", "--units x", "--units 1-", "--units 300", "--baud 1", "--baud fast"]


@pytest.mark.parametrize("words", [*WRONG, "--parity M", "--timeout 0"])
def test_a_wrong_option_is_refused(words: str) -> None:
    assert scan("/dev/null", *words.split()).exit_code == 2


def test_adapters_are_listed_once_by_the_name_of_their_socket(tmp_path: Path) -> None:
    for name in ("ttyUSB0", "ttyUSB1", "ttyS0"):
        (tmp_path / name).touch()
    for folder, name in (("by-path", "usb-1.1"), ("by-id", "FTDI-0")):
        (tmp_path / "serial" / folder).mkdir(parents=True)
        (tmp_path / "serial" / folder / name).symlink_to(tmp_path / "ttyUSB0")
    assert candidates(tmp_path) == [
        str(tmp_path / "serial" / "by-path" / "usb-1.1"),
        str(tmp_path / "ttyUSB1"),
    ]
    assert candidates(tmp_path / "nothing") == []
