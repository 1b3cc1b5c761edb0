"""Secrets by name: `$CREDENTIALS_DIRECTORY/NAME`, else `credentials/NAME` beside the site.

A credential is a small TOML file with the keys that its kind needs. It is read once, at start. What is wrong
with one is a notice: secrets belong to a machine, not to the site, and a missing one must never keep a
gateway from watching.

Invariant: nothing of a file's content reaches a problem, a log or a `repr`; not even unknown keys, which may
be a secret that was pasted in the wrong way.
"""

import base64
import binascii
import os
import stat
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from models.plain import one_of, suggestion
from models.problem import Problem
from models.site_fields import is_loopback

_READ_MAX: Final = 64 * 1024
_KEY_BYTES: Final = range(16, 129)  # Standard Webhooks asks for 24 to 64; a little more is harmless


@dataclass(frozen=True, slots=True)
class Credential:
    """One secret and what belongs to it. All but the name stay out of `repr`."""

    name: str
    key: str | None = field(default=None, repr=False)
    url: str | None = field(default=None, repr=False)
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    ca: str | None = field(default=None, repr=False)
    cert: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


KEYS: Final = frozenset(f.name for f in fields(Credential)) - {"name"}


def read(name: str, beside: Path, used_by: str, kind: str) -> tuple[Credential | None, list[Problem]]:
    """One credential and notices. `kind`: the notifier's or sink's kind, which says what must be in it."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    candidates = [Path(folder) / name] if folder else []
    candidates.append(beside / "credentials" / name)
    path = next((p for p in candidates if p.exists()), None)
    where = f"{used_by}.credential"
    if path is None:
        what = f"credentials/{name} is absent on this machine: {_without(kind)}"
        return None, [
            Problem(where, what, f"put it beside the site file, chmod 600: {_example(kind)}", is_notice=True)
        ]
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return None, [Problem(where, f"credentials/{name} is not a file", _example(kind), is_notice=True)]
        with path.open("rb") as file:
            data = tomllib.loads(file.read(_READ_MAX).decode("utf-8"))
    except OSError as error:
        what = f"credentials/{name} cannot be read: {error.strerror}"
        return None, [Problem(where, what, "let the user of the service read it", is_notice=True)]
    except (ValueError, RecursionError):
        what = f"credentials/{name} is not a TOML file: {_without(kind)}"
        return None, [Problem(where, what, f"write lines like {_example(kind)}", is_notice=True)]
    notices = []
    if mode & 0o077:
        what = f"credentials/{name} can be read by other users"
        notices.append(Problem(where, what, f"chmod 600 credentials/{name}", is_notice=True))
    texts = {key: value for key, value in data.items() if key in KEYS and isinstance(value, str)}
    for key in data.keys() - texts.keys():
        meant = key if key in KEYS else suggestion(key, KEYS)
        what = f"credentials/{name} has a key that is not known, or whose value is no text in quotes"
        instead = f"write {meant} = ..." if meant else f"known: {one_of(KEYS)}"
        notices.append(Problem(where, what, instead, is_notice=True))
    credential = Credential(name, **texts)
    return _usable(credential, kind), notices + _lacks(credential, where, kind)


def _usable(credential: Credential, kind: str) -> Credential | None:
    """Without what its receiver could not use: whoever starts on it needs no further checks."""
    if kind == "apprise" and not credential.url:
        return None
    if kind != "webhook":
        return credential
    key = credential.key if credential.key and _is_webhook_key(credential.key) else None
    url = credential.url if credential.url and _is_safe(credential.url) else None
    return replace(credential, key=key, url=url)


def _lacks(credential: Credential, where: str, kind: str) -> list[Problem]:
    """What this kind of receiver needs and this credential does not have, or not in a usable form."""
    faults = []
    name = f"credentials/{credential.name}"
    if kind == "apprise" and not credential.url:
        faults.append((f"{name} has no url: {_without(kind)}", f"write {_example(kind)}"))
    if kind == "webhook":
        if credential.key is None:
            faults.append((f"{name} has no key: {_without(kind)}", f"write {_example(kind)}"))
        elif not _is_webhook_key(credential.key):
            faults.append(
                (f"{name}: its key is not whsec_ and base64: {_without(kind)}", f"write {_example(kind)}")
            )
        if credential.url and not _is_safe(credential.url):
            faults.append(
                (
                    f"{name}: its url is not https://: nothing is sent there",
                    "write url = with an https:// address",
                )
            )
    return [Problem(where, what, instead, is_notice=True) for what, instead in faults]


def _is_webhook_key(key: str) -> bool:
    prefix, _, rest = key.partition("_")
    try:
        return prefix == "whsec" and len(base64.b64decode(rest, validate=True)) in _KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
    except ValueError:
        return False


def _without(kind: str) -> str:
    return {
        "webhook": "messages would go unsigned",
        "apprise": "it is not known where to send, so it tells nobody",
    }.get(kind, "the server will refuse us")


def _example(kind: str) -> str:
    return {
        "webhook": 'key = "whsec_..."',
        "apprise": 'url = "ntfys://..."',
        "mqtt": 'user = "...", password = "..."',
        "influx": 'token = "..."',
    }.get(kind, 'key = "..."')
