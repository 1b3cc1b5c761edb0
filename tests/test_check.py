"""`wardwatch check` and the command list, as a person at a terminal sees them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.__main__ import COMMANDS, cli
from edge.commands.check import switches

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
EXAMPLE = ROOT / "deploy" / "site.example.toml"


@pytest.fixture(autouse=True)
def _no_credentials_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


def wardwatch(*words: str) -> Result:
    return CliRunner().invoke(cli, words, prog_name="wardwatch")


def compared(name: str, text: str) -> None:
    """Equal to the golden file, but for the fingerprint, which follows every remark in a device file.

    WARDWATCH_GOLDEN=write writes it anew: read the difference before you keep it.
    """
    text = re.sub(r"sha256:[0-9a-f]+", "sha256:...", text)
    path = GOLDEN / name
    if os.environ.get("WARDWATCH_GOLDEN") == "write":
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


def test_the_example_passes_and_is_read_back_word_for_word() -> None:
    result = wardwatch("check", str(EXAMPLE))
    compared("example.check.txt", result.output)
    assert result.exit_code == 0
    assert "PROBLEMS" not in result.output


def test_every_mistake_of_a_broken_site_is_named_at_once() -> None:
    result = wardwatch("check", str(GOLDEN / "broken.site.toml"))
    compared("broken.check.txt", result.output)
    assert result.exit_code == 2


# The mistakes of broken.site.toml, read off that file by eye: each must have its line.
MISTAKES = [
    "ward.id", "ward.zone", "gateway.place", "web.listen", "place[1].name", "place[1].lat",
    "place.ngo-5-12.name", "place.ngo-5-12.in", "place[3].id", "bus.rs485-1.baud", "bus.rs485-1.framing",
    "bus.rs485-2.port", "bus.rs485-2.baud", "sensor.ngo-12-level.device", "sensor.ngo-12-level.unit",
    "sensor.ngo-12-level.period", "sensor.ngo-12-level.mount_height_cm", "sensor.khoi-5-12.period_ms",
    "sensor.khoi-5-12.kind", "sensor.nut-5-12.place", "sensor.nut-5-12.input", "sensor.nut-5-12.certified",
    "sensor.nut-5-13.input", "sensor.th-5.unit", "sensor[6].id", "sensor[6].bus", "sensor[6].kind",
    "alarm.ngo-12-flood.hazard", "alarm.ngo-5-heat.channel", "alarm.ngo-5-heat.levels",
    "alarm.ngo-5-heat.onn_s", "alarm.ngo-5-fire.channel", "sink.ward-mqtt.urls[1]",
    "notifier.duty-hook.url", "notifier.duty-phone.url", "notifier.duty-phone.credential",
    "author.ward-desk.key", "author.ward-desk.may[2]", "limits.repeat_s", "limits.keep_days", "persons",
]  # fmt: skip


def test_the_golden_output_has_exactly_the_mistakes_that_were_made() -> None:
    problems = wardwatch("check", str(GOLDEN / "broken.site.toml")).output.split("NOTICES")[0]
    told = [line.strip() for line in problems.splitlines() if line.startswith("  ") and line[2] != " "]
    assert sorted(told) == sorted(MISTAKES)


def test_no_secret_of_the_broken_site_is_printed() -> None:
    output = wardwatch("check", str(GOLDEN / "broken.site.toml")).output
    for secret in ("secret@", "abc123", "123:abc", "ssh-ed25519"):
        assert secret not in output


def test_a_missing_file_is_a_problem_with_exit_code_2() -> None:
    result = wardwatch("check", "none.toml")
    assert (result.exit_code, "No such file" in result.output) == (2, True)


def test_the_check_opens_no_socket_and_no_port() -> None:
    script = (
        "import sys\n"
        "def hook(event, args):\n"
        "    if event.startswith(('socket.connect', 'socket.bind', 'socket.getaddrinfo', 'subprocess')):\n"
        "        raise SystemExit('opened ' + event)\n"
        "    if event == 'open' and str(args[0]).startswith('/dev/') and 'null' not in str(args[0]):\n"
        "        raise SystemExit('opened ' + str(args[0]))\n"
        "sys.addaudithook(hook)\n"
        "from edge.__main__ import cli\n"
        "cli(['check', sys.argv[1]])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(EXAMPLE)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")


# (unit, DIP switches 1..8 as set by hand: 1 + 2 + 4 + ... of the worths of the switches that are on)
DIP = [(1, "1000 0000"), (9, "1001 0000"), (12, "0011 0000"), (247, "1110 1111")]


@pytest.mark.parametrize(("unit", "on"), DIP)
def test_a_unit_is_shown_as_its_switches(unit: int, on: str) -> None:
    assert switches(unit) == on


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_vietnamese_names_end_no_command_in_any_locale(locale: str) -> None:
    env = {"PATH": os.environ["PATH"], "LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    result = subprocess.run(
        [sys.executable, "-m", "edge", "check", str(EXAMPLE)],
        cwd=ROOT,
        capture_output=True,
        env=env,
        timeout=60,
    )
    assert (result.returncode, result.stderr) == (0, b"")


def test_help_imports_neither_pydantic_nor_numpy() -> None:
    script = (
        "import sys\nfrom edge.__main__ import cli\n"
        "try:\n    cli(['--help'])\nfinally:\n"
        "    heavy = {'pydantic', 'numpy', 'numba', 'aiohttp', 'apprise', 'rich', 'asyncio'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")
    for name in COMMANDS:
        assert f"  {name}" in result.stdout


# (words, exit code, a piece of what is printed)
USAGE = [
    (["chek", "x"], 2, "Did you mean `wardwatch check`?"),
    (["site.toml"], 2, "wardwatch check site.toml"),
    (["frobnicate"], 2, "Commands: demo, check, run"),
    (["check"], 2, "Missing argument 'SITE'"),
    (["check", "--stat", "x", "s.toml"], 2, "No such option"),
    ([], 2, "Usage: wardwatch"),
    (["--version"], 0, "wardwatch "),
]


@pytest.mark.parametrize(("words", "code", "text"), USAGE)
def test_unexpected_use_gives_help_that_helps(words: list[str], code: int, text: str) -> None:
    result = wardwatch(*words)
    assert text in result.output
    assert result.exit_code == code


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_list_exists_and_has_help(name: str) -> None:
    result = wardwatch(name, "--help")
    assert result.exit_code == 0
    assert f"Usage: wardwatch {name}" in result.output
