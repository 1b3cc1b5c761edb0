"""Real processes for tests and benches: virtual devices, the agent, a receiver; judged by what each wrote itself.

    with Rig(folder, SITE_TEXT) as rig:
        rig.start_receiver("ok"); rig.start_virtual(); rig.start_agent()
        rig.set("nut-5-12", "call_point", 1)
        rig.wait(lambda: rig.received())
        rig.kill_agent()                       # SIGKILL

The site's notifier URL holds PORT, which becomes the receiver's. `device_log` and `received` are the logs of the
virtual devices and of the receiver: the agent has no part in them.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Self

from edge import control

SECRET = "whsec_" + "A" * 32
WARDWATCH = [sys.executable, "-m", "edge"]


class Rig:
    """One gateway with its surroundings, in a folder of its own."""

    def __init__(self, folder: Path, site: str, world: str = "") -> None:
        self.folder = folder
        self.site_text = site
        self.site = folder / "site.toml"
        self.state = folder / "state"
        self.ptys = folder / "ptys"
        self.agent: subprocess.Popen[bytes] | None = None
        self.virtual: subprocess.Popen[bytes] | None = None
        self.receiver: subprocess.Popen[bytes] | None = None
        self.verbose = False
        self._files: list[IO[bytes]] = []
        (folder / "credentials").mkdir(parents=True, exist_ok=True)
        self.ptys.mkdir(exist_ok=True)
        credential = folder / "credentials" / "duty-hook"
        credential.write_text(f'key = "{SECRET}"\n')
        credential.chmod(0o600)
        (folder / "world.toml").write_text(world)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.agent, self.virtual, self.receiver):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        for file in self._files:
            file.close()

    def start_receiver(self, mode: str = "ok", port: int = 0, *options: str) -> int:
        """Start (again) the receiver; its log goes on. Gives its port."""
        argv = [sys.executable, "-m", "tests.receiver", "--port", str(port), "--mode", mode]
        argv += ["--log", str(self.folder / "received.jsonl"), "--secret", SECRET, *options]
        self.receiver = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert self.receiver.stdout is not None
        found = int(self.receiver.stdout.readline().split()[1])
        self.site.write_text(self.site_text.replace("PORT", str(found)))
        return found

    def stop_receiver(self) -> None:
        """The receiver is away."""
        assert self.receiver is not None
        self.receiver.kill()
        self.receiver.wait()

    def start_virtual(self) -> None:
        """Start the virtual devices and wait until their ports are there."""
        if not self.site.exists():
            self.site.write_text(self.site_text)
        argv = [*WARDWATCH, "virtual", str(self.site), "--world", str(self.folder / "world.toml")]
        argv += ["--dir", str(self.ptys), "--log", str(self.folder / "device.jsonl")]
        self.virtual = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.virtual.stdout is not None
        assert self.virtual.stdout.readline().startswith(b"ready")

    def start_agent(self, *prefix: str, env: dict[str, str] | None = None, stderr: int | None = None) -> None:
        """Start (again) the agent; its log goes on in agent.log, or into the descriptor `stderr`."""
        log = (self.folder / "agent.log").open("ab")
        self._files.append(log)
        argv = [
            *prefix,
            *WARDWATCH,
            "run",
            str(self.site),
            "--state",
            str(self.state),
            "--virtual",
            str(self.ptys),
        ]
        argv += ["--verbose"] if self.verbose else []
        self.agent = subprocess.Popen(
            argv, stderr=log if stderr is None else stderr, stdout=log, env={**os.environ, **(env or {})}
        )

    def kill_agent(self) -> None:
        """SIGKILL."""
        assert self.agent is not None
        self.agent.send_signal(signal.SIGKILL)
        self.agent.wait()

    def stop_agent(self, within_s: float = 10.0) -> int:
        """SIGTERM; gives the exit code."""
        assert self.agent is not None
        self.agent.terminate()
        return self.agent.wait(within_s)

    def set(self, sensor: str, kind: str, value: float) -> None:
        """Somebody presses, smoke comes."""
        self._tell_virtual({"set": {"sensor": sensor, "kind": kind, "value": value}})

    def fail(self, target: str, fault: str, for_s: float) -> None:
        """A fault on the wire."""
        self._tell_virtual({"fault": {"target": target, "fault": fault, "for_s": for_s}})

    def _tell_virtual(self, what: dict[str, Any]) -> None:
        assert self.virtual is not None
        assert self.virtual.stdin is not None
        self.virtual.stdin.write(json.dumps(what).encode() + b"\n")
        self.virtual.stdin.flush()

    def view(self) -> dict[str, Any]:
        """The agent's snapshot. Raises edge.control.AgentAway."""
        return control.ask(control.listen_path(self.state), {"do": "view"})

    def command(self, **request: Any) -> dict[str, Any]:
        """One command on the control socket."""
        return control.ask(control.listen_path(self.state), request)

    def received(self) -> list[dict[str, Any]]:
        """What the receiver's own log says."""
        return _lines(self.folder / "received.jsonl")

    def device_log(self) -> list[dict[str, Any]]:
        """What the virtual devices' own log says."""
        return _lines(self.folder / "device.jsonl")

    def agent_log(self) -> str:
        """All that the agent printed."""
        return (self.folder / "agent.log").read_text(errors="replace")

    def until_up(self, within_s: float = 20.0) -> dict[str, Any]:
        """Wait until the agent answers and every channel was judged."""

        def is_up() -> dict[str, Any] | None:
            view = self.view()
            return view if all(one["state"] == "judged" for one in view["channels"]) else None

        return wait(is_up, within_s)


def wait(ready: Callable[[], Any], within_s: float = 10.0) -> Any:
    """Poll until `ready()` gives something true; an absent agent is not ready."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if found := ready():
                return found
        except control.AgentAway:
            pass
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.02)


def _lines(path: Path) -> list[dict[str, Any]]:
    """Whole JSON lines of a log that may be growing."""
    if not path.exists():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()]
