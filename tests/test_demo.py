"""The demonstration: its story, phone and tally by themselves, then the whole of it with a kill in the middle."""

import asyncio
import datetime
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import pytest
from standardwebhooks import Webhook

from drivers.world import parse as parse_world
from edge.commands.demo import _Seconds
from edge.config import load
from edge.demo.phone import Call, Phone, is_signed
from edge.demo.play import _write_site
from edge.demo.story import NIGHT, Fail, Feel, Kill
from edge.demo.tally import Witness, closings, count, words

ROOT = Path(__file__).parents[1]
KEY = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # a published example of the convention's specification
INCIDENT = {
    "v": 1, "id": "xd-gw-07-2", "headline": "CHÁY 02:14 Ng.5/12", "text": "Gọi 114",
    "evidence": [{"channel": "nut-5-12/call_point"}],
}  # fmt: skip


def signed(body: bytes, key: str = "xd-gw-07-2/1/duty-phone/0") -> dict[str, str]:
    """Headers as the convention's own library makes them."""
    at = datetime.datetime.now(tz=datetime.UTC)
    return {
        "webhook-id": key,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(KEY).sign(key, at, body.decode()),
    }


def request(headers: dict[str, str], body: bytes) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST / HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


# --- story, site and world --------------------------------------------------------------------------------


def test_the_packaged_site_is_fine_and_the_quiet_world_belongs_to_it(tmp_path: Path) -> None:
    _write_site(tmp_path, "9999", None)
    config, problems = load(tmp_path / "site.toml")
    assert [problem for problem in problems if not problem.is_notice] == []
    assert config is not None
    world, problems = parse_world(tomllib.loads((tmp_path / "world.toml").read_text("utf-8")))
    assert problems == []
    assert world is not None
    sensors = {sensor.id for sensor in config.site.sensor}
    assert {sensor for sensor, _ in world.courses} == sensors
    targets = sensors | {bus.id for bus in config.site.bus}
    assert {step.does.sensor for step in NIGHT if isinstance(step.does, Feel)} <= sensors
    assert {step.does.target for step in NIGHT if isinstance(step.does, Fail)} <= targets


def test_the_story_is_in_order_and_its_turning_points_lie_in_the_first_half_minute() -> None:
    times = [step.at_s for step in NIGHT]
    assert times == sorted(times)
    fire = next(s.at_s for s in NIGHT if isinstance(s.does, Feel) and s.does.kind == "call_point")
    kill = next(s.at_s for s in NIGHT if isinstance(s.does, Kill))
    unplugged = next(s.at_s + s.does.for_s for s in NIGHT if isinstance(s.does, Fail))
    assert fire < kill < unplugged <= 30
    assert times[-1] < 60


def test_a_real_phone_is_told_that_it_is_an_exercise_and_its_address_stays_in_a_private_file(
    tmp_path: Path,
) -> None:
    (tmp_path / "credentials").mkdir()
    _write_site(tmp_path, "9999", 'ntfy://s3cret"\\x/topic')
    site = tomllib.loads((tmp_path / "site.toml").read_text("utf-8"))
    assert all(place["name"].startswith("DIỄN TẬP ") for place in site["place"])
    assert "s3cret" not in (tmp_path / "site.toml").read_text("utf-8")
    credential = tmp_path / "credentials" / "my-phone"
    assert tomllib.loads(credential.read_text("utf-8")) == {"url": 'ntfy://s3cret"\\x/topic'}
    assert credential.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60.0), ("60", 60.0), ("2m", 120.0), ("1.5min", 90.0), ("0.5s", 0.5)]
)
def test_a_time_may_be_written_as_people_write_it(text: str, seconds: float) -> None:
    assert _Seconds().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "0", "1h", "60 s", "1e3"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="60s"):
        _Seconds().convert(text, None, None)


# --- phone ------------------------------------------------------------------------------------------------


def test_the_phone_believes_what_the_conventions_own_library_signed_and_nothing_else() -> None:
    body = json.dumps(INCIDENT).encode()
    headers = signed(body)
    assert is_signed(KEY, headers, body)
    assert not is_signed(KEY, headers, body + b" ")
    assert not is_signed(KEY, headers | {"webhook-id": "other"}, body)
    assert not is_signed(KEY, headers | {"webhook-timestamp": "1"}, body)
    assert not is_signed("whsec_AAAA", headers, body)
    assert not is_signed(
        KEY, headers | {"webhook-signature": "v1,\N{LATIN SMALL LETTER D WITH STROKE}"}, body
    )
    assert not is_signed(KEY, {}, body)
    assert is_signed(KEY, headers | {"webhook-signature": "v1,AAAA " + headers["webhook-signature"]}, body)


class _Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.said = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.said += data

    def close(self) -> None:
        self.is_closed = True


def talk(*parts: bytes, ack: str | None = None) -> tuple[_Wire, list[dict[str, Any]]]:
    """What the phone answers to bytes that come in these parts, and what it keeps."""
    kept: list[dict[str, Any]] = []

    async def serve() -> _Wire:
        phone = Phone(KEY, kept.append)
        phone.next_ack = ack
        call, wire = Call(phone), _Wire()
        call.connection_made(wire)
        for part in parts:
            call.data_received(part)
        return wire

    return asyncio.run(serve()), kept


BODY = json.dumps(INCIDENT, ensure_ascii=False).encode()


@pytest.mark.parametrize("cut", [1, 20, 150, -1])
def test_a_message_may_come_in_any_parts_and_on_one_connection_with_the_next(cut: int) -> None:
    whole = request(signed(BODY), BODY)
    wire, kept = talk(whole[:cut], whole[cut:], whole)
    assert wire.said.count(b"HTTP/1.1 200") == 2
    assert [(row["trusted"], row["headline"], row["key"]) for row in kept] == [
        (True, "CHÁY 02:14 Ng.5/12", "xd-gw-07-2/1/duty-phone/0")
    ] * 2


def test_the_phone_acknowledges_once_when_it_was_told_to() -> None:
    whole = request(signed(BODY), BODY)
    wire, _ = talk(whole, whole, ack="Trần Thị Bình")
    first, second = re.findall(rb"\r\n\r\n(\{.*?\})(?=HTTP|$)", wire.said)
    assert json.loads(first) == {"ack": {"by": "Trần Thị Bình"}}
    assert json.loads(second) == {}


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request({}, BODY), b"401"),  # unsigned: kept, not believed
        (request(signed(b"[]"), b"[]"), b"400"),
        (request(signed(b"\xff{"[1:]), b"\xff{"), b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"x" * 70_000, b"413"),
    ],
)
def test_what_is_no_message_of_ours_is_refused(data: bytes, status: bytes) -> None:
    wire, kept = talk(data)
    assert wire.said.startswith(b"HTTP/1.1 " + status)
    assert [row for row in kept if row["trusted"]] == []


# --- tally ------------------------------------------------------------------------------------------------

CHANNEL = "nut-5-12/call_point"


def reply(t_s: float, *changed: str) -> dict[str, Any]:
    return {
        "t_ns": round(t_s * 1e9),
        "bus": "b",
        "unit": 9,
        "what": "reply",
        "changed": list(changed),
        "faults": [],
    }


def push(at_s: float, key: str, *channels: str, trusted: bool = True) -> dict[str, Any]:
    evidence = [{"channel": channel} for channel in channels]
    return {"at_s": at_s, "key": key, "trusted": trusted, "body": {"evidence": evidence}}


def agent(**states: str) -> Witness:
    witness = Witness("duty-phone")
    deliveries = [{"key": f"gw-1/{k[1:]}/duty-phone/0", "state": state} for k, state in states.items()]
    witness.hear(
        {"incidents": [{"id": "gw-1", "hazard": "fire", "state": "confirmed"}], "deliveries": deliveries}
    )
    return witness


@pytest.mark.parametrize(
    ("wire", "phone", "states", "sent", "received", "doubled", "n_lost", "latency_ms"),
    [
        ([], [], {}, 0, 0, 0, 0, ()),
        # one contact, one push, 4 ms
        ([reply(10.0, CHANNEL)], [push(10.004, "gw-1/1/duty-phone/0", CHANNEL)], {"r1": "accepted"}, 1, 1, 0, 0, (4,)),
        # the same key twice
        (
            [reply(10.0, CHANNEL)],
            [push(10.004, "gw-1/1/duty-phone/0", CHANNEL), push(12.0, "gw-1/1/duty-phone/0", CHANNEL)],
            {"r1": "accepted"}, 1, 1, 1, 0, (4,),
        ),
        # the agent says it was accepted, the phone never saw it
        ([], [], {"r1": "accepted"}, 1, 0, 0, 1, ()),
        ([], [], {"r1": "superseded"}, 1, 0, 0, 0, ()),
        # a contact that nobody was told about, and one that only an unsigned message named
        ([reply(10.0, CHANNEL)], [], {}, 0, 0, 0, 1, ()),
        ([reply(10.0, CHANNEL)], [push(10.1, "k", CHANNEL, trusted=False)], {}, 0, 0, 0, 1, ()),
        # a push before the contact does not belong to it
        ([reply(10.0, CHANNEL)], [push(9.9, "gw-1/1/duty-phone/0", CHANNEL)], {"r1": "accepted"}, 1, 1, 0, 1, ()),
    ],
)  # fmt: skip
def test_the_sum_is_what_the_three_witnesses_say(
    wire: list[dict[str, Any]],
    phone: list[dict[str, Any]],
    states: dict[str, str],
    sent: int,
    received: int,
    doubled: int,
    n_lost: int,
    latency_ms: tuple[float, ...],
) -> None:
    tally = count(wire, phone, agent(**states))
    assert (tally.sent, tally.received, tally.doubled, len(tally.lost)) == (sent, received, doubled, n_lost)
    assert tally.latency_ms == pytest.approx(latency_ms)
    is_trusted = all(row["trusted"] for row in phone)
    assert tally.is_good == (not doubled and not n_lost and is_trusted)
    assert ("nothing lost, nothing doubled" in words(tally, 60)) == tally.is_good


def test_a_contact_that_opens_again_is_no_fire() -> None:
    wire = [reply(1, CHANNEL), reply(2), reply(3, CHANNEL), reply(4, CHANNEL), {"t_ns": 5, "what": "bad"}]
    assert closings(wire) == [(CHANNEL, 1.0), (CHANNEL, 4.0)]


def test_other_numbers_after_a_kill_are_not_good() -> None:
    witness = agent()
    witness.killed()
    witness.hear({"incidents": [{"id": "gw-9", "hazard": "fire", "state": "confirmed"}], "deliveries": []})
    tally = count([], [], witness)
    assert tally.kept_numbers == (False,)
    assert not tally.is_good


# --- the whole --------------------------------------------------------------------------------------------


def ours(folder: Path) -> list[str]:
    """Command lines of the processes that work in this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if entry.name.isdigit() and str(folder) in line:
            found.append(line)
    return found


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="ww", dir="/tmp") as folder:
        yield Path(folder)


def start_demo(tmp: Path, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "edge", "demo", *arguments],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"TMPDIR": str(tmp)} | environ,
    )  # fmt: skip


@pytest.mark.parts
def test_a_fire_reaches_the_phone_once_though_the_agent_is_killed_in_between(short_tmp: Path) -> None:
    demo = start_demo(short_tmp, "--for", "20s", LC_ALL="C", WARDWATCH_PHONE="json://127.0.0.1:1/pl4nted")
    out, errors = demo.communicate(timeout=90)
    assert demo.returncode == 0, out + errors
    assert out.isascii()
    assert "\x1b" not in out
    assert "pl4nted" not in out + errors
    assert out.count("phone: CHAY") == 1
    number = re.search(r"incident (\S+)  FIRE CONFIRMED", out)
    assert number is not None
    before, after = out.split("AGENT DOWN")
    assert f"incident {number[1]}  FIRE CONFIRMED" in before
    assert re.search(r"agent up after [1-5] s", after)
    assert re.search(r"pushes +sent (\d+), received \1, doubled 0, lost 0", out)
    assert "the same incident numbers after it" in out
    assert out.rstrip().endswith("nothing lost, nothing doubled")
    assert list(short_tmp.iterdir()) == []
    assert ours(short_tmp) == []


@pytest.mark.parts
@pytest.mark.parametrize("after_s", [0.3, 4.0])
def test_ctrl_c_ends_it_within_two_seconds_and_leaves_nothing(short_tmp: Path, after_s: float) -> None:
    demo = start_demo(short_tmp)
    time.sleep(after_s)
    demo.send_signal(signal.SIGINT)
    started = time.monotonic()
    demo.communicate(timeout=10)
    assert time.monotonic() - started < 2
    assert demo.returncode in (0, 130)
    assert list(short_tmp.iterdir()) == []
    assert ours(short_tmp) == []


@pytest.mark.parts
def test_even_kill_9_leaves_no_process_and_no_file(short_tmp: Path) -> None:
    demo = start_demo(short_tmp)
    assert demo.stdout is not None
    while "agent up" not in demo.stdout.readline():
        assert demo.poll() is None
    demo.kill()
    deadline = time.monotonic() + 5
    while (ours(short_tmp) or list(short_tmp.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ours(short_tmp) == []
    assert list(short_tmp.iterdir()) == []
    demo.communicate(timeout=5)


def test_site_and_world_are_package_data() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "data/*" in declared["tool"]["setuptools"]["package-data"]["edge.demo"]
    assert {entry.name for entry in (files("edge.demo") / "data").iterdir()} == {"site.toml", "world.toml"}
