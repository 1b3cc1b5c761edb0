"""InfluxDB (and what takes its v2 write path) as a sink: one single-shot write of our own lines for each attempt.

What an answer means
- 204: accepted. Any other 2xx, a redirect, a 404 or 4xx without InfluxDB's JSON: something else answered (FOREIGN).
- "partial write ... dropped=N", whatever its status (400 in 1.x, 422, 500 for points beyond retention): N are refused,
  the rest is written.
- other 400 and 422: the batch is refused; the forwarder sifts it. 1.x has written its good lines, 2.x none: points are
  idempotent, so both end right.
- 413: halved until it passes; the size is remembered.
- 401, 403, 404: it says no to us (REFUSING): hold, a person must mend it.
- 429, 502, 503, 504, no answer: AWAY, tried again, Retry-After is honoured. 500 and cut connections may be the fault
  of one line: tried again, then sifted.

Of several addresses the next one is used after a failure that is not the batch's. The library's batching mode is not
used: it drops data by design. 64 kB of an answer are read. Names are resolved by c-ares on the loop. Neither token nor
address stand in a reason.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.client.write_api_async import WriteApiAsync
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from gateway.forward import Tag
from gateway.http_words import after_s, date_s, message_of, why
from gateway.outcome import Fault, Outcome, Verdict

ANSWER_BYTES_MAX: Final = 65_536
TIMEOUT_S: Final = 20.0
_MS: Final[Any] = WritePrecision.MS  # a plain string in the library, which asks for the class
_DROPPED: Final = re.compile(r"\bdropped=(\d{1,9})\b")
_AWAY: Final = frozenset({408, 425, 429, 502, 503, 504})
_REFUSING: Final = frozenset({401, 403, 404})


class _Bounded(aiohttp.ClientResponse):
    """An answer that ends: what comes after 64 kB is not read."""

    async def read(self) -> bytes:
        if self._body is None:
            body = b""
            async for chunk in self.content.iter_any():
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    self.close()
                    break
            self._body = body[:ANSWER_BYTES_MAX]
        return self._body


class Influx:
    """One bucket. `wall()` gives (ns since 1970, synchronised)."""

    def __init__(
        self,
        id: str,
        urls: Sequence[str],
        bucket: str,
        org: str | None,
        token: str | None,
        wall: Callable[[], tuple[int, bool]],
        *,
        compress: bool = False,
        ca: str | None = None,
        cert: str | None = None,
    ) -> None:
        self.id = id
        self._urls = tuple(urls)
        self._bucket, self._org, self._token = bucket, org or "-", token
        self._wall = wall
        self._options = {"enable_gzip": compress, "ssl_ca_cert": ca, "cert_file": cert}
        self._at = 0
        self._client: InfluxDBClientAsync | None = None
        self._lines_max = 1_000_000

    async def send(self, lines: Sequence[str], tag: Tag) -> Outcome:
        """Write all lines; what the server counts as refused is counted."""
        rejected, reasons = 0, ""
        waiting = [lines]
        while waiting:
            piece = waiting.pop(0)
            if len(piece) > self._lines_max:
                waiting[:0] = [piece[: self._lines_max], piece[self._lines_max :]]
                continue
            outcome = await self._write(piece)
            if outcome is None:  # too large
                if len(piece) == 1:
                    return Outcome(Verdict.REJECTED, "HTTP 413: one line is too large")
                self._lines_max = len(piece) // 2
                waiting.insert(0, piece)
            elif outcome.verdict is Verdict.PARTIAL:
                rejected += outcome.rejected_n
                reasons = outcome.reason
            elif outcome.verdict is not Verdict.ACCEPTED:
                if outcome.fault in (Fault.AWAY, Fault.FOREIGN):
                    await self._next_address()
                return outcome
        if rejected:
            return Outcome(Verdict.PARTIAL, reasons, rejected_n=min(rejected, len(lines)))
        return Outcome(Verdict.ACCEPTED)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()  # type: ignore[no-untyped-call]  # the library leaves it untyped

    async def _write(self, lines: Sequence[str]) -> Outcome | None:
        """One request; None: the body is too large."""
        _, synced = self._wall()
        try:
            is_taken = await WriteApiAsync(self._open()).write(self._bucket, self._org, "\n".join(lines), _MS)
        except ApiException as answer:
            return None if answer.status == 413 else _judged(answer, self._wall()[0] // 1_000_000_000)
        except aiohttp.InvalidURL:
            return Outcome(Verdict.RETRY, "the URL cannot be used", fault=Fault.REFUSING)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError) as problem:
            return Outcome(Verdict.RETRY, why(problem, synced))
        except aiohttp.ClientError as problem:
            return Outcome(Verdict.RETRY, why(problem, synced), fault=Fault.AWAY)
        except TimeoutError:
            return Outcome(Verdict.RETRY, "no answer in time", fault=Fault.AWAY)
        if not is_taken:
            return Outcome(Verdict.RETRY, "something else answered: not 204", fault=Fault.FOREIGN)
        return Outcome(Verdict.ACCEPTED)

    def _open(self) -> InfluxDBClientAsync:
        if self._client is None:
            options: dict[str, Any] = {k: v for k, v in self._options.items() if v}
            self._client = InfluxDBClientAsync(
                self._urls[self._at],
                token=self._token or "",
                org=self._org,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                allow_redirects=False,
                client_session_kwargs={
                    "response_class": _Bounded,
                    "trust_env": False,
                    "cookie_jar": aiohttp.DummyCookieJar(),
                },
                **options,
            )
        return self._client

    async def _next_address(self) -> None:
        if len(self._urls) > 1:
            self._at = (self._at + 1) % len(self._urls)
            await self.close()


def _judged(answer: ApiException, now_s: int) -> Outcome:
    """What a status that is no success says."""
    status = int(answer.status or 0)
    headers: Mapping[str, str] = answer.headers or {}
    body = answer.body
    text = message_of(body.decode(errors="replace") if isinstance(body, bytes) else str(body or ""))
    said = f"HTTP {status}" + (f": {text}" if text else "")
    dropped = _DROPPED.search(text) if text and "partial write" in text else None
    # What could not be parsed is not in the count (1.x says dropped=0): such a batch is sifted.
    if dropped and text and "unable to parse" not in text:
        return Outcome(Verdict.PARTIAL, said, rejected_n=int(dropped[1]))
    if status in _AWAY:
        told_s = date_s(headers.get("Date"))
        wish_s = after_s(headers, told_s if told_s is not None else now_s)
        return Outcome(Verdict.RETRY, said, after_s=wish_s, fault=Fault.AWAY)
    if 300 <= status < 400:
        return Outcome(Verdict.RETRY, f"{said}: a redirect, not followed", fault=Fault.FOREIGN)
    if status in _REFUSING and (text or status != 404):
        return Outcome(Verdict.RETRY, said, fault=Fault.REFUSING)
    if status >= 500:
        return Outcome(Verdict.RETRY, said)
    if text is None:
        return Outcome(Verdict.RETRY, f"something else answered: {said}", fault=Fault.FOREIGN)
    return Outcome(Verdict.REJECTED, said)
