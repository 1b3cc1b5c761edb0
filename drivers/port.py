"""Byte streams: the only file that speaks with pyserial.

A port has no thread and no queue: bytes that arrive are handed on in the loop at once, `write` never blocks.
Everything foreign (pyserial's errors, OSError, `termios.error`, which is no OSError, ValueError) becomes
`PortError` with a reason for people. After its first error a port is closed, tells `lost` once and stays
closed: a name that comes back may be another adapter, so whoever wants to go on opens it anew.

Limits: one writer; bytes that the system does not take within one exchange are an error, not a queue. A
pseudo-terminal has no wire: it refuses a parity, and where it does we open it without, because there only the
times matter.
"""

import asyncio
import contextlib
import errno
import os
import termios
from collections.abc import Callable
from typing import Final, Protocol

import serial

READ_BYTES_MAX: Final = 4096
# serial.SerialException is an OSError; an absurd speed overflows in pyserial's ioctl.
_FOREIGN: Final = (OSError, termios.error, ValueError, OverflowError)
_REASONS: Final = {
    errno.ENOENT: "there is no such port",
    errno.ENODEV: "the adapter is gone",
    errno.ENXIO: "the adapter is gone",
    errno.EIO: "the adapter is gone",
    errno.EACCES: "not allowed to open it (is the user in the group dialout?)",
    errno.EPERM: "not allowed to open it",
    errno.EBUSY: "another program uses it",
    errno.EAGAIN: "another program uses it",
    errno.ENOTTY: "it is not a serial port",
}


class PortError(Exception):
    """The port cannot be opened or was lost; the text says why. Open it anew after a pause."""


class Port(Protocol):
    """A byte stream in the running loop."""

    async def open(self, received: Callable[[bytes], None], lost: Callable[[PortError], None]) -> None:
        """Open; from now on `received` gets bytes as they come and `lost` at most one error. Raises
        PortError."""

    def write(self, data: bytes) -> None:
        """Send without waiting. Raises PortError; the port is then closed."""

    def close(self) -> None:
        """End it, `lost` is not told. May be called again."""


class SerialPort:
    """A serial port or pseudo-terminal. `framing` = data bits, parity N E O, stop bits: "8N1"."""

    def __init__(self, path: str, baud: int, framing: str) -> None:
        self._path, self._baud, self._framing = path, baud, framing
        self._serial: serial.Serial | None = None
        self._fd = -1
        self._unsent = b""
        self._received: Callable[[bytes], None] = lambda data: None
        self._lost: Callable[[PortError], None] = lambda error: None

    async def open(self, received: Callable[[bytes], None], lost: Callable[[PortError], None]) -> None:
        """See `Port`."""
        assert self._serial is None, "already open"
        try:
            self._serial = _opened(self._path, self._baud, self._framing)
            self._fd = self._serial.fileno()
        except _FOREIGN as error:
            raise PortError(_plain(self._path, error)) from error
        self._received, self._lost, self._unsent = received, lost, b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)

    def write(self, data: bytes) -> None:
        """See `Port`."""
        if self._serial is None:
            raise PortError(f"{self._path}: not open")
        if self._unsent:
            raise self._fail(OSError("takes no bytes (flow control, or nobody at the other end)"))
        self._unsent = data
        if (error := self._send()) is not None:
            raise error
        if self._unsent:
            self._loop.add_writer(self._fd, self._send)

    def close(self) -> None:
        """See `Port`."""
        opened, self._serial = self._serial, None
        if opened is None:
            return
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._unsent = b""
        with contextlib.suppress(*_FOREIGN):
            opened.reset_output_buffer()  # else closing waits until a jammed line has taken them
        with contextlib.suppress(*_FOREIGN):
            opened.close()

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES_MAX)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(error)
            return
        if data:
            self._received(data)
        else:
            self._fail(OSError(errno.EIO, "end of file"))

    def _send(self) -> PortError | None:
        try:
            sent = os.write(self._fd, self._unsent)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            return self._fail(error)
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._loop.remove_writer(self._fd)
        return None

    def _fail(self, error: OSError) -> PortError:
        lost = PortError(_plain(self._path, error))
        self.close()
        self._lost(lost)
        return lost


def _opened(path: str, baud: int, framing: str) -> serial.Serial:
    try:
        opened = _configured(path, baud, framing)
    except termios.error:
        if not os.path.realpath(path).startswith("/dev/pts/"):
            raise
        opened = _configured(path, baud, "8N1")
    # USB adapters gather received bytes for 16 ms unless told not to; what has no such timer refuses.
    with contextlib.suppress(*_FOREIGN):
        opened.set_low_latency_mode(True)
    return opened


def _configured(path: str, baud: int, framing: str) -> serial.Serial:
    bits, parity, stop = int(framing[0]), framing[1], int(framing[2])
    return serial.Serial(path, baud, bits, parity, stop, timeout=0, exclusive=True)


def _plain(path: str, error: BaseException) -> str:
    """The reason in words; pyserial hides the system's number in the error that it replaced."""
    for source in (error, error.__context__):
        number = source.args[0] if source is not None and source.args else None
        if isinstance(number, int) and number in _REASONS:
            return f"{path}: {_REASONS[number]}"
    return f"{path}: {error}"
