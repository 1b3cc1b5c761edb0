"""A virtual bus as a pty under a fixed name, so that the agent's serial code opens it like an adapter.

`DIR/NAME` is a symbolic link to the pty's far end. We keep that end open too: an agent that is killed does
not hang up the bus, and the next one opens the same name. Unplugging removes the link and hangs up; plugging
in makes a new pty under the same name, as an adapter that comes back. Only links are removed, never files.

Limits: a pty has no baud rate, no parity errors and one buffer of about 4 KiB; when nobody reads, what does
not fit is dropped and counted (`stats.undelivered`), as a UART would. Wire time is as exact as the loop's
timers: run it on a loop over `select`, because epoll rounds them up to a millisecond.
"""

import asyncio
import os
import tty
from pathlib import Path
from typing import Final

from drivers.virtual import VirtualWire

_READ_BYTES: Final = 4096


class PtyServer:
    """Serves one virtual bus at `link` while it is started. Needs a running loop."""

    def __init__(self, bus: VirtualWire, link: Path) -> None:
        self._bus = bus
        self._link = link
        self._near = -1
        self._far = -1
        self._far_name = ""

    def start(self) -> None:
        """Makes the pty and its link. Raises OSError: no pty left, or `link` is a file or cannot be made."""
        self._bus.attach(self._write, self._plugged)
        if self._bus.is_plugged:
            self._plug_in()

    def stop(self) -> None:
        """Removes link and pty. Idempotent."""
        self._bus.detach()
        self._plug_out()

    def _plugged(self, is_plugged: bool) -> None:
        if is_plugged:
            self._plug_in()
        else:
            self._plug_out()

    def _plug_in(self) -> None:
        self._near, self._far = os.openpty()
        tty.setraw(self._far)
        os.set_blocking(self._near, False)
        self._far_name = os.ttyname(self._far)
        asyncio.get_running_loop().add_reader(self._near, self._read)
        if self._link.is_symlink():
            self._link.unlink()  # left behind by a process that was killed
        self._link.symlink_to(self._far_name)

    def _plug_out(self) -> None:
        if self._near < 0:
            return
        if self._link.is_symlink() and os.readlink(self._link) == self._far_name:
            self._link.unlink()
        asyncio.get_running_loop().remove_reader(self._near)
        os.close(self._near)
        os.close(self._far)
        self._near = self._far = -1

    def _read(self) -> None:
        try:
            data = os.read(self._near, _READ_BYTES)
        except BlockingIOError:
            return
        self._bus.receive(data)

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._near, data)
        except BlockingIOError:
            written = 0
        self._bus.stats.undelivered += len(data) - written
