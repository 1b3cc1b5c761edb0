"""Plays the demonstration: starts the four processes, tells the story, watches, ends all, counts.

    phone   edge.demo.phone       receiver of signed pushes
    virtual `wardwatch virtual`   sensors on ptys, told what to feel through its stdin
    agent   `wardwatch run`       the real one; started again when it dies, as systemd would
    view    `wardwatch view`      gets the agent's socket, the phone's file and the caption's, nothing else

All live in one private folder, which is gone afterwards. Time is counted from the view's first picture with
the agent's answer. Ctrl-C, SIGTERM and SIGHUP end it within 2 s at any time.
"""

import asyncio
import base64
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import Process
from importlib.resources import files
from pathlib import Path
from typing import Final

from edge.demo.children import ChildError, Children, tell
from edge.demo.story import NIGHT, Ack, Fail, Feel, Kill, PhoneAnswers, Step
from edge.demo.tally import Tally, Witness, count, read_rows, words
from edge.view import Seen
from edge.view_eyes import Eyes, Sources

START_S: Final = 60.0  # the first start on a small machine may still load kernels
RESTART_S: Final = 1.0
RESTARTS_MAX: Final = 5
LOOK_S: Final = 0.2
LAST_PUSH_S: Final = 3.0
ACK_S: Final = 10.0
TO: Final = "duty-phone"
_BACK_TO_NORMAL: Final = "\x1b[?1049l\x1b[?25h"  # leave the alternate screen, show the cursor


def play(for_s: float | None, is_plain: bool, phone_url: str | None) -> int:
    """Play for some seconds, or until a signal. Returns the exit code: 0 = nothing lost, nothing doubled."""
    # A socket's path has at most 107 bytes: a long TMPDIR does not fit.
    root = tempfile.gettempdir() if len(tempfile.gettempdir()) < 60 else "/tmp"
    folder = Path(tempfile.mkdtemp(prefix="wardwatch-demo-", dir=root))
    try:
        return asyncio.run(_until_ended(Demo(folder, is_plain, phone_url), for_s))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _until_ended(demo: "Demo", for_s: float | None) -> int:
    playing = asyncio.ensure_future(demo.run(for_s))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, playing.cancel)
    was_cut = False
    try:
        await playing
    except asyncio.CancelledError:
        was_cut = True
    except ChildError as error:
        await demo.children.end()
        demo.restore_terminal()
        print(error, file=sys.stderr)
        return 1
    await demo.children.end()
    demo.restore_terminal()
    if demo.started_s is None:
        return 130
    tally = demo.tally()
    with contextlib.suppress(BrokenPipeError):
        print("\n".join(words(tally, asyncio.get_running_loop().time() - demo.started_s)), flush=True)
    if was_cut and for_s is not None:
        return 130
    return 0 if tally.is_good and demo.falls == 0 else 1


class Demo:
    """One evening in one folder."""

    def __init__(self, folder: Path, is_plain: bool, phone_url: str | None) -> None:
        self.children = Children(folder)
        self.started_s: float | None = None
        self.falls = 0  # the agent ended by itself: must not happen
        self._folder = folder
        self._is_plain = is_plain
        self._phone_url = phone_url
        self._agent: Process | None = None
        self._killed = False
        self._witness = Witness(TO)
        self._eyes = Eyes(Sources(folder / "state" / "control.sock"))
        self._looked = asyncio.Condition()
        self._seen = Seen(None)

    async def run(self, for_s: float | None) -> None:
        """Start all, play, and wait for the last push."""
        loop = asyncio.get_running_loop()
        phone = await self._start_phone()
        virtual = await self._start_virtual()
        await self._start_agent()
        keep = asyncio.ensure_future(self._keep_agent())
        tasks = [keep]
        try:
            view = await self._first_picture(keep)
            self.started_s = loop.time()
            story = asyncio.ensure_future(self._tell_story(self.started_s, phone, virtual))
            shown = asyncio.ensure_future(_ended(view))
            looks = asyncio.ensure_future(self._look())
            tasks += [story, shown, looks]
            await asyncio.wait([keep, shown, looks], timeout=for_s, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            story.cancel()
            if not shown.done():
                await self._last_pushes()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._eyes.close()

    def tally(self) -> Tally:
        """What the three witnesses say."""
        wire, phone = read_rows(self._folder / "wire.jsonl"), read_rows(self._folder / "phone.jsonl")
        return count(wire, phone, self._witness)

    def restore_terminal(self) -> None:
        """For a view that was killed before it could."""
        if not self._is_plain and sys.stdout.isatty():
            with contextlib.suppress(OSError):
                print(_BACK_TO_NORMAL, end="", flush=True)

    async def _start_phone(self) -> Process:
        folder = self._folder
        (folder / "credentials").mkdir(mode=0o700)
        key = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        _write_secret(folder / "credentials" / TO, f'key = "{key}"\n')
        arguments = (folder / "phone.jsonl", folder / "credentials" / TO, folder)
        phone = await self.children.start("phone", "-m", "edge.demo.phone", *map(str, arguments))
        port = await self.children.first_line("phone", phone, "port", START_S)
        _write_site(folder, port, self._phone_url)
        return phone

    async def _start_virtual(self) -> Process:
        folder = self._folder
        arguments = (
            "--world",
            folder / "world.toml",
            "--dir",
            folder / "ports",
            "--log",
            folder / "wire.jsonl",
        )
        command = ("-m", "edge", "virtual", str(folder / "site.toml"), *map(str, arguments))
        virtual = await self.children.start("virtual", *command)
        await self.children.first_line("virtual", virtual, "ready", START_S)
        return virtual

    async def _start_agent(self) -> None:
        folder = self._folder
        options = ("--virtual", str(folder / "ports"), "--state", str(folder / "state"))
        self._agent = await self.children.start(
            "agent", "-m", "edge", "run", str(folder / "site.toml"), *options,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def _keep_agent(self) -> None:
        """Start the agent again whenever it ends. Raises ChildError when it never stays."""
        while True:
            assert self._agent is not None
            await self._agent.wait()
            if not self._killed:
                self.falls += 1
                if self.started_s is None or self.falls > RESTARTS_MAX:
                    raise ChildError(f"the agent ended by itself:\n{self.children.last_words('agent')}")
            self._killed = False
            await asyncio.sleep(RESTART_S)
            await self._start_agent()

    async def _first_picture(self, agent_kept: "asyncio.Future[None]") -> Process:
        """The view, once it has shown the agent's first answer."""
        folder = self._folder
        ready_fd, theirs = os.pipe()
        options = ["--socket", folder / "state" / "control.sock", "--phone", folder / "phone.jsonl"]
        options += ["--caption", folder / "caption.jsonl", "--ready-fd", theirs]
        try:
            view = await self.children.start(
                "view", "-m", "edge", "view", *map(str, options), *(["--plain"] if self._is_plain else []),
                stdin=asyncio.subprocess.DEVNULL, stdout=None, pass_fds=(theirs,),
            )  # fmt: skip
        finally:
            os.close(theirs)
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(ready_fd, "rb")
        )
        shown = asyncio.ensure_future(stream.read(1))
        try:
            either: list[asyncio.Future[bytes] | asyncio.Future[None]] = [shown, agent_kept]
            await asyncio.wait(either, timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
            if agent_kept.done():
                agent_kept.result()
            if not shown.done() or not shown.result():
                last = self.children.last_words("view") or self.children.last_words("agent")
                raise ChildError(f"there was no first picture:\n{last}")
        finally:
            shown.cancel()
            transport.close()
        return view

    async def _look(self) -> None:
        while True:
            await self._look_once()
            await asyncio.sleep(LOOK_S)

    async def _look_once(self) -> None:
        async with self._looked:
            self._seen = await self._eyes.look()
            if self._seen.snapshot is not None and self._seen.down_s == 0:
                self._witness.hear(self._seen.snapshot)
            self._looked.notify_all()

    async def _last_pushes(self) -> None:
        """What is on its way may still arrive."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_PUSH_S), self._looked:
                await self._looked.wait()
                await self._looked.wait_for(lambda: not self._witness.has_waiting)

    def _unanswered_fire(self) -> str | None:
        snapshot = self._seen.snapshot
        if snapshot is None or self._seen.down_s > 0:
            return None
        fires = (i for i in snapshot["incidents"] if i["hazard"] == "fire" and i["state"] != "closed")
        return next((str(fire["id"]) for fire in fires if not fire["acks"]), None)

    async def _tell_story(self, start_s: float, phone: Process, virtual: Process) -> None:
        loop = asyncio.get_running_loop()
        with (self._folder / "caption.jsonl").open("a", buffering=1) as captions:
            for step in NIGHT:
                await asyncio.sleep(start_s + step.at_s - loop.time())
                if step.says:
                    print(json.dumps({"caption": step.says}), file=captions)
                await self._do(step, phone, virtual)

    async def _do(self, step: Step, phone: Process, virtual: Process) -> None:
        match step.does:
            case Feel(sensor, kind, value):
                tell(virtual, json.dumps({"set": {"sensor": sensor, "kind": kind, "value": value}}))
            case Fail(target, fault, for_s):
                tell(virtual, json.dumps({"fault": {"target": target, "fault": fault, "for_s": for_s}}))
            case Kill():
                await self._look_once()
                self._witness.killed()
                self._killed = True
                assert self._agent is not None
                with contextlib.suppress(ProcessLookupError):
                    self._agent.kill()
            case PhoneAnswers(by):
                tell(phone, json.dumps({"ack": by}))
            case Ack(by):
                await self._ack(by)

    async def _ack(self, by: str) -> None:
        """`wardwatch ack`, as soon as the agent answers."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ACK_S), self._looked:
                await self._looked.wait_for(lambda: self._unanswered_fire() is not None)
        if fire := self._unanswered_fire():
            options = ("--by", by, "--state", str(self._folder / "state"))
            await (await self.children.start("ack", "-m", "edge", "ack", fire, *options)).wait()


async def _ended(process: Process) -> None:
    await process.wait()


def _write_secret(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _write_site(folder: Path, port: str, phone_url: str | None) -> None:
    """The packaged site with the phone's port; to a real phone all places say DIỄN TẬP (exercise)."""
    data = files("edge.demo") / "data"
    site = (data / "site.toml").read_text("utf-8").replace("PORT", port)
    if phone_url is not None:
        # People get these words without this screen beside them: they must never look real.
        site = re.sub(r'(\[\[place\]\]\nid = "[^"]+"\nname = ")', r"\1DIỄN TẬP ", site)
        site += '\n[[notifier]]\nid = "my-phone"\nkind = "apprise"\ncredential = "my-phone"\n'
        _write_secret(folder / "credentials" / "my-phone", f"url = {json.dumps(phone_url)}\n")
    (folder / "site.toml").write_text(site, "utf-8")
    (folder / "world.toml").write_text((data / "world.toml").read_text("utf-8"), "utf-8")
