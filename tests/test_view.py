"""The terminal view: its words, its picture, its lines without a terminal, and the process itself."""

import asyncio
import copy
import json
import os
import pty
import re
import signal
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from edge.view import Seen, picture
from edge.view_changes import changes
from edge.view_eyes import Eyes, Sources
from edge.view_loop import speaks_unicode
from edge.view_words import ascii_only, clean, sink_words, state_words, value_words

ROOT = Path(__file__).parents[1]
HEADLINE = "CHÁY 02:14 Ng.5/12 Xuân Đỉnh T3, khói+nút. Gọi 114"


def channel(
    name: str = "ngo-12-level/depth_m",
    value: float | None = 0.21,
    unit: str = "m",
    age_s: float | None = 1.2,
    class_: str = "good",
    flags: tuple[str, ...] = (),
    state: str = "judged",
    bound: str | None = None,
    place: str = "ngo-12",
) -> dict[str, Any]:
    sensor, kind = name.split("/")
    return {
        "channel": name, "sensor": sensor, "kind": kind, "place": place, "value": value, "unit": unit,
        "age_s": age_s, "class": class_, "flags": list(flags), "state": state, "bound": bound,
    }  # fmt: skip


def incident(**other: Any) -> dict[str, Any]:
    return {
        "v": 1, "id": "xd-gw-07-2", "revision": 2, "hazard": "fire", "state": "confirmed", "priority": 1,
        "level": 2, "drill": False, "place": {"id": "ngo-5-12", "name": "Ng.5/12 Xuân Đỉnh"},
        "headline": HEADLINE, "text": "...",
        "opened": "2026-11-23T02:14:02.312+07:00", "closed": None, "cause": None,
        "evidence": [{"channel": "khoi-5-12/smoke_contact"}], "acks": [],
    } | other  # fmt: skip


def snapshot(**other: Any) -> dict[str, Any]:
    return {
        "v": 1, "ward": "xuan-dinh", "ward_name": "Phường Xuân Đỉnh", "gateway": "xd-gw-07", "pid": 123,
        "boot": "b41c", "uptime_s": 12.1, "wall": "2026-11-23T02:14:07+07:00", "clock": "synced",
        "state": "ok", "reasons": [],
        "places": [
            {"id": "ngo-5-12", "name": "Ng.5/12 Xuân Đỉnh"}, {"id": "ngo-12", "name": "Ngõ 12 Xuân Đỉnh"},
        ],
        "channels": [
            channel(),
            channel("khoi-5-12/smoke_contact", 1.0, "", 0.3, place="ngo-5-12"),
            channel("khi-ngo-5/temperature_c", None, "°C", None, "none", (), "not_judged", place="ngo-5"),
        ],
        "alarms": [
            {"id": "ngo-5-fire", "hazard": "fire", "place": "ngo-5", "state": "unacked", "mask": "none",
             "level": 2, "judged": True, "since_s": 3.2, "acked_by": None},
        ],
        "incidents": [incident()],
        "buses": [
            {"id": "rs485-1", "port": "virtual:rs485-1", "up": True, "load": 0.41, "exchanges": 123,
             "timeouts": 0, "late": 0, "errors": 0, "reason": ""},
        ],
        "sinks": [
            {"id": "ward-mqtt", "kind": "mqtt", "fault": "taken_over", "reason": "another client took over",
             "delivered": 3, "pending": 64},
        ],
        "notifiers": [
            {"id": "duty-phone", "kind": "webhook", "pending": 0, "accepted": 3, "failed": 0, "retries": 1,
             "reason": ""},
        ],
        "deliveries": [],
        "events": [{"at": "02:14:07", "what": "alarm ngo-5-fire unacked level 2"}],
    } | other  # fmt: skip


MESSAGE = {
    "n": 1, "at_s": 0.0, "age_s": 3.0, "trusted": True,
    "headline": HEADLINE, "text": "Cháy tại Số 12 Ngõ 5.",
}  # fmt: skip


def rows(seen: Seen, width: int = 80, height: int = 24, is_ascii: bool = False) -> list[str]:
    return [row.plain for row in picture(seen, width, height, is_ascii)]


# --- words ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_channel", "alarm", "is_up", "words"),
    [
        (channel(), "", True, "OK, judged"),  # the only state that needs no eye
        (channel(state="not_judged", class_="none"), "", True, "NOT JUDGED, warming up"),
        (channel(value=None, class_="none", state="not_judged"), "", True, "NOT JUDGED, no value yet"),
        (channel(class_="bad", flags=("COMMS",)), "", True, "NO ANSWER"),  # one poll failed
        (channel(class_="bad", flags=("COMMS",), state="stale"), "", True, "STALE: no answer"),
        (channel(class_="bad", flags=("STALE",), state="stale"), "", True, "STALE: no news"),
        (channel(class_="bad", flags=("COMMS",), state="blind"), "", True, "BLIND: no answer"),
        (channel(class_="bad", flags=("NO_ECHO",)), "", True, "BAD: no echo, see angle"),
        (channel(class_="bounded", flags=("BOUND_HIGH",)), "", True, "judged as a bound"),
        (channel(class_="noted", flags=("RATE",)), "", True, "judged, but fast change"),
        (channel(), "FLOOD 3", True, "ALARM FLOOD 3"),
        (channel(class_="bad", flags=("COMMS",), state="stale"), "FLOOD 3", True, "ALARM FLOOD 3, STALE"),
        # a head that burnt: its alarm stays, and that it is silent now is said too
        (channel(class_="bad", flags=("COMMS",)), "FIRE", True, "ALARM FIRE, NO ANSWER"),
        (channel(), "FIRE", False, "UNKNOWN, agent is down"),  # whatever was last seen
        (channel(class_="bad", flags=("BRAND_NEW",)), "", True, "BAD: BRAND_NEW"),  # a flag of a newer agent
    ],
)
def test_a_state_is_said_in_words(given_channel: dict[str, Any], alarm: str, is_up: bool, words: str) -> None:
    assert state_words(given_channel, alarm, is_up) == words


@pytest.mark.parametrize(
    ("given_channel", "words"),
    [
        (channel(value=0.214), "0.21 m"),
        (channel(value=3.1, bound="at_least"), "at least 3.10 m"),  # water inside the blanking distance
        (channel(value=-0.02), "-0.02 m"),
        (channel("a/call_point", 0.0, ""), "not pressed"),
        (channel("a/call_point", 1.0, ""), "PRESSED"),
        (channel("a/mains_ok", 0.0, ""), "NO MAINS"),  # here 0 is the bad one
        (channel("a/smoke_contact", None, ""), "no value"),  # missing is never zero
        (channel("a/brand_new", 12345.678, "u"), "1.235e+04 u"),  # a kind of a newer agent
    ],
)
def test_a_value_carries_its_unit_or_word(given_channel: dict[str, Any], words: str) -> None:
    assert value_words(given_channel) == words


@given(st.text())
def test_text_from_outside_cannot_move_the_cursor(text: str) -> None:
    assert all(char.isprintable() or char == "\N{NO-BREAK SPACE}" or char.isspace() for char in clean(text))
    assert "\x1b" not in clean(text)
    assert ascii_only(clean(text)).isascii()


@pytest.mark.parametrize(
    ("encoding", "environ", "can"),
    [
        ("utf-8", {"LANG": "vi_VN.UTF-8"}, True),
        ("utf-8", {}, True),  # a container without any locale
        ("utf-8", {"LC_ALL": "C", "LANG": "vi_VN.UTF-8"}, False),  # Python itself would write UTF-8 here
        ("utf-8", {"LC_CTYPE": "C.UTF-8", "LANG": "C"}, False),  # what Python makes of LANG=C
        ("utf-8", {"LC_CTYPE": "C.UTF-8"}, True),
        ("ascii", {"LANG": "vi_VN.UTF-8"}, False),
        ("latin-1", {"LANG": "en_US.ISO-8859-1"}, False),
        (
            "utf-8",
            {"LANG": "vi_VN.UTF-8", "TERM": "linux"},
            False,
        ),  # the kernel's console has no such letters
        (None, {}, False),
    ],
)
def test_accents_are_shown_only_where_they_can_be(
    encoding: str | None, environ: dict[str, str], can: bool
) -> None:
    assert speaks_unicode(encoding, environ) is can


# --- picture ----------------------------------------------------------------------------------------------


def test_80_by_24_shows_places_incident_phone_events_and_wire() -> None:
    text = "\n".join(rows(Seen(snapshot(), messages=(MESSAGE,), has_phone=True, caption="a fire")))
    for words in (
        "Phường Xuân Đỉnh", "clock synced", "equipment OK",
        "Ngõ 12 Xuân Đỉnh    water depth 0.21 m          1 s    OK, judged",
        "Ng.5/12 Xuân Đỉnh   smoke head  SMOKE           0 s    ALARM FIRE",
        "NOT JUDGED, no value yet", "xd-gw-07-2  FIRE CONFIRMED  since 02:14:02  NOBODY ANSWERED YET",
        HEADLINE, "arrived 3 s ago, signature right", "Cháy tại Số 12 Ngõ 5.",
        "02:14:07  alarm ngo-5-fire unacked level 2", "rs485-1 up, load 41%, 123 asked, 0 unanswered",
        "duty-phone: 3 accepted, 0 waiting, 0 failed", "demo › a fire",
    ):  # fmt: skip
        assert words in text
    assert "normal" not in text


def test_a_silent_agent_leaves_no_state_that_looks_fine() -> None:
    text = "\n".join(rows(Seen(snapshot(), down_s=3.4, away="the socket refuses")))
    assert "AGENT DOWN for 3 s, nothing is judged now (the socket refuses)" in text
    assert "OK, judged" not in text
    assert "equipment OK" not in text
    assert "water depth 0.21 m          4 s    UNKNOWN" in text  # its age goes on


def test_before_the_first_answer_it_says_whom_it_waits_for() -> None:
    assert "waiting for the agent: no socket at /x" in rows(Seen(None, 1.0, "no socket at /x"))[1]


def test_a_guessed_clock_and_a_wrong_signature_are_said() -> None:
    bad = MESSAGE | {"trusted": False}
    text = "\n".join(rows(Seen(snapshot(clock="guessed"), messages=(bad,), has_phone=True)))
    assert "CLOCK GUESSED" in text
    assert "SIGNATURE WRONG, not believed" in text


def test_with_no_incident_it_says_what_watches_and_what_is_not_judged() -> None:
    waiting = snapshot()["alarms"][0] | {"judged": False}
    text = "\n".join(rows(Seen(snapshot(incidents=[], alarms=[waiting, snapshot()["alarms"][0]]))))
    assert "OPEN INCIDENTS: none" in text
    assert "2 alarm rules watch, 1 of them NOT JUDGED yet" in text


def test_where_not_all_places_fit_the_ones_that_need_an_eye_come_first() -> None:
    many = [channel(f"s{i}/depth_m") for i in range(40)]
    many.append(channel("last/depth_m", 0.5, class_="bad", flags=("NO_ECHO",)))
    text = rows(Seen(snapshot(channels=many)))
    assert "BAD: no echo" in text[3]
    assert any(re.search(r"\d+ more, all OK and judged", row) for row in text)
    worse = [channel(f"s{i}/depth_m", class_="bad", flags=("NO_ECHO",)) for i in range(30)]
    text = rows(Seen(snapshot(channels=many + worse)))
    n_shown = sum("BAD: no echo" in row for row in text)
    assert f"… {71 - n_shown} more, {31 - n_shown} of them need an eye" in text


def test_many_open_incidents_take_a_row_each_and_those_without_an_answer_come_first() -> None:
    ack = [{"by": "An", "via": "webhook", "revision": 2, "at": "x"}]
    four = [incident(id=f"xd-gw-07-{i}", acks=ack if i < 3 else []) for i in range(4)]
    text = rows(Seen(snapshot(incidents=four)), height=18)
    first = next(i for i, row in enumerate(text) if "OPEN INCIDENTS: 4" in row) + 1
    assert text[first].startswith("xd-gw-07-3 NOBODY ANSWERED: CHÁY 02:14")
    assert text[first + 1].startswith("xd-gw-07-0 acked by An (webhook): CHÁY")


def test_hostile_names_are_only_text() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07Ngõ\u202e 1\r\n2"
    place = {"id": "ngo-12", "name": evil}
    text = rows(Seen(snapshot(places=[place], incidents=[incident(headline=evil)])))
    assert "\x1b" not in "".join(text)
    assert "\u202e" not in "".join(text)
    assert len(text) == 24


def test_in_ascii_the_same_words_stand_without_accents() -> None:
    seen = Seen(snapshot(), messages=(MESSAGE,), has_phone=True, caption="Ngõ 12")
    text = "\n".join(rows(seen, is_ascii=True))
    assert text.isascii()
    assert "CHAY 02:14 Ng.5/12 Xuan Dinh T3, khoi+nut. Goi 114" in text


@given(
    st.integers(1, 140),
    st.integers(1, 60),
    st.integers(0, 30),
    st.integers(0, 9),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_terminal_gets_a_picture_that_fits(
    width: int, height: int, n_channels: int, n_incidents: int, is_ascii: bool, is_down: bool
) -> None:
    shown = snapshot(
        channels=[channel(f"s{i}/depth_m") for i in range(n_channels)],
        incidents=[incident(id=f"xd-gw-07-{i}") for i in range(n_incidents)],
    )
    seen = Seen(shown, 2.0 if is_down else 0.0, "", (MESSAGE,), True, "caption")
    drawn = rows(seen, width, height, is_ascii)
    assert len(drawn) <= height
    assert all(cell_len(row) <= width for row in drawn)


# --- lines ------------------------------------------------------------------------------------------------


def test_nothing_changes_nothing_is_said() -> None:
    older = Seen(snapshot(uptime_s=13.0, wall="2026-11-23T02:14:09+07:00"))
    assert changes(Seen(snapshot()), older) == []


def test_a_measured_value_alone_is_no_change_but_a_contact_is() -> None:
    after = snapshot()
    after["channels"][0]["value"] = 0.22
    assert changes(Seen(snapshot()), Seen(after)) == []
    after["channels"][1]["value"] = 0.0
    assert changes(Seen(snapshot()), Seen(after)) == [
        "02:14:07 place Ng.5/12 Xuân Đỉnh: smoke head no smoke, ALARM FIRE"
    ]


def test_each_change_is_one_line() -> None:
    after = copy.deepcopy(snapshot())
    after["channels"][0] |= {"class": "bad", "flags": ["COMMS"]}
    after["buses"][0] |= {"up": False, "reason": "unplugged"}
    after["incidents"][0]["acks"] = [{"by": "An", "via": "webhook", "revision": 2, "at": "x"}]
    after["events"] = [*after["events"], {"at": "02:14:08", "what": "ack"}]
    after |= {"state": "degraded", "reasons": ["bus down"]}
    assert changes(Seen(snapshot()), Seen(after, messages=(MESSAGE,), caption="c")) == [
        "02:14:07 equipment DEGRADED: bus down",
        "02:14:07 place Ngõ 12 Xuân Đỉnh: water depth 0.21 m, NO ANSWER",
        f"02:14:07 incident xd-gw-07-2  FIRE CONFIRMED  since 02:14:02  acked by An (webhook): {HEADLINE}",
        "02:14:07 bus rs485-1 DOWN: unplugged",
        "02:14:07 event: ack",
        "02:14:07 phone: CHÁY 02:14 Ng.5/12 Xuân Đỉnh T3, khói+nút. Gọi 114 (signature right)",
        "02:14:07 demo: c",
    ]


def test_down_and_up_are_said_once_with_the_time_that_goes_on() -> None:
    up, down = Seen(snapshot()), Seen(snapshot(), down_s=2.0, away="it closed the socket")
    longer, back = Seen(snapshot(), down_s=4.0, away="no socket"), Seen(snapshot(pid=200, boot="b500"))
    assert changes(up, down) == ["02:14:09 AGENT DOWN, nothing is judged now: it closed the socket"]
    assert changes(down, longer) == []
    assert changes(longer, back)[0] == "02:14:07 agent up after 4 s, process 200"


@given(st.integers(0, 120), st.integers(0, 60))
def test_of_a_full_window_of_events_only_the_new_ones_are_said(n_old: int, n_new: int) -> None:
    events = [{"at": "02:14:07", "what": f"e{i}"} for i in range(n_old + n_new)]
    before, after = snapshot(events=events[:n_old][-50:]), snapshot(events=events[-50:])
    said = [line for line in changes(Seen(before), Seen(after)) if "event:" in line]
    assert said == [f"02:14:07 event: e{i}" for i in range(n_old, n_old + n_new)][-50:]


# --- eyes -------------------------------------------------------------------------------------------------


class _Agent(socketserver.ThreadingUnixStreamServer):
    """A control socket that gives prepared answers; None = takes the question and says nothing."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, path: Path, answer: bytes | None) -> None:
        self.answer = answer
        super().__init__(os.fspath(path), _Talk)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Talk(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            assert json.loads(line) == {"do": "view"}
            assert isinstance(self.server, _Agent)
            if self.server.answer is not None:
                self.wfile.write(self.server.answer)


def line_of(answer: object) -> bytes:
    return json.dumps(answer, ensure_ascii=False).encode() + b"\n"


@pytest.fixture
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s") / "control.sock"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "no answer"),  # hangs: said after a second
        (b"not json\n", "Expecting value"),
        (b"[1]\n", "refuses"),
        (line_of({"ok": False, "why": "busy"}), "busy"),
    ],
)
def test_an_agent_that_does_not_answer_well_is_down(
    socket_path: Path, answer: bytes | None, why: str
) -> None:
    agent = _Agent(socket_path, answer)
    seen = asyncio.run(Eyes(Sources(socket_path)).look())
    agent.close()
    assert seen.down_s > 0
    assert why in seen.away


def test_the_last_snapshot_stays_while_the_agent_is_away_and_its_silence_counts(
    socket_path: Path,
) -> None:
    async def look() -> list[Seen]:
        eyes = Eyes(Sources(socket_path))
        agent = _Agent(socket_path, line_of(snapshot()))
        looks = [await eyes.look(), await eyes.look()]
        agent.close()
        eyes.close()  # what the kernel does to the connection of a killed agent
        looks.append(await eyes.look())
        await asyncio.sleep(0.05)
        looks.append(await eyes.look())
        socket_path.unlink()
        agent = _Agent(socket_path, line_of(snapshot(pid=200)))
        looks.append(await eyes.look())
        agent.close()
        return looks

    first, second, gone, still, back = asyncio.run(look())
    assert first.down_s == second.down_s == back.down_s == 0
    assert gone.snapshot == first.snapshot
    assert 0 < gone.down_s < still.down_s
    assert back.snapshot is not None
    assert back.snapshot["pid"] == 200


def test_a_message_that_is_written_half_is_shown_when_it_is_whole(socket_path: Path, tmp_path: Path) -> None:
    file = tmp_path / "phone.jsonl"
    whole = line_of({"at_s": 0.0, "trusted": True, "headline": "CHÁY", "text": ""})

    async def look() -> list[int]:
        eyes = Eyes(Sources(socket_path, file))
        n = [len((await eyes.look()).messages)]
        for part in (whole[:9], whole[9:] + whole, b""):
            with file.open("ab") as out:
                out.write(part)
            n.append(len((await eyes.look()).messages))
        return n

    assert asyncio.run(look()) == [0, 0, 2, 2]


# --- the process ------------------------------------------------------------------------------------------


def start_view(socket_path: Path, stdout: int, **environ: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "edge", "view", "--socket", str(socket_path)],
        stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TERM": "xterm", **environ},
    )  # fmt: skip


@pytest.mark.wire
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_on_a_terminal_it_draws_and_leaves_the_terminal_as_it_was(
    socket_path: Path, number: signal.Signals
) -> None:
    agent = _Agent(socket_path, line_of(snapshot()))
    near, far = pty.openpty()
    view = start_view(socket_path, far, LANG="C.UTF-8", COLUMNS="80", LINES="24")
    os.close(far)
    shown = b""
    while "Ngõ 12".encode() not in shown:
        shown += os.read(near, 65536)
    view.send_signal(number)
    assert view.wait(2) == 0
    try:
        while data := os.read(near, 65536):
            shown += data
    except OSError:  # the other end is closed
        pass
    os.close(near)
    agent.close()
    assert shown.count(b"\x1b[?1049h") == shown.count(b"\x1b[?1049l") == 1
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")


@pytest.mark.wire
@pytest.mark.parametrize("environ", [{"LANG": "C.UTF-8"}, {"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_without_a_terminal_it_writes_plain_lines_and_no_escape_codes(
    socket_path: Path, environ: dict[str, str]
) -> None:
    view = start_view(socket_path, subprocess.PIPE, **environ)
    assert view.stdout is not None
    assert b"waiting for the agent" in view.stdout.readline()
    agent = _Agent(socket_path, line_of(snapshot()))
    started = time.monotonic()
    first = view.stdout.readline()
    took_s = time.monotonic() - started
    time.sleep(0.5)
    view.terminate()
    assert view.wait(2) == 0
    assert view.stderr is not None
    rest, errors = view.stdout.read(), view.stderr.read()
    agent.close()
    assert errors == b""
    assert b"agent up, process 123" in first
    assert took_s < 0.5  # the first picture after the agent's socket
    assert b"\x1b" not in rest
    assert len(rest.splitlines()) == len(set(rest.splitlines())) == 7  # each state once, then silence
    place = "Ngõ 12 Xuân Đỉnh" if "LANG" in environ else "Ngo 12 Xuan Dinh"
    assert place.encode() in rest


@pytest.mark.wire
def test_a_reader_that_goes_away_ends_it_quietly(socket_path: Path) -> None:
    agent = _Agent(socket_path, line_of(snapshot()))
    view = start_view(socket_path, subprocess.PIPE)
    assert view.stdout is not None
    view.stdout.readline()
    view.stdout.close()
    agent.answer = line_of(snapshot(state="degraded", reasons=["x"]))
    try:
        assert view.wait(3) in (0, 120)
    finally:
        view.kill()
        agent.close()
    assert view.stderr is not None
    assert b"Traceback" not in view.stderr.read()


def test_the_view_knows_neither_the_simulation_nor_the_drivers_nor_the_judge() -> None:
    code = (
        "import sys, edge.commands.view, edge.view_loop, edge.view_eyes\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('drivers', 'gateway', 'models', 'numpy', 'numba')"
        " or m.startswith(('edge.simulation', 'edge.demo', 'edge.core', 'edge.config'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_server_says_what_waits_and_what_is_wrong() -> None:
    sink = {"id": "ward-mqtt", "fault": "taken_over", "reason": "another client took over", "pending": 64}
    assert sink_words(sink) == "ward-mqtt: 64 points wait, TAKEN OVER (another client took over)"
    assert sink_words(sink | {"fault": "", "reason": ""}) == "ward-mqtt: 64 points wait"
