"""One MQTT 5 broker: `status`, `live`, retained topics, `history`, signed commands.

- A fresh client for each connection: one that is used again would send what an earlier attempt gave up. What must
  arrive is kept by us: history in the spool, the newest payload of each retained topic here, all published anew on
  every connection.
- `history` is done when its PUBACK came with a good reason code. Live values go out unawaited (a tenth of the cost),
  and are dropped, counted, while the broker is away or takes no bytes.
- Incoming commands are acknowledged to the broker after they were acted on; a broker that is slow to be read gives no
  more than 20. Retained ones are refused.
- Addresses are tried in turn, each name resolved in our own thread. Certificates are always verified.
- Who has our client id and is not us ends our connection: TAKEN_OVER, by the broker's word (reason 142) or, where it
  only closes (mosquitto 2.0.11), after `SHORT_N` connections in a row that lasted less than `SHORT_S`.

Limits: `RETAINED_MAX` topics; 64 commands wait; a payload above the broker's packet limit is split by lines.
"""

import asyncio
import contextlib
import gzip
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.command import Rejected, claimed_id
from gateway.forward import Tag
from gateway.mqtt_client import (
    CONNECT_S,
    REFUSALS,
    TAKEN_OVER,
    Access,
    Client,
    Incoming,
    MqttError,
    TakenOver,
    client,
    properties,
    why,
)
from gateway.outcome import Fault, Outcome, Verdict

PREFIX: Final = "wardwatch/v1"
GOODBYE_S: Final = 2.0
SHORT_S: Final = 15.0
SHORT_N: Final = 3
BACKOFF_MAX_S: Final = 30.0
RETAINED_MAX: Final = 10_000
COMMAND_BYTES_MAX: Final = 16_384
PACKET_OVERHEAD: Final = 256
_TOO_LARGE: Final = 149
_BAD_PAYLOAD: Final = 153

_log = logging.getLogger(__name__)

Resolve = Callable[[str], Awaitable[list[str]]]


@dataclass(slots=True)
class MqttStats:
    """Plain counters, read at scrape. `fault` and `reason`: why there is no connection; None and "" when there is."""

    connections: int = 0
    live_sent: int = 0
    live_dropped: int = 0
    commands: int = 0
    refused_commands: int = 0
    bad_in_a_row: int = 0
    fault: Fault | None = Fault.AWAY
    reason: str = "not connected yet"


class Mqtt:
    """One broker. `status(state)` gives the payload for "online" and "offline"; `act(body)` takes a signed command
    and gives the answer, or raises `Rejected`; `wall()` gives (ns since 1970, synchronised)."""

    def __init__(
        self,
        id: str,
        urls: Sequence[str],
        topic: str,
        access: Access,
        *,
        resolve: Resolve,
        status: Callable[[str], bytes],
        act: Callable[[bytes], dict[str, Any]],
        wall: Callable[[], tuple[int, bool]],
        random: Random,
        compress: bool = False,
    ) -> None:
        self.id = id
        self.stats = MqttStats()
        self._urls = tuple(urls)
        self._topic = f"{PREFIX}/{topic}"
        self._access = access
        self._resolve = resolve
        self._status = status
        self._act = act
        self._wall = wall
        self._random = random
        self._compress = compress
        self._client: Client | None = None
        self._up = asyncio.Event()
        self._retained: dict[str, bytes | None] = {}
        self._dirty: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._is_leaving = False
        self._short_n = 0

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        wait_s, at = 1.0, 0
        while True:
            url = self._urls[at % len(self._urls)]
            started_s, before_n = asyncio.get_running_loop().time(), self.stats.connections
            try:
                await self._connection(url)
            except* (MqttError, OSError, TimeoutError) as group:
                self._is_bad(*why(_first(group), self._wall()[1]))
            if self._is_leaving:
                return
            at += 1
            lasted_s = asyncio.get_running_loop().time() - started_s
            if self.stats.connections > before_n:
                self._short_n = self._short_n + 1 if lasted_s < SHORT_S else 0
            if self._short_n >= SHORT_N:
                self._is_bad(*why(TakenOver(), True))
            if lasted_s > BACKOFF_MAX_S:
                wait_s = 1.0
            await asyncio.sleep(wait_s * self._random.uniform(0.75, 1.25))
            wait_s = min(2 * wait_s, BACKOFF_MAX_S)

    def publish_live(self, payload: bytes) -> None:
        """Best effort, at once."""
        client = self._client
        if client is not None and client.throw(f"{self._topic}/live", payload):
            self.stats.live_sent += 1
        else:
            self.stats.live_dropped += 1

    def retain(self, topic: str, payload: bytes | None) -> None:
        """Keep the newest payload of a topic, and publish it now and on every connection. None empties it."""
        assert len(self._retained) < RETAINED_MAX
        self._retained[topic] = payload
        self._dirty[topic] = None
        self._wake.set()

    async def send(self, lines: Sequence[str], tag: Tag) -> Outcome:
        """History: done with a good PUBACK for every part."""
        await self._up.wait()
        client = self._client
        assert client is not None
        parts = self._parts(lines, client.packet_bytes_max)
        for n, part in enumerate(parts, 1):
            payload = gzip.compress(part, 1) if self._compress else part
            words = {"boot": tag.boot, "seq": tag.seq, "points": tag.points}
            words |= {"codec": "gzip" if self._compress else "identity"}
            if len(parts) > 1:
                words |= {"part": f"{n}/{len(parts)}"}
            try:
                code = await client.put(
                    f"{self._topic}/history", payload, retain=False, properties=properties(words)
                )
            except (MqttError, OSError, ValueError):
                return Outcome(Verdict.RETRY, "the connection ended", after_s=0.5, fault=Fault.AWAY)
            if code >= 128:
                return _refused(code)
        return Outcome(Verdict.ACCEPTED)

    async def leave(self) -> None:
        """Say `offline` and end the connection."""
        self._is_leaving = True
        client, self._client = self._client, None
        self._up.clear()
        if client is not None:
            with contextlib.suppress(MqttError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await client.put(
                        f"{self._topic}/status", self._status("offline"), retain=True, properties=None
                    )
        self._wake.set()

    async def close(self) -> None:
        """Nothing beside the connection, which `run` ends."""

    async def _connection(self, url: str) -> None:
        split = urlsplit(url)
        is_tls = split.scheme == "mqtts"
        name = split.hostname or ""
        async with asyncio.timeout(CONNECT_S):
            addresses = await self._resolve(name)
        one = client(
            addresses[0],
            split.port or (8883 if is_tls else 1883),
            name if is_tls else None,
            self._access,
            (f"{self._topic}/status", self._status("offline")),
        )
        try:
            async with one:
                one.timeout = GOODBYE_S
                await self._serve(one)
        except* MqttError as problems:
            if one.end_code == TAKEN_OVER:
                raise TakenOver from problems
            raise
        finally:
            self._client = None
            self._up.clear()

    async def _serve(self, client: Client) -> None:
        self.stats.connections += 1
        await client.subscribe(
            [(f"{self._topic}/command", 1), (f"{self._topic}/status", 1)], timeout=CONNECT_S
        )
        await self._put(client, "status", self._status("online"))
        self._dirty.update(dict.fromkeys(self._retained))
        self._client = client
        self._up.set()
        if self._short_n < SHORT_N:
            self._is_good()
        else:
            asyncio.get_running_loop().call_later(SHORT_S, self._has_lasted, client)
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self._keep_retained(client), name=f"retained[{self.id}]")
            async for message in client.messages:
                await self._incoming(client, message)
                if self._is_leaving:
                    break
            keeping.cancel()

    async def _keep_retained(self, client: Client) -> None:
        while True:
            while self._dirty:
                topic = next(iter(self._dirty))
                del self._dirty[topic]
                payload = self._retained[topic]
                await self._put(client, topic, payload)
                if payload is None and topic not in self._dirty:
                    del self._retained[topic]
            self._wake.clear()
            await self._wake.wait()
            if self._is_leaving:
                raise MqttError("we leave")

    async def _put(self, client: Client, topic: str, payload: bytes | None) -> None:
        code = await client.put(f"{self._topic}/{topic}", payload, retain=True, properties=None)
        if code >= 128:
            self._is_bad(Fault.REFUSING, f"the broker refuses {topic.split('/')[0]}: reason code {code}")

    async def _incoming(self, client: Client, message: Incoming) -> None:
        payload = message.payload if isinstance(message.payload, bytes) else b""
        if str(message.topic).endswith("/status"):
            if b'"offline"' in payload and not self._is_leaving:
                await self._put(client, "status", self._status("online"))
        else:
            await self._command(client, payload, message.retain)
        client.done(message)

    async def _command(self, client: Client, payload: bytes, is_retained: bool) -> None:
        self.stats.commands += 1
        try:
            if is_retained:
                raise Rejected(
                    claimed_id(payload),
                    "a retained command is refused: commands are acts, not states",
                )
            if len(payload) > COMMAND_BYTES_MAX:
                raise Rejected(None, f"a command has at most {COMMAND_BYTES_MAX} bytes")
            answer = self._act(payload)
        except Rejected as no:
            self.stats.refused_commands += 1
            _log.warning("sink=%s command_refused id=%s why=%r", self.id, no.id, no.why)
            answer = {"v": 1, "id": no.id, "ok": False, "why": no.why}
        text = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
        await client.put(f"{self._topic}/answer", text, retain=False, properties=None)

    def _parts(self, lines: Sequence[str], packet_bytes_max: int | None) -> list[bytes]:
        """The lines as payloads that fit the broker's limit."""
        whole = "\n".join(lines).encode()
        if packet_bytes_max is None or len(whole) + PACKET_OVERHEAD <= packet_bytes_max or len(lines) == 1:
            return [whole]
        middle = len(lines) // 2
        return [
            *self._parts(lines[:middle], packet_bytes_max),
            *self._parts(lines[middle:], packet_bytes_max),
        ]

    def _has_lasted(self, client: Client) -> None:
        if client is self._client:
            self._short_n = 0
            self._is_good()

    def _is_good(self) -> None:
        if self.stats.bad_in_a_row:
            _log.info("sink=%s state=connected after_failures=%d", self.id, self.stats.bad_in_a_row)
        self.stats.bad_in_a_row, self.stats.fault, self.stats.reason = 0, None, ""

    def _is_bad(self, fault: Fault, reason: str) -> None:
        if self.stats.reason != reason:
            _log.warning("sink=%s state=bad fault=%s reason=%r", self.id, fault, reason)
        self.stats.bad_in_a_row += 1
        self.stats.fault, self.stats.reason = fault, reason


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in groups of groups."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _refused(code: int) -> Outcome:
    said = f"the broker refuses history: reason code {code}"
    if code in (_TOO_LARGE, _BAD_PAYLOAD):
        return Outcome(Verdict.REJECTED, said)
    return Outcome(Verdict.RETRY, said, fault=Fault.REFUSING if code in REFUSALS else Fault.AWAY)
