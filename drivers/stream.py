"""One sensor alone on a line that speaks frames of its own: ask, or listen to what it says by itself.

*What is new.* Only a report that ends after the question counts, of several that come at once only the newest: after a
stall the system's buffer holds old ones. When that buffer was full, what is newest in it is old as well, so all of it
is dropped and the next report counts.

*Begin.* After opening and after each silence the family's commands are sent (wake, report, measure): such sensors
forget or are replaced. What they answer is not waited for: the report that follows is the proof.

Nothing is told apart by address: `unit` has no meaning here. Times are loop seconds.
"""

import asyncio
import math

from drivers import modbus, reports
from drivers.device_file import Profile
from drivers.line import BadReply, DeviceException, LineStats, ReplyTimeout, Request
from drivers.port import READ_BYTES_MAX, Port, PortError
from drivers.uart import Cutter

BEGIN_PAUSE_S = 0.1
HEARD_BYTES_MAX = 256
BUSY = 6  # "no new data" in Modbus's words: it lives, it has no value, it is asked again soon


class StreamLine:
    """One sensor's line. Not for concurrent use: `exchange` is one at a time."""

    def __init__(self, port: Port, profile: Profile, baud: int, framing: str) -> None:
        self.stats = LineStats()
        self.heard = b""  # what came since the last question, for people who look
        self._port = port
        self._profile = profile
        self._char_s = modbus.char_s(baud, framing)
        self._cutter = Cutter(reports.family(profile).cut)
        self._lost: str | None = "not open"
        self._must_begin = True
        self._ready_s = -math.inf
        self._foreign = 0
        self._waiter: asyncio.Future[bytes | None] | None = None

    async def open(self) -> None:
        """Open the port. Raises PortError."""
        self._loop = asyncio.get_running_loop()
        self._cutter.clear()
        await self._port.open(self._on_bytes, self._on_lost)
        self._lost, self._must_begin = None, True

    def close(self) -> None:
        """Close the port; an exchange under way ends with PortError. May be called again."""
        self._port.close()
        if self._lost is None:
            self._on_lost(PortError("closed"))

    def ready_in_s(self, unit: int) -> float:
        """Seconds for which the sensor must be left alone (its rest)."""
        return max(0.0, self._ready_s - self._loop.time()) if self._ready_s > 0 else 0.0

    async def exchange(self, request: Request) -> bytes:
        """Ask, or wait, and return the frame of a new report.

        Raises:
            ReplyTimeout: nothing came.
            BadReply: bytes came, but no report: wrong baud, another sensor, noise.
            DeviceException: it answered that it has no new data.
            PortError: the port is gone; nothing works until `open`.
        """
        if self._must_begin:
            await self._begin()
        if self._lost is not None:
            raise PortError(self._lost)
        self.stats.exchanges += 1
        self.heard = b""
        if request.tx:
            self._cutter.clear()
        start_s, garbage, self._foreign = self._loop.time(), self._garbage(), 0
        timeout_s = request.timeout_ms / 1e3 + len(request.tx) * self._char_s
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(timeout_s, self._answer, None)
        try:
            if request.tx:
                self._port.write(request.tx)
            frame = await self._waiter
        finally:
            timer.cancel()
            self._waiter = None
            self.stats.busy_s += self._loop.time() - start_s if request.tx else 0.0
        self._ready_s = self._loop.time() + request.rest_ms / 1e3
        if frame is None:
            self._must_begin = True
            raise self._no_report(self._garbage() - garbage)
        if reports.words_of(self._profile, frame) is None:
            self._must_begin = True
            self.stats.exceptions += 1
            raise DeviceException(BUSY)
        self.stats.replies += 1
        self.heard = frame
        return frame

    async def _begin(self) -> None:
        for command in reports.family(self._profile).begin:
            if self._lost is not None:
                raise PortError(self._lost)
            self._port.write(command)
            await asyncio.sleep(BEGIN_PAUSE_S + len(command) * self._char_s)
        self._must_begin = False

    def _no_report(self, garbage: int) -> Exception:
        if self._lost is not None:
            return PortError(self._lost)
        if self._foreign:
            self.stats.bad_replies += 1
            return BadReply("whole frames came, but of another model: compare the device with the site")
        if garbage:
            self.stats.crc_errors += 1
            return BadReply("bytes came, but no whole frame: look at baud, noise, inverted signal")
        self.stats.timeouts += 1
        return ReplyTimeout("no report")

    def _garbage(self) -> int:
        self.stats.garbage_bytes = self._cutter.garbage
        return self._cutter.garbage

    def _on_bytes(self, data: bytes) -> None:
        self.heard = (self.heard + data)[-HEARD_BYTES_MAX:]
        if len(data) >= READ_BYTES_MAX:
            self._cutter.garbage += len(data)
            self._cutter.clear()
            return
        newest: bytes | None = None
        for frame in self._cutter.feed(data):
            if reports.words_of(self._profile, frame) is not None:
                newest = frame
            elif reports.ask(self._profile):
                newest = newest or frame
            else:
                self._foreign += 1
        self.stats.garbage_bytes = self._cutter.garbage
        if newest is not None:
            self._answer(newest)

    def _on_lost(self, error: PortError) -> None:
        self._lost = str(error)
        self._answer(None)

    def _answer(self, frame: bytes | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(frame)
