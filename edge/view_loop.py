"""The terminal view's loop: look five times a second, draw what changed, leave the terminal clean.

On a terminal rich draws on the alternate screen, a whole picture at a time and only when it differs (no
flicker); SIGINT, SIGTERM and SIGHUP end the loop, so that the terminal is restored. Elsewhere: a plain line
for each change. A view is a process of its own: it says AGENT DOWN when the agent does not answer.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final, TextIO

from rich.console import Console, Group
from rich.live import Live

from edge.view import Seen, picture
from edge.view_changes import changes
from edge.view_eyes import Eyes, Sources
from edge.view_words import ascii_only

LOOK_S: Final = 0.2


def speaks_unicode(encoding: str | None, environ: Mapping[str, str]) -> bool:
    """Whether Vietnamese can be shown: the stream can encode it, locale and terminal do not say no.

    Python replaces a C locale by UTF-8 and writes that into LC_CTYPE; a terminal started with `LANG=C`
    still shows no accents. The kernel's own console (TERM=linux) has no Vietnamese letters in its fonts.
    """
    try:
        "Đồ─…".encode(encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    names = [environ.get("LC_ALL"), environ.get("LC_CTYPE"), environ.get("LANG")]
    if not names[0] and names[1] == "C.UTF-8" and names[2] in ("C", "POSIX"):
        return False
    locale = next((name for name in names if name), "")
    return locale not in ("C", "POSIX") and environ.get("TERM") != "linux"


async def watch(sources: Sources, stream: TextIO, is_plain: bool, ready_fd: int | None = None) -> None:
    """Show until a signal says stop.

    Args:
        sources: where to look.
        stream: where to draw.
        is_plain: lines of changes instead of a picture.
        ready_fd: gets one byte when the first picture with the agent's answer stands.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    is_ascii = not speaks_unicode(stream.encoding, os.environ)
    eyes = Eyes(sources)
    with contextlib.ExitStack() as stack:
        stack.callback(eyes.close)
        stack.enter_context(contextlib.suppress(BrokenPipeError))
        show = _Lines(stream, is_ascii) if is_plain else _Screen(stream, is_ascii, stack)
        while not stop.is_set():
            seen = await eyes.look()
            show.show(seen)
            if ready_fd is not None and seen.snapshot is not None:
                os.write(ready_fd, b"1")
                os.close(ready_fd)
                ready_fd = None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_S)


class _Lines:
    def __init__(self, stream: TextIO, is_ascii: bool) -> None:
        self._stream, self._is_ascii, self._before = stream, is_ascii, Seen(None)

    def show(self, seen: Seen) -> None:
        for line in changes(self._before, seen):
            self._stream.write((ascii_only(line) if self._is_ascii else line) + "\n")
        self._stream.flush()
        self._before = seen


class _Screen:
    def __init__(self, stream: TextIO, is_ascii: bool, stack: contextlib.ExitStack) -> None:
        self._console = Console(file=stream, markup=False, emoji=False, highlight=False, safe_box=is_ascii)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._is_ascii = is_ascii
        self._drawn: object = None
        stack.enter_context(self._live)

    def show(self, seen: Seen) -> None:
        size = self._console.size
        rows = picture(seen, size.width, size.height, self._is_ascii)
        if (rows, size) != self._drawn:
            self._live.update(Group(*rows), refresh=True)
            self._drawn = (rows, size)


def main(sources: Sources, wants_plain: bool, ready_fd: int | None) -> None:
    """The view on standard output: a picture where that is a terminal that can, plain lines elsewhere."""
    is_terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb")
    asyncio.run(watch(sources, sys.stdout, wants_plain or not is_terminal, ready_fd))
