"""The demonstration's processes: started so that none outlives it, whatever ends it.

A child is killed by the kernel when the one who started it dies (PR_SET_PDEATHSIG), even by kill -9; the
phone stays half a second longer, to remove the folder. All but the view live in sessions of their own, so
that Ctrl-C reaches only the one who ends the others in order: SIGTERM to all, SIGKILL to who is still there
after a second.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from pathlib import Path
from typing import Final

import edge

END_S: Final = 1.0
_PR_SET_PDEATHSIG: Final = 1
# What dies how when its parent is gone: the view restores the terminal, the phone sees its stdin end.
_DEATH_SIGNAL: Final = {"view": signal.SIGTERM, "phone": 0}
# Of another agent or of a person on this machine; and secrets go by file only, never by environment.
_NOT_PASSED_ON: Final = ("WARDWATCH_PHONE", "CREDENTIALS_DIRECTORY", "RUNTIME_DIRECTORY", "NOTIFY_SOCKET")


class ChildError(Exception):
    """A process did not come up; the text says which and what it said last."""


def _dies_with_us(number: int) -> Callable[[], None]:
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec


class Children:
    """The processes by name. `folder` gets what each writes to stderr, as NAME.log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: dict[str, Process] = {}
        kept = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
        self._environ = kept | {"PYTHONPATH": str(Path(edge.__file__).parents[1]), "PYTHONUNBUFFERED": "1"}

    async def start(
        self,
        name: str,
        *arguments: str,
        stdin: int = asyncio.subprocess.PIPE,
        stdout: int | None = asyncio.subprocess.PIPE,
        pass_fds: tuple[int, ...] = (),
    ) -> Process:
        """`python ARGUMENTS`; `stdout` None is ours."""
        with self.log(name).open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                *arguments,
                stdin=stdin,
                stdout=stdout,
                stderr=errors,
                pass_fds=pass_fds,
                env=self._environ,
                start_new_session=name != "view",
                preexec_fn=_dies_with_us(_DEATH_SIGNAL.get(name, signal.SIGKILL)),
            )
        self._all[name] = process
        return process

    def log(self, name: str) -> Path:
        """What the process wrote to stderr."""
        return self._folder / f"{name}.log"

    def last_words(self, name: str, n_lines: int = 8) -> str:
        """The last lines of its log, for a person."""
        with contextlib.suppress(OSError):
            lines = self.log(name).read_text("utf-8", "replace").splitlines()
            return "\n".join(f"  {line}" for line in lines[-n_lines:])
        return ""

    async def first_line(self, name: str, process: Process, word: str, within_s: float) -> str:
        """What follows `word` on the first line that the process says.

        Raises ChildError when it ends or says something else.
        """
        assert process.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            line = await asyncio.wait_for(process.stdout.readline(), within_s)
        said, _, rest = line.decode().strip().partition(" ")
        if said != word:
            raise ChildError(f"{name} did not start:\n{self.last_words(name)}")
        return rest

    async def end(self) -> None:
        """End all, at most a little over a second."""
        alive = [process for process in self._all.values() if process.returncode is None]
        for process in alive:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        waits = [asyncio.ensure_future(process.wait()) for process in alive]
        if waits:
            _, late = await asyncio.wait(waits, timeout=END_S)
            for process in alive:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
            if late:
                await asyncio.wait(late, timeout=END_S)


def tell(process: Process, line: str) -> None:
    """A line to a child's stdin; one that is gone hears nothing."""
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(line.encode() + b"\n")
