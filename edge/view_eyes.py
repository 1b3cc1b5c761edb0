"""What a view can see: the agent's control socket and, in a demonstration, two files beside it.

`Eyes.look` asks the agent for its snapshot with a total time limit of one second and remembers the last one
and since when nobody answers. It knows nothing else of the agent: no configuration, no database, no
simulation. The phone's file holds one JSON object a line for each message, the caption's file what a
demonstration says.
"""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge.view import Seen

ANSWER_S: Final = 1.0
ANSWER_BYTES_MAX: Final = 4_000_000
MESSAGES_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the view looks: the agent's socket, and in a demonstration the phone's file and the caption's."""

    socket: Path
    phone: Path | None = None
    caption: Path | None = None


@dataclass(slots=True)
class _Tail:
    """The complete lines added to a file since the last look; a file that is not there has none."""

    path: Path
    offset: int = 0

    def lines(self) -> list[dict[str, Any]]:
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(ANSWER_BYTES_MAX)
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


@dataclass(slots=True)
class Eyes:
    """Looks at all sources once per call; remembers the last snapshot and since when the agent is silent."""

    sources: Sources
    _snapshot: dict[str, Any] | None = None
    _silent_since_s: float | None = None
    _messages: list[dict[str, Any]] = field(default_factory=list)
    _n_messages: int = 0
    _caption: str = ""
    _tails: dict[Path, _Tail] = field(default_factory=dict)
    _wire: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def look(self) -> Seen:
        """What can be seen now; waits at most a second for the agent."""
        now_s = asyncio.get_running_loop().time
        away = ""
        try:
            async with asyncio.timeout(ANSWER_S):
                self._snapshot = await self._ask()
            self._silent_since_s = None
        except (OSError, ValueError, EOFError, TimeoutError) as error:
            self.close()
            away = "no answer" if isinstance(error, TimeoutError) else _why(error, self.sources.socket)
            if self._silent_since_s is None:
                self._silent_since_s = now_s()
        for line in self._tail(self.sources.phone):
            self._n_messages += 1
            self._messages = [*self._messages, {**line, "n": self._n_messages}][-MESSAGES_MAX:]
        for line in self._tail(self.sources.caption):
            self._caption = line["caption"]
        silent_s = 0.0 if self._silent_since_s is None else max(now_s() - self._silent_since_s, 0.001)
        return Seen(
            snapshot=self._snapshot,
            down_s=silent_s,
            away=away,
            messages=tuple({**m, "age_s": max(0.0, now_s() - m["at_s"])} for m in self._messages),
            has_phone=self.sources.phone is not None,
            caption=self._caption,
        )

    def _tail(self, path: Path | None) -> list[dict[str, Any]]:
        return [] if path is None else self._tails.setdefault(path, _Tail(path)).lines()

    async def _ask(self) -> dict[str, Any]:
        if self._wire is None:
            self._wire = await asyncio.open_unix_connection(self.sources.socket, limit=ANSWER_BYTES_MAX)
        reader, writer = self._wire
        writer.write(b'{"do":"view"}\n')
        line = await reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        answer = json.loads(line)
        if not isinstance(answer, dict) or "channels" not in answer:
            raise ValueError(f"the agent refuses: {str(answer)[:80]}")
        return answer

    def close(self) -> None:
        """Let go of the socket; the next look connects anew."""
        if self._wire is not None:
            self._wire[1].close()
            self._wire = None


def _why(error: OSError | ValueError | EOFError, socket: Path) -> str:
    if isinstance(error, FileNotFoundError):
        return f"no socket at {socket}"
    if isinstance(error, ConnectionRefusedError):
        return "the socket refuses"
    if isinstance(error, PermissionError):
        return f"not allowed to open {socket}"
    if isinstance(error, (ConnectionError, EOFError)):
        return "it closed the socket"
    return str(error)
