"""Questions over Modbus TCP: transaction numbers tell replies apart, so up to eight may be under way.

*Late and doubled replies* carry an old number: counted and dropped, nobody waits for them (a mobile router may deliver
a reply again in front of the next one).
*Idle close.* Many devices close a connection that was quiet. That is no fault: the next question opens it again. A
connection that ends under a question is one (PortError).
*Black hole.* When `DEAF_N` questions in a row ran out of time and not a byte came, the connection is taken for dead and
opened anew; one dead unit behind a live gateway does not do that, its neighbours answer in between.

Reply times are the profile's; there is no silence to keep on a network. The answer is handed to a function in the turn
of the loop in which its bytes came, so that the next question can leave in the same turn: a task that waits costs a
second turn for every exchange. For the same reason one timer watches the oldest question, not each its own.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from drivers import mbap, modbus
from drivers.line import BadReply, DeviceException, LineStats, ReplyTimeout, Request, WireError
from drivers.port import Port, PortError

DEAF_N: Final = 4
RECENT_MAX: Final = 64


Done = Callable[[bytes | WireError | PortError], None]


@dataclass(slots=True)
class _Asked:
    """One question under way."""

    request: Request
    done: Done
    start_s: float
    deadline_s: float


class TcpLine:
    """One endpoint. `exchange` may be called by up to `in_flight` tasks at once (the caller's bound)."""

    def __init__(self, port: Port) -> None:
        self.stats = LineStats()
        self.heard = b""  # what came to the last question, for people who look
        self._port = port
        self._received = bytearray()
        self._asked: dict[int, _Asked] = {}
        self._gone: dict[int, None] = {}  # numbers of questions that ran out of time, oldest first
        self._ready_s: dict[int, float] = {}
        self._transaction = 0
        self._is_open = False
        self._opening = asyncio.Lock()
        self._deaf_n = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether a question can be put now; else `exchange` opens the connection."""
        return self._is_open

    async def open(self) -> None:
        """Connect. Raises PortError."""
        self._loop = asyncio.get_running_loop()
        await self._connect()

    def close(self) -> None:
        """End the connection; questions under way end with PortError. May be called again."""
        self._port.close()
        self._on_lost(PortError("closed"))

    def ready_in_s(self, unit: int) -> float:
        """Seconds for which this unit must still be left alone (its rest); 0.0 = ask now."""
        return max(0.0, self._ready_s.get(unit, -math.inf) - self._loop.time())

    async def exchange(self, request: Request) -> bytes:
        """Ask and return the reply in RTU form (its CRC is not filled in).

        Raises:
            ReplyTimeout, BadReply, DeviceException: as `drivers.line.Line.exchange`.
            PortError: the connection ended, or cannot be opened again.
        """
        if not self._is_open:
            await self._connect()
        answer: asyncio.Future[bytes | WireError | PortError] = self._loop.create_future()

        def done(result: bytes | WireError | PortError) -> None:
            if not answer.done():
                answer.set_result(result)

        self.ask(request, done)
        result = await answer
        if isinstance(result, bytes):
            return result
        raise result

    def ask(self, request: Request, done: Done) -> None:
        """Put a question; `done` gets its frame or what became of it, as `exchange` gives or raises it.

        Raises PortError: not open, or it takes no bytes; `done` is then not called.
        """
        number = self._transaction = self._transaction % 0xFFFF + 1
        now_s = self._loop.time()
        self._port.write(mbap.wrap(number, request.tx))
        asked = self._asked[number] = _Asked(request, done, now_s, now_s + request.timeout_ms / 1e3)
        self.stats.exchanges += 1
        if self._timer is None:
            self._timer = self._loop.call_at(asked.deadline_s, self._look)

    def _answered(self, asked: _Asked, frame: bytes) -> None:
        request, stats = asked.request, self.stats
        now_s = self._loop.time()
        stats.busy_s += now_s - asked.start_s
        self.heard = frame
        if request.rest_ms:
            self._ready_s[request.unit] = now_s + request.rest_ms / 1e3
        if not mbap.is_reply(request.tx, frame, request.expected):
            stats.bad_replies += 1
            asked.done(BadReply("the reply is not what was asked for"))
        elif (code := modbus.exception_code(frame)) is not None:
            stats.exceptions += 1
            asked.done(DeviceException(code))
        else:
            stats.replies += 1
            asked.done(frame)

    def _look(self) -> None:
        """Give up what ran out of time; come back when the next one could."""
        self._timer = None
        now_s = self._loop.time()
        late = [number for number, asked in self._asked.items() if asked.deadline_s <= now_s]
        for number in late:
            asked = self._asked.pop(number, None)
            if asked is None:  # the connection was given up meanwhile
                continue
            self._remember(number)
            self.stats.timeouts += 1
            self.stats.busy_s += now_s - asked.start_s
            self.heard = b""
            self._is_deaf()
            asked.done(ReplyTimeout("no reply"))
        if self._asked and self._timer is None:
            self._timer = self._loop.call_at(min(a.deadline_s for a in self._asked.values()), self._look)

    async def _connect(self) -> None:
        async with self._opening:
            if self._is_open:
                return
            self._received.clear()
            self._deaf_n = 0
            await self._port.open(self._on_bytes, self._on_lost)
            self._is_open = True

    def _on_bytes(self, data: bytes) -> None:
        self._deaf_n = 0
        self._received += data
        try:
            for number, frame in mbap.cut(self._received):
                asked = self._asked.pop(number, None)
                if asked is not None:
                    self._answered(asked, frame)
                elif self._gone.pop(number, 0) is None:
                    self.stats.late_replies += 1
                else:
                    self.stats.garbage_bytes += len(frame)
        except mbap.StreamError as error:
            self.stats.garbage_bytes += len(self._received)
            self._port.close()
            self._on_lost(PortError(str(error)))

    def _remember(self, number: int) -> None:
        self._gone[number] = None
        if len(self._gone) > RECENT_MAX:
            del self._gone[next(iter(self._gone))]

    def _is_deaf(self) -> None:
        """One more question into silence; a connection that swallows them all is opened anew by the next."""
        self._deaf_n += 1
        if self._deaf_n >= DEAF_N:
            self._port.close()
            self._on_lost(PortError("nothing comes back"))

    def _on_lost(self, error: PortError) -> None:
        """The connection ended. Without a question under way that is the device's good right."""
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._asked = self._asked, {}
        for asked in waiting.values():
            asked.done(error)
