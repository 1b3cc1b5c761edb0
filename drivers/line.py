"""One question at a time on one wire: silence, expected length, time limits, and replies that come too late.

*Silence.* Before every request the line has been silent for 3.5 characters, judged from the last byte seen,
ours included: a written request occupies the wire for its characters although `write` returns at once. 30 us
are added, because timers may be early by their own resolution.

*Total time-out.* A reply must be complete `timeout_ms` plus its own characters after the request has left the
wire. Bytes that trickle prolong nothing; a line that never falls silent ends the attempt before anything is
sent. Whatever came beside the reply is dropped before the next request; the receive buffer is bounded.

*Late replies.* RTU has no transaction number: the reply to a question that we gave up looks like the reply to the
next one. So after an exchange without a believable reply
  1. the unit is left alone for `late_ms` (others are asked meanwhile); what it sends then is counted and dropped;
  2. its next question is `resync`, a read whose reply has another length. A device answers in order, so an answer
     to it proves that the old reply is not on its way any more; a frame of the old length is dropped;
  3. resync unanswered too: `late_ms` again, then the plain question is allowed, or a device that ignores the
     resync read would be lost for ever.
No wrong value can pass unless a device answers more than 2 late_ms + timeout_ms after its time-out.

*Refusals all look alike.* While something is owed, an exception may be the answer to an earlier question.
Only codes 1..3 (illegal function, address, value) in answer to the resync read prove anything, because a
question that the device serves never gets them; after any other the debt and its pause stay.

Cost of one exchange: silence + request + timeout_ms + reply; after a lost one, late_ms and the resync's
exchange more.

Times are loop seconds. Bytes from outside are hostile: any length, any split, any order.
"""

import asyncio
import math
from dataclasses import dataclass, replace
from typing import Final

from drivers import modbus
from drivers.port import Port, PortError

MARGIN_S: Final = 30e-6
RECEIVED_BYTES_MAX: Final = 2048


@dataclass(frozen=True, slots=True)
class Request:
    """One question: the frame to send, the bytes of the normal reply, time limits, what it asks for.

    `timeout_ms`: from the request's end on the wire to the reply's first byte. `late_ms`: how long after a
    time-out the unit is left alone. `rest_ms`: the device's pause after an answer. `channels`: names
    "sensor/kind". `resync`: a read whose reply cannot be taken for the reply to `tx`; None = there is none.
    """

    unit: int
    tx: bytes
    expected: int
    timeout_ms: float
    late_ms: float
    rest_ms: float
    channels: tuple[str, ...]
    resync: bytes | None


class WireError(Exception):
    """The exchange gave no value: count it, ask again later."""


class ReplyTimeout(WireError):
    """Nothing came, or nothing but the echo of our request. Example: device without power."""


class BadReply(WireError):
    """Bytes came, but no reply to our request. Example: a collision, two devices with one address."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DeviceException(WireError):
    """The device answered that it will not, or not now (5 and 6). It lives and there is no value."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


@dataclass(slots=True)
class LineStats:
    """Plain counters since the line was made. `busy_s`: time between a request's start and its end, either
    way."""

    exchanges: int = 0
    replies: int = 0
    timeouts: int = 0
    crc_errors: int = 0
    bad_replies: int = 0
    exceptions: int = 0
    late_replies: int = 0
    resyncs: int = 0
    garbage_bytes: int = 0
    busy_s: float = 0.0


@dataclass(slots=True)
class _Unit:
    """What one device may still owe us. `owed`: the question without a believable reply."""

    ready_s: float = -math.inf
    rest_s: float = 0.0
    owed: Request | None = None
    is_resync_lost: bool = False

    def owe(self, request: Request, since_s: float, *, is_resync_lost: bool) -> None:
        """No believable reply to `request`: leave the device alone for a while."""
        self.owed, self.is_resync_lost = request, is_resync_lost
        self.ready_s = max(self.ready_s, since_s + request.late_ms / 1e3)


class Line:
    """One wire. Not for concurrent use: `exchange` is one at a time.

    Open it again after a PortError: what devices owe is remembered over the loss of a port.
    """

    def __init__(self, port: Port, baud: int, framing: str) -> None:
        self.stats = LineStats()
        self._port = port
        self._char_s = modbus.char_s(baud, framing)
        self._silence_s = modbus.silence_s(baud, framing) + MARGIN_S
        self._units: dict[int, _Unit] = {}
        self._received = bytearray()
        self._last_byte_s = -math.inf
        self._lost: str | None = "not open"
        self._is_busy = False
        self.heard = b""  # what came to the last question, for people who look
        self._asked = b""
        self._waiter: asyncio.Future[bytes | None] | None = None

    async def open(self) -> None:
        """Open the port. Raises PortError."""
        self._loop = asyncio.get_running_loop()
        self._received.clear()
        await self._port.open(self._on_bytes, self._on_lost)
        self._last_byte_s = self._loop.time()  # nobody knows what was on the wire just now
        self._lost = None

    def close(self) -> None:
        """Close the port; an exchange under way ends with PortError. May be called again."""
        self._port.close()
        if self._lost is None:
            self._on_lost(PortError("closed"))

    def ready_in_s(self, unit: int) -> float:
        """Seconds for which this unit must still be left alone (its rest, or late replies); 0.0 = ask now."""
        state = self._units.get(unit)
        return max(0.0, state.ready_s - self._loop.time()) if state else 0.0

    async def exchange(self, request: Request) -> bytes:
        """Ask and return the whole checked frame of the reply.

        Waits for the silence, and for the unit if it is not ready. May be cancelled anywhere; a question that
        was sent then counts as one that timed out.

        Raises:
            ReplyTimeout, BadReply: no believable reply; the unit is left alone for `late_ms`.
            DeviceException: the device refused.
            PortError: the port is gone; nothing works until `open`.
        """
        assert not self._is_busy, "one question at a time"
        self._is_busy = True
        try:
            unit = self._units.setdefault(request.unit, _Unit())
            unit.rest_s = request.rest_ms / 1e3 + MARGIN_S if request.rest_ms else 0.0
            if unit.owed is not None and unit.owed.resync is not None and not unit.is_resync_lost:
                await self._resync(unit, unit.owed, unit.owed.resync)
            return await self._ask(unit, request, request)
        finally:
            self._is_busy = False

    async def _resync(self, unit: _Unit, owed: Request, tx: bytes) -> None:
        self.stats.resyncs += 1
        question = replace(owed, tx=tx, expected=modbus.expected_length(tx))
        try:
            await self._ask(unit, question, owed)
        except DeviceException:
            if unit.owed is not None:
                raise

    async def _ask(self, unit: _Unit, request: Request, owed: Request) -> bytes:
        """Send one frame and wait for its reply; without one, the unit owes the reply to `owed`."""
        await self._wait_for_turn(unit, request)
        self._drop_received()
        self.stats.exchanges += 1
        start_s = self._loop.time()
        sent_s = start_s + len(request.tx) * self._char_s
        deadline_s = sent_s + request.timeout_ms / 1e3 + request.expected * self._char_s
        self._last_byte_s = max(self._last_byte_s, sent_s)
        self._asked = request.tx
        self._waiter = waiter = self._loop.create_future()
        timer = self._loop.call_at(deadline_s, self._end_waiting, None)
        frame: bytes | None = None
        try:
            self._port.write(request.tx)
            frame = await waiter
        finally:
            timer.cancel()
            self._waiter = None
            now_s = self._loop.time()
            self.stats.busy_s += now_s - start_s
            self.heard = frame or bytes(self._received)
            if frame is None:
                unit.owe(owed, max(now_s, deadline_s), is_resync_lost=request is not owed)
        if frame is None:
            raise self._no_reply(request.tx)
        self._take(frame, request.tx)
        unit.ready_s = self._last_byte_s + unit.rest_s
        code = modbus.exception_code(frame)
        is_resync_refused = request is not owed and code is not None and code <= modbus.ILLEGAL_VALUE
        if code is None or is_resync_refused:
            unit.owed = None
        elif unit.owed is not None:
            unit.owe(owed, deadline_s, is_resync_lost=False)
        if code is not None:
            self.stats.exceptions += 1
            raise DeviceException(code)
        self.stats.replies += 1
        return frame

    async def _wait_for_turn(self, unit: _Unit, request: Request) -> None:
        """Until line and unit may be asked; a chattering line ends it after a time-out and a frame."""
        start_s = max(self._loop.time(), unit.ready_s, self._last_byte_s)
        give_up_s = start_s + request.timeout_ms / 1e3 + modbus.FRAME_BYTES_MAX * self._char_s
        while True:
            if self._lost is not None:
                raise PortError(self._lost)
            now_s = self._loop.time()
            wait_s = max(self._last_byte_s + self._silence_s, unit.ready_s) - now_s
            if wait_s <= 0.0:
                return
            if now_s >= give_up_s:
                self.stats.bad_replies += 1
                raise BadReply("the line never falls silent")
            await asyncio.sleep(wait_s)

    def _no_reply(self, tx: bytes) -> Exception:
        if self._lost is not None:
            return PortError(self._lost)
        fault = modbus.complaint(tx, bytes(self._received))
        if fault is None:
            self._received.clear()
            self.stats.timeouts += 1
            return ReplyTimeout("no reply")
        if fault is modbus.Fault.CRC:
            self.stats.crc_errors += 1
        else:
            self.stats.bad_replies += 1
        return BadReply(fault)

    def _on_bytes(self, data: bytes) -> None:
        self._last_byte_s = max(self._last_byte_s, self._loop.time())
        searched = len(self._received)
        self._received += data
        if self._waiter is not None and not self._waiter.done():
            frame = modbus.find_reply(self._asked, bytes(self._received), searched)
            if frame is not None:
                self._waiter.set_result(frame)
        surplus = len(self._received) - RECEIVED_BYTES_MAX
        if surplus > 0:
            self.stats.garbage_bytes += surplus
            del self._received[:surplus]

    def _on_lost(self, error: PortError) -> None:
        self._lost = str(error)
        self._end_waiting(None)

    def _end_waiting(self, frame: None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(frame)

    def _take(self, frame: bytes, tx: bytes) -> None:
        """Remove the reply, and the echo of the request if there is one; what remains is nobody's."""
        if len(self._received) != len(frame):
            rest = bytes(self._received).replace(tx, b"", 1) if tx != frame else bytes(self._received)
            self._received[:] = rest.replace(frame, b"", 1)
            self._drop_received()
        self._received.clear()

    def _drop_received(self) -> None:
        """Count and forget what was received: late replies, the rest is garbage."""
        if not self._received:
            return
        rest = bytes(self._received)
        self._received.clear()
        garbage = len(rest)
        for frame in modbus.frames(rest):
            unit = self._units.get(frame[0])
            if unit is not None and unit.owed is not None:
                self.stats.late_replies += 1
                garbage -= len(frame)
                unit.ready_s = max(unit.ready_s, self._last_byte_s + unit.rest_s)
        self.stats.garbage_bytes += garbage
