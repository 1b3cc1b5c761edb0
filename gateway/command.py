"""Signed commands: a compact JWS (RFC 7515, EdDSA, `kid` = author) becomes a checked order, or words for the refusal.

Checked here: size and shape, the algorithm (only EdDSA: a token may not choose how it is verified), the author and
his key, what he may do, `exp` (seconds since 1970) when our clock can be believed. While it cannot, `drill` and
`shelve` are refused, because they hide or invent alarms; `ack` is accepted. That an id acts once is for the caller.
"""

import base64
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import OKPKey

LATEST_S: Final = 3600  # an expiry farther away is refused: it would act long after it was meant
NEEDS_CLOCK: Final = frozenset({"drill", "shelve", "unshelve"})
WORD_CHARS_MAX: Final = 64
BYTES_MAX: Final = 16_384


class Rejected(Exception):
    """The order is not carried out. `id` as far as it could be read; `why` is for the author."""

    def __init__(self, id: str | None, why: str) -> None:
        super().__init__(why)
        self.id = id
        self.why = why


@dataclass(frozen=True, slots=True)
class Order:
    """A verified order: the body, and who signed it."""

    author: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """One author. `public`: 32 bytes of Ed25519; `may`: the orders he may give."""

    public: bytes
    may: frozenset[str]


def read(payload: bytes, keys: Mapping[str, Key], wall: Callable[[], tuple[int, bool]]) -> Order:
    """The order in a token. `wall()` gives (ns since 1970, synchronised). Raises Rejected."""
    if len(payload) > BYTES_MAX:
        raise Rejected(None, f"a command has at most {BYTES_MAX} bytes")
    id = claimed_id(payload)
    author = _author(payload, id)
    if author not in keys:
        raise Rejected(id, "this author is not known here")
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": _base64url(keys[author].public)})
    try:
        with warnings.catch_warnings():  # RFC 9864 renames EdDSA to Ed25519; authors sign with either name
            warnings.simplefilter("ignore", SecurityWarning)
            token = jws.deserialize_compact(payload, key, algorithms=["EdDSA", "Ed25519"])
        body = json.loads(token.payload)
    except (JoseError, ValueError, RecursionError, TypeError, KeyError):
        raise Rejected(id, "the signature is not that author's") from None
    if not isinstance(body, dict) or id is None:
        raise Rejected(id, "a command is a JSON object with an id of at most 64 printable characters")
    _check_right(id, body, keys[author])
    _check_time(id, body, wall)
    return Order(author, body)


def claimed_id(payload: bytes) -> str | None:
    """The id in a token's unverified body; None where there is none that could be repeated in an answer."""
    body = _part(payload, 1)
    id = body.get("id") if isinstance(body, dict) else None
    return id if _is_word(id) else None


def _author(payload: bytes, id: str | None) -> str:
    head = _part(payload, 0)
    author = head.get("kid") if isinstance(head, dict) else None
    if not isinstance(author, str):
        raise Rejected(id, "not a signed command: a compact JWS with kid = author is needed")
    return author


def _check_right(id: str, body: dict[str, Any], key: Key) -> None:
    do = body.get("do")
    if not isinstance(do, str) or do not in key.may:
        known = ", ".join(sorted(key.may))
        raise Rejected(id, f"this author may not do that; he may: {known}")


def _check_time(id: str, body: dict[str, Any], wall: Callable[[], tuple[int, bool]]) -> None:
    wall_ns, synced = wall()
    exp = body.get("exp")
    if isinstance(exp, bool) or not isinstance(exp, int | float):
        raise Rejected(id, "say until when it holds: exp, in seconds since 1970")
    if not synced:
        if body["do"] in NEEDS_CLOCK:
            raise Rejected(id, "our clock is not set: drill and shelve wait for it")
        return
    now_s = wall_ns / 1e9
    if not now_s < exp:
        raise Rejected(id, "it has expired")
    if exp > now_s + LATEST_S:
        raise Rejected(id, f"exp is more than {LATEST_S} s away")


def _part(payload: bytes, n: int) -> Any:
    """One decoded part of a token, not verified; None for anything strange."""
    try:
        text = payload[:BYTES_MAX].split(b".")[n]
        return json.loads(base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)))
    except (ValueError, IndexError, RecursionError):
        return None


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _is_word(text: Any) -> bool:
    return isinstance(text, str) and 0 < len(text) <= WORD_CHARS_MAX and text.isprintable()
