"""The demonstration's phone: takes signed pushes over HTTP, checks each signature, writes down what arrived.

    python -m edge.demo.phone FILE CREDENTIAL FOLDER     prints `port N` when it listens on 127.0.0.1 stdin
    {"ack": "NAME"}: the next message is answered with {"ack":{"by":"NAME"}} end of file: whoever started us
    is gone; FOLDER is removed and we end FILE    one JSON object a line: at_s (CLOCK_MONOTONIC of the
    request's first byte), key, trusted, headline, text, and the whole incident as `body`

A receiver as anybody could write one from the Standard Webhooks convention: webhook-signature is `v1,` and
the base64 HMAC-SHA256 of `id.timestamp.body` with the key after `whsec_`. A wrong signature is answered 401
and written down as not trusted. One request at a time per connection, Content-Length only, 64 KiB at most.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import shutil
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

REQUEST_BYTES_MAX: Final = 65_536
# After the one who started us is gone, the others need this long to be gone too.
GONE_S: Final = 0.5


def is_signed(key: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether one of the signatures in the header is ours."""
    try:
        secret = base64.b64decode(key.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        return False
    signed = f"{headers.get('webhook-id', '')}.{headers.get('webhook-timestamp', '')}.".encode() + body
    right = "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(right.encode(), one.encode()) for one in given)


class Phone:
    """Checks a message and gives the answer; `write` gets the row to keep."""

    def __init__(self, key: str, write: Callable[[dict[str, Any]], None]) -> None:
        self._key = key
        self._write = write
        self.next_ack: str | None = None

    def take(self, at_s: float, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """HTTP status and answer for one message whose first byte came at `at_s`."""
        trusted = is_signed(self._key, headers, body)
        try:
            incident = json.loads(body)
            headline, text = str(incident["headline"]), str(incident["text"])
        except (ValueError, KeyError, TypeError):
            return 400, b"not an incident"
        row = {"at_s": at_s, "key": headers.get("webhook-id", ""), "trusted": trusted}
        self._write(row | {"headline": headline, "text": text, "body": incident})
        if not trusted:
            return 401, b"wrong signature"
        ack, self.next_ack = self.next_ack, None
        return 200, json.dumps({"ack": {"by": ack}} if ack else {}).encode()


class Call(asyncio.Protocol):
    """One connection: times the first byte of each request, cuts it by Content-Length, answers."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._data = b""
        self._at_s = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody calls."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes of a request, cut anywhere."""
        assert self._transport is not None
        if not self._data:
            self._at_s = asyncio.get_running_loop().time()
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if len(self._data) > REQUEST_BYTES_MAX:
            self._answer(413, b"too long")
            return
        if not found:
            return
        headers = _headers(head)
        try:
            length = int(headers.get("content-length", "0"))
        except ValueError:
            length = 0
        if len(body) >= length:
            self._data = b""
            self._answer(*self._phone.take(self._at_s, headers, body[:length]))

    def _answer(self, status: int, body: bytes) -> None:
        assert self._transport is not None
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)
        if status not in (200, 401):
            self._transport.close()


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _serve(file: Path, credential: Path, folder: Path) -> None:
    key = tomllib.loads(credential.read_text())["key"]
    loop = asyncio.get_running_loop()
    with file.open("a", buffering=1) as out:
        phone = Phone(key, lambda row: print(json.dumps(row, ensure_ascii=False), file=out))
        server = await loop.create_server(lambda: Call(phone), "127.0.0.1", 0)
        print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            phone.next_ack = json.loads(line)["ack"]
    await asyncio.sleep(GONE_S)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(_serve(*(Path(argument) for argument in sys.argv[1:4])))
