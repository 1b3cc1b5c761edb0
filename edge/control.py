"""The local socket: one JSON object a line each way. Views read the agent's snapshot here; people on the box act here.

    {"do":"view"}                                   -> the snapshot (edge/status.py)
    {"do":"ack","incident":"xd-gw-07-1","by":"an"}  -> {"v":1,"id":"..","ok":true,"why":""}

The file's permission (0660) is the access rule; `by` defaults to the local user at the other end. Bad input gets an
answer that says why and costs the others nothing: a line is at most 64 kB, a connection that says nothing for five
minutes is closed, and at most 16 are served at once.
"""

import asyncio
import contextlib
import json
import os
import pwd
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

LINE_BYTES_MAX: Final = 65_536
CLIENTS_MAX: Final = 16
IDLE_S: Final = 300.0
SOCKET_PATH_BYTES_MAX: Final = 107  # sun_path of unix(7)

FILE: Final = "control.sock"
RUNTIME_DIR: Final = Path("/run/wardwatch")

Answer = Callable[[dict[str, Any], str], dict[str, Any]]


class ControlError(Exception):
    """The socket cannot be made; the text says what to do."""


class Control:
    """The listening socket. `answer(request, local_user)` gives the reply and must not block."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path = path
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. A socket file left by a killed agent is replaced (the state folder's lock tells it is dead)."""
        if len(os.fsencode(self.path)) > SOCKET_PATH_BYTES_MAX:
            raise ControlError(
                f"the path {self.path} is too long for a socket (at most {SOCKET_PATH_BYTES_MAX} bytes): "
                "choose a shorter state folder, or set RUNTIME_DIRECTORY"
            )
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self._server = await asyncio.start_unix_server(self._serve, self.path, limit=LINE_BYTES_MAX)
        self.path.chmod(0o660)

    async def stop(self) -> None:
        """Close all and remove the file."""
        if self._server is None:
            return
        self._server.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._clients) >= CLIENTS_MAX:
            writer.close()
            return
        self._clients.add(task)
        try:
            await self._talk(reader, writer)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self._clients.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        user = _local_user(writer.get_extra_info("socket"))
        while True:
            try:
                line = await asyncio.wait_for(reader.readline(), IDLE_S)
            except ValueError:  # longer than the limit
                await _say(writer, {"ok": False, "why": f"a line has at most {LINE_BYTES_MAX} bytes"})
                return
            if not line:
                return
            try:
                request = json.loads(line)
                if not isinstance(request, dict):
                    raise ValueError("not an object")
            except (ValueError, RecursionError) as error:
                reply: dict[str, Any] = {"ok": False, "why": f"one JSON object a line, please: {error}"}
            else:
                reply = self._answer(request, user)
            await _say(writer, reply)


async def _say(writer: asyncio.StreamWriter, reply: dict[str, Any]) -> None:
    writer.write(json.dumps(reply, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    await asyncio.wait_for(writer.drain(), IDLE_S)


def _local_user(sock: socket.socket) -> str:
    pid_uid_gid = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid = struct.unpack("3i", pid_uid_gid)[1]
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"


def listen_path(state: Path) -> Path:
    """Where the agent listens: the runtime folder that systemd gives, else the state folder."""
    runtime = os.environ.get("RUNTIME_DIRECTORY")
    return (Path(runtime) if runtime else state) / FILE


def find(state: Path) -> Path:
    """Where a command finds the agent that runs on `state`."""
    here = listen_path(state)
    return here if here.exists() or not (RUNTIME_DIR / FILE).exists() else RUNTIME_DIR / FILE


class AgentAway(Exception):
    """Nobody answers at the socket."""


def ask(path: Path, request: dict[str, Any], timeout_s: float = 5.0) -> dict[str, Any]:
    """Ask a running agent one question (for commands, which have no loop).

    Raises `AgentAway` when no agent answers there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
        try:
            sock.connect(os.fspath(path))
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile("rb") as lines:
                line = lines.readline()
        except OSError as error:
            raise AgentAway(f"no agent answers at {path}: {error.strerror or error}") from error
    if not line:
        raise AgentAway(f"the agent at {path} closed the connection")
    reply: dict[str, Any] = json.loads(line)
    return reply
