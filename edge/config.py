"""The only reader of files: a site, its devices, calibration and credentials become one `Config`.

Reads SITE.toml, the packaged device files and `devices/*.toml` beside the site (the site's own win), and
`calibration.toml`; looks for credentials. All problems come at once, each with its path; notices are what is
only absent on this machine or worth knowing. Nothing is opened but files, nothing is asked of a port or a
server.

Invariants: `Config` is None exactly when something is wrong that is no notice. The fingerprint covers
everything that decides what the gateway does, without secrets: two gateways with the same one behave the
same.
"""

import hashlib
import json
import os
import re
import stat
import tomllib
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

from drivers import profile as profiles_module
from drivers import registers
from drivers.profile import Profile
from drivers.registers import Device
from edge import admission, credentials, fit
from edge.credentials import Credential
from models import plain, site
from models.problem import Problem
from models.site import Site
from models.site_rules import Tables

READ_MAX_BYTES: Final = 4 * 1024 * 1024
DEPTH_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that `run` needs to know. `credentials` by name: only those that are on this machine."""

    site: Site
    profiles: dict[str, Profile]
    devices: tuple[Device, ...]
    credentials: dict[str, Credential] = field(repr=False)
    fingerprint: str
    path: Path


def load(path: Path) -> tuple[Config | None, list[Problem]]:
    """The configuration of a site file, and all that is wrong or worth knowing, in a stable order."""
    data, problem = _toml(path, path.name)
    if problem:
        return None, [problem]
    tables, problems = site.read(data)
    profiles, raw_profiles, broken, found = _profiles(path.parent)
    problems += found
    problems += _zone(data)
    problems += fit.problems(tables, profiles, broken)
    calibration, found = _calibration(path.parent)
    problems += found
    secrets, found = _credentials(tables, path.parent)
    problems += found + _ports(tables) + _not_read_yet(path.parent)
    problems = list(dict.fromkeys(problems))
    if any(not p.is_notice for p in problems):
        return None, problems
    good = site.whole(tables)
    devices = registers.devices(good, profiles)
    problems += admission.problems(good, devices)
    if any(not p.is_notice for p in problems):
        return None, problems
    used = {sensor.device for sensor in good.sensor}
    content = {
        "site": data,
        "devices": {name: raw_profiles[name] for name in sorted(used & raw_profiles.keys())},
        "calibration": calibration,
    }
    return Config(good, profiles, devices, secrets, _fingerprint(content), path), problems


def _toml(path: Path, name: str) -> tuple[dict[str, Any], Problem | None]:
    """The tables of a file, or what keeps it from being read."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return {}, Problem(name, "is a folder", "name the file in it, like site.toml")
        if not stat.S_ISREG(mode):
            return {}, Problem(name, "is not a file", "name a site file")
        with path.open("rb") as file:
            content = file.read(READ_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or "not a file name"
        return {}, Problem(name, f"cannot be read: {reason}", "look at the path and its permissions")
    return _parsed(content, name)


def _parsed(content: bytes, name: str) -> tuple[dict[str, Any], Problem | None]:
    if len(content) > READ_MAX_BYTES:
        return {}, Problem(name, "is larger than 4 MB", "name a site file")
    try:
        text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return {}, Problem(name, f"is not UTF-8 text (line {line})", "save it as UTF-8")
    endless = Problem(name, "has a number or a nesting without end in it", "remove it")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return {}, Problem(name, f"is not TOML: {_where(str(error))}", _hint(text, str(error)))
    except (ValueError, RecursionError):
        return {}, endless
    return (data, None) if _is_bounded(data) else ({}, endless)


def _is_bounded(data: object) -> bool:
    """Whether integers have 64 bits at most (TOML 1.0) and tables nest no deeper than we could print."""
    at = [data]
    for _ in range(DEPTH_MAX):
        if not at:
            return True
        if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in at):
            return False
        at = [
            inner
            for outer in at
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return False


def _where(message: str) -> str:
    """`tomllib` says where, but may quote the file's text, which may be a secret: only its words are kept."""
    at = re.search(r"line (\d+), column (\d+)", message)
    words = re.sub(r"\s*\(at .*\)$", "", message)
    words = re.sub(r"'[^']*'|\"[^\"]*\"", "...", words)[:80]
    place = f"line {at[1]}, column {at[2]}" if at else "at its end"
    return f"{words[:1].lower()}{words[1:]} ({place})"


def _hint(text: str, message: str) -> str:
    at = re.search(r"line (\d+)", message)
    rows = text.split("\n")
    row = rows[int(at[1]) - 1].strip() if at and int(at[1]) <= len(rows) else ""
    if re.match(r"^(\[\[?[a-z]+\]?\]|\w+\s*=\s*[^#]+\s\w+\s*=)", row):
        return "write one key a line; a [table] line stands alone"
    if re.match(r"^\w+\s*=\s*[^\"'\[{\d+-]", row):
        return "write text in quotes; true and false without"
    return 'write key = "text" or key = 1.5, one a line'


def _profiles(
    beside: Path,
) -> tuple[dict[str, Profile], dict[str, dict[str, Any]], list[str], list[Problem]]:
    """(profiles, their tables, names of broken ones, problems): packaged, then the site's own."""
    files: dict[str, Traversable] = {}
    for folder in (resources.files("drivers") / "devices", beside / "devices"):
        if folder.is_dir():
            found = sorted(folder.iterdir(), key=lambda entry: entry.name)
            files |= {
                entry.name.removesuffix(".toml"): entry for entry in found if entry.name.endswith(".toml")
            }
    profiles: dict[str, Profile] = {}
    tables: dict[str, dict[str, Any]] = {}
    broken: list[str] = []
    problems: list[Problem] = []
    for name, entry in files.items():
        shown = f"devices.{plain.key_text(name)}"
        if isinstance(entry, Path):
            data, problem = _toml(entry, shown)
        else:
            data, problem = _parsed(entry.read_bytes(), shown)
        profile, found_here = (None, [problem]) if problem else profiles_module.parse(name, data)
        problems += found_here
        if profile is None:
            broken.append(name)
        else:
            profiles[name] = profile
            tables[name] = data
    return profiles, tables, broken, problems


def _zone(data: Mapping[str, Any]) -> list[Problem]:
    ward = data.get("ward")
    zone = ward.get("zone") if isinstance(ward, dict) else None
    if not isinstance(zone, str) or not zone.strip():
        return []  # absent, or told by models.site
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        meant = plain.suggestion(zone, zoneinfo.available_timezones(), 0.85) or "Asia/Ho_Chi_Minh"
        return [
            Problem(
                "ward.zone", f"is {plain.shown(zone)}, which is not a time zone", f'write zone = "{meant}"'
            )
        ]
    return []


def _calibration(beside: Path) -> tuple[dict[str, Any], list[Problem]]:
    path = beside / "calibration.toml"
    if not path.exists():
        return {}, []
    data, problem = _toml(path, "calibration.toml")
    if problem:
        return {}, [problem]
    what = "counts for the fingerprint; its values are used with a later version"
    return data, [Problem("calibration.toml", what, "until then write [sensor.calibration]", is_notice=True)]


def _credentials(tables: Tables, beside: Path) -> tuple[dict[str, Credential], list[Problem]]:
    found: dict[str, Credential] = {}
    notices: list[Problem] = []
    users: list[tuple[str, str, str | None]] = []
    users += [(row.path, row.item.kind, row.item.credential) for row in tables.notifier]
    users += [(row.path, row.item.kind, row.item.credential) for row in tables.sink]
    for path, kind, name in users:
        if name:
            credential, about = credentials.read(name, beside, path, kind)
            notices += about
            if credential:
                found[name] = credential
    for notifier in tables.notifier:
        item = notifier.item
        held = found.get(item.credential or "")
        if item.kind == "webhook" and not item.url and held and not held.url:
            what = f"is missing, here and in credentials/{held.name}: it tells nobody"
            notices.append(Problem(f"{notifier.path}.url", what, 'write url = "https://..."', is_notice=True))
        if item.kind == "webhook" and "credential" not in item.model_fields_set:
            what = "is absent: messages go unsigned, and the receiver cannot know that they are ours"
            instead = 'write credential = "duty-hook" and put its key in credentials/duty-hook'
            notices.append(Problem(f"{notifier.path}.credential", what, instead, is_notice=True))
    return found, notices


def _ports(tables: Tables) -> list[Problem]:
    notices = []
    for row in tables.bus:
        scheme, _, rest = row.item.port.partition(":")
        if scheme == "serial" and not os.path.lexists(rest):
            what = "is absent on this machine: the bus is reported as down until it is plugged in"
            instead = "ls -l /dev/serial/by-path/ shows the names of what is plugged in"
            notices.append(Problem(f"{row.path}.port", what, instead, is_notice=True))
    return notices


def _not_read_yet(beside: Path) -> list[Problem]:
    if not (beside / "people.toml").exists():
        return []
    what = "is not read yet: until then every notifier gets everything"
    return [Problem("people.toml", what, "", is_notice=True)]


def _fingerprint(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
