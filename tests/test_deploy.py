"""The scripts that a newcomer runs first: they are sound shell, and what is missing gets the words that help."""

import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

from edge.config import load
from edge.plan import JOURNAL_ID, bus_down_id, silent_id

ROOT = Path(__file__).parents[1]
SCRIPTS = ("deploy/demo", "deploy/test", "deploy/venv.sh", ".ci/run")
# All that deploy/demo may need before it has found a Python.
TOOLS = [
    "bash",
    "cat",
    "cut",
    "dirname",
    "flock",
    "grep",
    "id",
    "mkdir",
    "rm",
    "sha256sum",
    "tail",
    "tr",
    "uname",
]


def run_demo(
    tmp_path: Path, *, pythons: dict[str, str], system: str = ""
) -> subprocess.CompletedProcess[str]:
    """deploy/demo in a checkout of its own, from another folder, where only these Pythons are installed.

    `pythons`: name -> what it says of itself ("is 3.11", "is 64-bit", "can make environments", version).
    """
    checkout, bin_ = tmp_path / "ward watch", tmp_path / "bin"
    shutil.copytree(ROOT / "deploy", checkout / "deploy")
    (checkout / "models").mkdir()
    shutil.copy(ROOT / "pyproject.toml", checkout)
    bin_.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, tool
        (bin_ / tool).symlink_to(found)
    if system:
        (bin_ / "uname").unlink()
        (bin_ / "uname").write_text(f"#!/bin/bash\necho {system}\n")
        (bin_ / "uname").chmod(0o755)
    for name, facts in pythons.items():
        (bin_ / name).write_text(f'#!/bin/bash\n[ "$1" = -c ] && {{ echo {facts}; exit; }}\nexit 9\n')
        (bin_ / name).chmod(0o755)
    return subprocess.run(
        [checkout / "deploy" / "demo"],
        cwd="/", env={"PATH": str(bin_)}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_is_sound(script: str) -> None:
    subprocess.run(["bash", "-n", ROOT / script], check=True)
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", "-x", ROOT / script], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_the_scripts_can_be_started() -> None:
    assert all(os.access(ROOT / script, os.X_OK) for script in SCRIPTS if not script.endswith(".sh"))


@pytest.mark.parametrize(
    ("pythons", "system", "words"),
    [
        # Debian 12 without python3-venv: the one line to type
        ({"python3": "1 1 0 3.11"}, "", "\n  sudo apt-get install -y python3-venv\n"),
        ({}, "", "\n  sudo apt-get install -y python3-venv\n"),
        ({"python3": "0 1 1 3.9"}, "", "needs Python 3.11 or newer; this machine has 3.9."),
        ({"python3": "1 0 1 3.11"}, "", "needs a 64-bit system; this Python is 32-bit"),
        ({"python3": "1 1 1 3.11"}, "Darwin", "runs on Linux (Debian 12 or 64-bit Raspberry Pi OS); this is Darwin."),
    ],
)  # fmt: skip
def test_what_is_missing_gets_the_words_that_help(
    tmp_path: Path, pythons: dict[str, str], system: str, words: str
) -> None:
    done = run_demo(tmp_path, pythons=pythons, system=system)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ward watch" / ".venv").exists()


def test_an_installation_that_fails_says_its_last_lines_and_starts_over_next_time(tmp_path: Path) -> None:
    # python3 is old, python3.11 is taken; it cannot make an environment after all.
    done = run_demo(tmp_path, pythons={"python3": "0 1 1 3.9", "python3.11": "1 1 1 3.11"})
    assert done.returncode == 1
    assert "installing 1/3" in done.stdout
    assert "run it again, it starts over by itself" in done.stderr
    assert (tmp_path / "ward watch" / ".venv" / "wardwatch-unfinished").exists()


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_locked_versions_have_hashes_and_name_no_host(name: str) -> None:
    text = (ROOT / "deploy" / name).read_text("utf-8")
    assert not re.search(r"://|--index|--find-links|^-e|@ ", text, re.MULTILINE)
    packages = re.findall(
        r"^([a-z0-9][a-z0-9-]*)==(\S+)(.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)+)", text, re.M
    )
    assert len(packages) == len(re.findall(r"==", re.sub(r";.*", "", text)))
    assert {"numba", "rich", "setuptools", "apprise"} <= {package for package, _, _ in packages}


def test_the_tests_use_the_same_versions_as_the_product() -> None:
    def versions(name: str) -> set[str]:
        text = (ROOT / "deploy" / name).read_text("utf-8")
        return set(re.findall(r"^\S+==\S+", text, re.MULTILINE))

    assert versions("requirements.lock") <= versions("requirements-dev.lock")


def test_the_readmes_first_site_passes_check(tmp_path: Path) -> None:
    block = re.search(r"```toml\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert block is not None
    site = tmp_path / "site.toml"
    site.write_text(textwrap.dedent(block[1]), "utf-8")
    config, problems = load(site)
    assert config is not None
    assert [problem for problem in problems if not problem.is_notice] == []


@pytest.mark.parametrize("page", ["README.md", "deploy/RUNBOOK.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target
    headings = {
        re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-")
        for h in re.findall(r"^#+ (.*)", text, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def test_each_trouble_that_is_told_stands_in_the_runbook() -> None:
    runbook = (ROOT / "deploy" / "RUNBOOK.md").read_text("utf-8")
    for alarm in (bus_down_id("BUS"), silent_id("SENSOR"), JOURNAL_ID):
        assert f"`{alarm}`" in runbook
