"""Real processes for tests and benches: virtual devices, the agent, a receiver; judged by what each wrote itself.

    with Rig(folder, SITE_TEXT) as rig:
        rig.start_receiver("ok"); rig.start_virtual(); rig.start_agent()
        rig.set("nut-5-12", "call_point", 1)
        rig.wait(lambda: rig.received())
        rig.kill_agent()                       # SIGKILL

The site's notifier URL holds PORT, which becomes the receiver's; WEB becomes a free port. Where a site needs several
receivers, each is started under a `name` of its own, which stands as `<name>` in its URL. `device_log` and `received`
are the logs of the virtual devices and of the receivers: the agent has no part in them.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
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
        self.receivers: dict[str, subprocess.Popen[bytes]] = {}
        self.web_port = free_port()
        self.verbose = False
        self._ports = {"WEB": self.web_port}
        self._files: list[IO[bytes]] = []
        (folder / "credentials").mkdir(parents=True, exist_ok=True)
        self.ptys.mkdir(exist_ok=True)
        self.credential("duty-hook", f'key = "{SECRET}"\n')
        (folder / "world.toml").write_text(world)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.agent, self.virtual, *self.receivers.values()):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        for file in self._files:
            file.close()

    def start_receiver(self, mode: str = "ok", port: int = 0, *options: str, name: str = "PORT") -> int:
        """Start (again) a receiver; its log goes on. Gives its port."""
        argv = [sys.executable, "-m", "tests.receiver", "--port", str(port), "--mode", mode]
        argv += ["--log", str(self._received_log(name)), "--secret", SECRET, *options]
        receiver = self.receivers[name] = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert receiver.stdout is not None
        found = int(receiver.stdout.readline().split()[1])
        self.will_listen(name, found)
        return found

    def will_listen(self, name: str, port: int) -> None:
        """The site's receiver of this name is at this port, though nobody may listen there yet."""
        self._ports[name] = port
        self._write_site()

    def stop_receiver(self, name: str = "PORT") -> None:
        """The receiver is away."""
        self.receivers[name].kill()
        self.receivers[name].wait()

    def credential(self, name: str, text: str) -> None:
        """A credential beside the site."""
        path = self.folder / "credentials" / name
        path.write_text(text)
        path.chmod(0o600)

    def _write_site(self) -> None:
        text = self.site_text
        for name, port in self._ports.items():
            text = text.replace(f"<{name}>" if name.islower() else name, str(port))
        self.site.write_text(text)

    def start_virtual(self) -> None:
        """Start the virtual devices and wait until their ports are there."""
        if not self.site.exists():
            self._write_site()
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

    def stop_agent(self, within_s: float = 10.0, by: int = signal.SIGTERM) -> int:
        """SIGTERM, or another signal; gives the exit code."""
        assert self.agent is not None
        self.agent.send_signal(by)
        return self.agent.wait(within_s)

    def wardwatch(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Another command beside the agent, on its state folder."""
        return subprocess.run(
            [*WARDWATCH, *argv, "--state", str(self.state)], capture_output=True, text=True, timeout=30
        )

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

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page of the agent's local port; (0, "") while nobody listens there."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.web_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except urllib.error.URLError:
            return 0, ""

    def received(self, name: str = "PORT") -> list[dict[str, Any]]:
        """What the receiver's own log says."""
        return _lines(self._received_log(name))

    def _received_log(self, name: str) -> Path:
        return self.folder / ("received.jsonl" if name == "PORT" else f"received-{name}.jsonl")

    def device_log(self) -> list[dict[str, Any]]:
        """What the virtual devices' own log says."""
        return _lines(self.folder / "device.jsonl")

    def agent_log(self) -> str:
        """All that the agent printed."""
        return (self.folder / "agent.log").read_text(errors="replace")

    def until_up(self, within_s: float = 60.0) -> dict[str, Any]:
        """Wait until the agent answers and every channel was judged."""

        def is_up() -> dict[str, Any] | None:
            view = self.view()
            return view if all(one["state"] == "judged" for one in view["channels"]) else None

        return wait(is_up, within_s)


def free_port() -> int:
    """A port of this machine where nobody listens now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


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
