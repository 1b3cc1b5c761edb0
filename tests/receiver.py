"""A real HTTP receiver of pushes, for tests, kills and latency figures. Its log alone says what arrived.

As a module: `async with serve(Receiver(mode="ok")) as receiver: receiver.url`. As a process:
`python -m tests.receiver --port 0 --log FILE --mode MODE [--secret whsec_..] [--tls CERT KEY] [--hang-up]` prints
`port N`. `--hang-up`: closes the connection after each answer, so that every push pays for a new one.

Log: one JSON line a request, flushed: `t_ns` (CLOCK_MONOTONIC at the request's first byte), `key`,
`revision`, `headline`, `incident`, `reason`, `signature_ok` (None without a secret), `accepted` (what this
receiver meant; with `cut` it took the push and lost the answer).

Modes, with an argument after a colon: `ok` | `slow:S` answers after S | `hang` never | `drip` answers one
byte a second | `refuse` resets every connection | `status:N[:RETRY_AFTER]` | `nonsense` no HTTP | `cut` logs,
then cuts before the answer | `ack-by:NAME` | `redirect` | `html` | `long` an endless body | `text:TEXT` a
plain text answer | `clock:OFFSET_S`: 401 unless the timestamp is within 60 s of its own clock + OFFSET_S,
which its Date header tells. `mode` may be changed while it runs; `MODE*N;MODE2` uses MODE for N requests,
then MODE2.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from standardwebhooks.webhooks import Webhook as Verifier


class Receiver:
    """State and log of one receiver."""

    def __init__(
        self, mode: str = "ok", secret: str | None = None, log: Path | None = None, hangs_up: bool = False
    ) -> None:
        self.mode = mode
        self.hangs_up = hangs_up
        self.port = 0
        self.is_tls = False
        self.requests: list[dict[str, Any]] = []
        self.connections = 0
        self.open_connections = 0
        self._secret = secret
        self._log = log.open("a", encoding="utf-8") if log else None

    @property
    def url(self) -> str:
        """Where to post to."""
        return f"http{'s' if self.is_tls else ''}://127.0.0.1:{self.port}/hook"

    @property
    def keys(self) -> list[str]:
        """Keys of all requests, in order."""
        return [request["key"] for request in self.requests]

    def next_mode(self) -> str:
        """The mode for one request; counts down `MODE*N;MODE2`."""
        first, _, rest = self.mode.partition(";")
        name, _, count = first.partition("*")
        if count:
            left = int(count) - 1
            self.mode = f"{name}*{left};{rest}" if left else rest
        return name

    def note(self, t_ns: int, headers: dict[str, str], body: bytes, accepted: bool) -> dict[str, Any]:
        """Log one request."""
        incident: dict[str, Any] = {}
        with contextlib.suppress(ValueError):
            incident = json.loads(body)
        row = {
            "t_ns": t_ns,
            "key": headers.get("webhook-id", ""),
            "idempotency_key": headers.get("idempotency-key", ""),
            "revision": incident.get("revision"),
            "headline": incident.get("headline"),
            "incident": incident.get("id"),
            "channels": [one.get("channel") for one in incident.get("evidence", ())],
            "reason": incident.get("reason"),
            "signature_ok": self._is_signed(headers, body),
            "accepted": accepted,
        }
        self.requests.append({**row, "headers": headers, "body": incident})
        if self._log:
            self._log.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._log.flush()
        return row

    def _is_signed(self, headers: dict[str, str], body: bytes) -> bool | None:
        if self._secret is None:
            return None
        try:
            Verifier(self._secret).verify(body, headers)
        except Exception:  # noqa: BLE001  # another library's judgement: whatever it raises means no
            return False
        return True


class _Connection(asyncio.Protocol):
    """HTTP/1.1 as far as a webhook needs it: requests with Content-Length, one after another."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.buffer = b""
        self.t_ns = 0
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.receiver.connections += 1
        self.receiver.open_connections += 1
        if self.receiver.mode.split("*")[0] == "refuse":
            self.receiver.next_mode()
            self.reset()

    def reset(self) -> None:
        """End with RST."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.receiver.open_connections -= 1
        if self.task:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        if not self.buffer:
            self.t_ns = time.monotonic_ns()
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        self.task = asyncio.get_running_loop().create_task(self.answer(headers, rest[:length]))

    def send(self, status: int, body: str = "", content_type: str = "application/json", **more: str) -> None:
        """A whole answer. Header names are written with _ for -."""
        raw = body.encode()
        lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(raw)}"]
        if raw:
            lines.append(f"Content-Type: {content_type}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + raw)
        if self.receiver.hangs_up:
            self.transport.close()

    async def answer(self, headers: dict[str, str], body: bytes) -> None:
        mode, _, argument = self.receiver.next_mode().partition(":")
        takes = mode in ("ok", "slow", "cut", "ack-by", "text")
        if mode == "clock":
            now_s = time.time() + float(argument)
            takes = abs(int(headers["webhook-timestamp"]) - now_s) <= 60
            self.receiver.note(self.t_ns, headers, body, takes)
            date = format_datetime(datetime.fromtimestamp(now_s, UTC), usegmt=True)
            self.send(200 if takes else 401, Date=date)
            return
        self.receiver.note(self.t_ns, headers, body, takes)
        match mode:
            case "ok":
                self.send(200)
            case "slow":
                await asyncio.sleep(float(argument))
                self.send(200)
            case "hang":
                await asyncio.sleep(3600)
            case "drip":
                for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok":
                    self.transport.write(bytes([byte]))
                    await asyncio.sleep(1.0)
            case "status":
                status, _, after = argument.partition(":")
                now = format_datetime(datetime.now(UTC), usegmt=True)
                self.send(int(status), Date=now, **({"Retry_After": after} if after else {}))
            case "nonsense":
                self.transport.write(b"\x00\xff\x13 garbage \r\n\r\n" * 3)
            case "cut" | "refuse":
                self.reset()
            case "ack-by":
                self.send(200, json.dumps({"ack": {"by": argument}}))
            case "redirect":
                self.send(302, Location=f"http://127.0.0.1:{self.receiver.port}/elsewhere")
            case "html":
                self.send(200, "<html><title>Top up</title></html>", "text/html")
            case "text":
                self.send(200, argument, "text/plain")
            case "long":
                self.transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(1000):
                    self.transport.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                    await asyncio.sleep(0)
            case other:
                raise AssertionError(f"no such mode: {other}")


@contextlib.asynccontextmanager
async def serve(
    receiver: Receiver, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """The receiver, listening on 127.0.0.1 while the body runs."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(receiver), "127.0.0.1", port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    receiver.is_tls = tls is not None
    try:
        yield receiver
    finally:
        server.close()


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--mode", default="ok")
    parser.add_argument("--secret")
    parser.add_argument("--hang-up", action="store_true")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    args = parser.parse_args()
    tls = None
    if args.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*args.tls)
    async with serve(Receiver(args.mode, args.secret, args.log, args.hang_up), args.port, tls) as receiver:
        print("port", receiver.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
