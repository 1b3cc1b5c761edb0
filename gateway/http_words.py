"""What HTTP and TLS servers say, in words that hold no secret: no URL, header, token or foreign error text."""

import json
import os
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp

WORDS_MAX: Final = 200
_TLS: Final = {
    "certificate has expired": ": the server's certificate has expired",
    "not yet valid": ": the server's certificate is not valid yet",
    "self-signed certificate": ": nobody we trust signed the server's certificate",
    "local issuer": ": nobody we trust signed the server's certificate",
    "mismatch": ": the server's certificate names somebody else",
}


def why(problem: aiohttp.ClientError, synced: bool) -> str:
    """Why there was no HTTP answer. Wrong time makes good certificates look bad: that is our clock's fault."""
    match problem:
        case aiohttp.ClientSSLError():
            return tls_words(str(problem), synced)
        case aiohttp.ClientConnectorDNSError():
            return "the name does not resolve"
        case aiohttp.ClientConnectorError():
            return f"cannot connect: {_system(problem.os_error)}"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | aiohttp.ClientOSError():
            return "the connection was cut"
        case _:
            return f"no HTTP answer ({type(problem).__name__})"


def tls_words(text: str, synced: bool) -> str:
    """Why TLS failed, by OpenSSL's words in a foreign error text, which also holds the address and so is not shown."""
    known = next((ours for theirs, ours in _TLS.items() if theirs in text), "")
    return f"TLS failed{known}" if synced else f"TLS failed{known} while our clock is not set"


def date_s(text: str | None) -> int | None:
    """Seconds since 1970 of an HTTP date."""
    try:
        return None if text is None else int(parsedate_to_datetime(text).timestamp())
    except (ValueError, OverflowError):
        return None


def after_s(headers: Mapping[str, str], now_s: int) -> float | None:
    """Retry-After in seconds, given as seconds or as a date; `now_s`: the server's own time where it told it."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal() and len(text) <= 9:
        return float(text)
    at_s = date_s(text or None)
    return None if at_s is None else float(max(0, at_s - now_s))


def message_of(body: str) -> str | None:
    """The error text of an InfluxDB-shaped JSON answer, on one line; None: another shape."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    text = answer.get("message", answer.get("error")) if isinstance(answer, dict) else None
    if not isinstance(text, str):
        return None
    return "".join(c if c.isprintable() else " " for c in text)[:WORDS_MAX]


def _system(problem: OSError) -> str:
    """The system's words for its number; asyncio's own text holds the address."""
    return os.strerror(problem.errno) if problem.errno else "no reason given"
