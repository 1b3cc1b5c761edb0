"""What HTTP servers say, in words that hold no secret: neither URL, header, token nor the text of a foreign error."""

import json
import os
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp

WORDS_MAX: Final = 200


def why(problem: aiohttp.ClientError, synced: bool) -> str:
    """Why there was no HTTP answer. Wrong time makes good certificates look bad: that is our clock's fault."""
    match problem:
        case aiohttp.ClientSSLError():
            return "TLS failed" if synced else "TLS failed while our clock is not set"
        case aiohttp.ClientConnectorDNSError():
            return "the name does not resolve"
        case aiohttp.ClientConnectorError():
            return f"cannot connect: {_system(problem.os_error)}"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | aiohttp.ClientOSError():
            return "the connection was cut"
        case _:
            return f"no HTTP answer ({type(problem).__name__})"


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
