"""Tells an HTTP receiver: one signed POST of the incident's JSON for each attempt.

Follows the Standard Webhooks convention: `webhook-id` = the delivery key, `webhook-timestamp` (seconds),
`webhook-signature` = `v1,` + base64 of HMAC-SHA256(secret, id.timestamp.body). `Idempotency-Key` repeats the
key, so that a receiver that honours it sees each send once. Source: standard-webhooks specification 1.0.

What counts as an answer
- 2xx with an empty body, JSON or plain text: accepted. JSON may carry `{"ack":{"by":"..."}}`. A page (HTML)
  with status 200 comes from something else (a captive portal): tried again.
- 408, 409, 425, 429, 5xx, cut connections, nonsense, broken TLS: tried again; `Retry-After` is honoured.
- Redirects are refused and never followed: the secret and the incident must not travel to where somebody
  points.
- Other 4xx: refused. Where our clock is not synchronised and the answer is 400, 401 or 403, the receiver may
  dislike our timestamp: signed once more with the time of its own `Date` header.

Limits: the caller's deadline covers everything, names included (resolved by c-ares on the loop: a dead name
server holds no thread and no exit; /etc/hosts is read, mDNS is not). 64 kB of an answer are read. Connections
are kept for 15 s, because a silent NAT forgets them and a push into a forgotten one costs the whole deadline.
Reasons never hold the URL, the key, a header or the text of a foreign error: each of them may be a secret.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from ssl import SSLContext
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver

from gateway.http_words import after_s, date_s, why
from gateway.message import Message
from gateway.outcome import Outcome, Verdict

ANSWER_BYTES_MAX: Final = 65_536
KEEP_S: Final = 15.0
ACK_BY_CHARS_MAX: Final = 64
_TRY_AGAIN: Final = frozenset({408, 409, 425, 429})
_MAY_BE_OUR_CLOCK: Final = frozenset({400, 401, 403})

WallClock = Callable[[], tuple[int, bool]]


class SecretError(ValueError):
    """The credential's key is no `whsec_` secret. The text never repeats it."""


def signing_key(secret: str) -> bytes:
    """The bytes of a `whsec_<base64>` secret. Raises SecretError.

    >>> signing_key("whsec_AAECAw==")
    b'\\x00\\x01\\x02\\x03'
    """
    try:
        key = base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not key or not secret.strip().startswith("whsec_"):
        raise SecretError("the key must be whsec_ followed by base64")
    return key


def signature(key: bytes, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp_s, body)
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Webhook:
    """One receiver. `wall()` gives (ns since 1970, synchronised); `key` None sends unsigned."""

    def __init__(
        self,
        id: str,
        url: str,
        key: bytes | None,
        wall: WallClock,
        *,
        tls: SSLContext | None = None,
        resolver: Callable[[], AbstractResolver] = aiohttp.AsyncResolver,
    ) -> None:
        self.id = id
        self._url = url
        self._key = key
        self._wall = wall
        self._tls = tls
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None
        self._names: AbstractResolver | None = None

    async def prepare(self) -> str:
        """The session and its name resolver."""
        self._open()
        return ""

    async def tell(self, message: Message, person: str | None, key: str) -> Outcome:
        """One attempt. Bears being cancelled; the caller sets the deadline."""
        body = json.dumps(
            message.incident, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        ).encode()
        wall_ns, synced = self._wall()
        try:
            outcome, status, date = await self._post(key, body, wall_ns // 1_000_000_000)
            if status in _MAY_BE_OUR_CLOCK and not synced and date is not None:
                outcome, _, _ = await self._post(key, body, date)
        except aiohttp.InvalidURL:
            return Outcome(Verdict.REJECTED, "the URL cannot be used")
        except aiohttp.ClientError as problem:
            return Outcome(Verdict.RETRY, why(problem, synced))
        return outcome

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._names is not None:
            # The session does not own it; a look-up left open would call back into a closed loop.
            await self._names.close()
            self._names = None

    async def _post(self, key: str, body: bytes, time_s: int) -> tuple[Outcome, int, int | None]:
        """(outcome, status, the receiver's time in s or None)."""
        headers = {"Content-Type": "application/json", "webhook-id": key, "Idempotency-Key": key}
        headers["webhook-timestamp"] = str(time_s)
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, key, time_s, body)
        async with self._open().post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
            told_s = date_s(answer.headers.get("Date"))
            if 200 <= answer.status < 300:
                content = await _bounded(answer.content)
                return _judged(answer.headers.get("Content-Type", ""), content), answer.status, told_s
            pause_s = after_s(answer.headers, told_s if told_s is not None else time_s)
            # The rest of a refusal is not read: it is of no use, and it might never end.
            answer.close()
            return _refused(answer.status, pause_s), answer.status, told_s

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._names = self._resolver()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=self._names,
                    ssl=self._tls if self._tls is not None else True,
                    keepalive_timeout=KEEP_S,
                    limit=16,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                # The deadline is the caller's; aiohttp's own limits would only add other words for it.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                headers={
                    "User-Agent": "wardwatch",
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                },
                trust_env=False,
            )
        return self._session


async def _bounded(stream: aiohttp.StreamReader) -> bytes | None:
    """The whole body, or None when it is too long."""
    body = b""
    async for chunk in stream.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            return None
    return body


def _judged(content_type: str, body: bytes | None) -> Outcome:
    """What a 2xx says."""
    if body is None:
        return Outcome(Verdict.RETRY, "something else answered: a long body")
    text = body.strip()
    if not text:
        return Outcome(Verdict.ACCEPTED)
    if "html" in content_type.lower() or text.startswith(b"<"):
        return Outcome(Verdict.RETRY, "something else answered: a page")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        # Many small receivers answer "ok", some without saying what it is.
        if content_type.split(";")[0].strip().lower() in ("text/plain", ""):
            return Outcome(Verdict.ACCEPTED)
        return Outcome(Verdict.RETRY, "something else answered: no JSON")
    return Outcome(Verdict.ACCEPTED, ack_by=_ack_by(answer))


def _ack_by(answer: Any) -> str | None:
    """Who acknowledges; None for anything that is no short printable name."""
    ack = answer.get("ack") if isinstance(answer, dict) else None
    by = ack.get("by") if isinstance(ack, dict) else None
    is_name = isinstance(by, str) and 0 < len(by.strip()) <= ACK_BY_CHARS_MAX and by.isprintable()
    return by.strip() if is_name and isinstance(by, str) else None


def _refused(status: int, after_s: float | None) -> Outcome:
    if status in _TRY_AGAIN or status >= 500:
        return Outcome(Verdict.RETRY, f"HTTP {status}", after_s=after_s)
    if 300 <= status < 400:
        return Outcome(Verdict.REJECTED, f"HTTP {status}: a redirect, not followed")
    return Outcome(Verdict.REJECTED, f"HTTP {status}")
