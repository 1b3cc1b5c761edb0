"""SIGKILL around a fire, again and again; judged only by the receiver's log and the database.

Each round presses one call point (each at a place of its own), kills the agent at a chosen moment and starts it again.
Moments: some milliseconds after the contact's reply (timed by the virtual device), or exactly at a step that the
agent logs (`STEPS`, in order of the path): its log goes through a pipe that holds one line (`StepLog`), so that it
stands still at its next line until it is killed. Then:

- every fire reached the receiver, and is in the database (lost 0);
- an incident row that the database held at the kill keeps its number for its place;
- a key came twice only where a kill or a lost answer explains it, and never three times.
"""

import fcntl
import os
import random
import select
import shutil
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.rig import Rig, wait

# What the agent logs before each step; "sent" is journalled, too, before the answer comes.
BEFORE = {
    "decided": ("goes to",),
    "committed": ("step=decided",),
    "push": ("step=committed",),
    "sent": ("step=push",),
    "accepted": ("step=sent", "step=committed"),
}
STEPS = ("decided", "committed", "push", "sent", "accepted")
SLOW_S = 0.25


class StepLog:
    """Copies the agent's log line by line, and stops copying before a step, so that the agent waits right behind it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._awaited: list[str] = []
        self._stands = threading.Event()
        self._go = threading.Event()
        self._pipe = -1

    def open(self) -> int:
        """The writing end for a new agent; close it once that has started."""
        self._pipe, write = os.pipe2(os.O_DIRECT)  # packets: one write is one line
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)  # one packet
        threading.Thread(target=self._copy, args=(self._pipe,), daemon=True).start()
        return write

    def arm(self, step: str) -> None:
        """Let the agent come to `step` and not to its next line."""
        self._stands.clear()
        self._go.clear()
        self._awaited = list(BEFORE[step])

    def wait(self) -> None:
        """Until the agent stands there."""
        assert self._stands.wait(10.0), f"never came: {self._awaited}"
        assert select.select([self._pipe], [], [], 10.0)[0], "the step itself was not logged"
        time.sleep(0.01)  # to come to the line after it, where it is held

    def release(self) -> None:
        """Copy on."""
        self._go.set()

    def _copy(self, pipe: int) -> None:
        while line := os.read(pipe, 8192):
            self._file.write(line)
            if self._awaited and self._awaited[0].encode() in line:
                self._awaited.pop(0)
                if not self._awaited:
                    self._stands.set()
                    self._go.wait()
        os.close(pipe)


@dataclass
class Verdict:
    """What the receiver and the database say."""

    kills: int = 0
    lost: list[str] = field(default_factory=list)
    renumbered: list[str] = field(default_factory=list)
    undurable_renumbered: int = 0
    twice: int = 0
    unexplained: list[str] = field(default_factory=list)
    last_step: dict[str, int] = field(default_factory=dict)
    within_30_ms: int = 0


def moments(n: int, rng: random.Random) -> list[float | str]:
    """Half of them 0..30 ms after the reply, the others right after each step in turn."""
    return [rng.uniform(0.0, 0.030) if i % 2 else STEPS[i // 2 % len(STEPS)] for i in range(n)]


def run(rig: Rig, plan: list[float | str], say: bool = False) -> Verdict:
    """Play the plan; the receiver of the rig should be slow."""
    verdict = Verdict()
    durable: dict[str, str] = {}
    steps = StepLog(rig.folder / "agent.log")
    _start(rig, steps)
    rig.until_up(60.0)
    for i, moment in enumerate(plan):
        channel = f"nut-{i}/call_point"
        log_at = len(rig.agent_log())
        if isinstance(moment, str):
            steps.arm(moment)
        rig.set(f"nut-{i}", "call_point", 1)
        told_ns = wait(lambda channel=channel: _told(rig, channel), 10.0)
        if isinstance(moment, float):
            time.sleep(max(0.0, moment - (time.monotonic_ns() - told_ns) / 1e9))
        else:
            steps.wait()
        verdict.within_30_ms += time.monotonic_ns() - told_ns <= 30e6
        rig.kill_agent()
        steps.release()
        time.sleep(0.05)  # the rest of its log is copied
        verdict.kills += 1
        step = _last_step(rig.agent_log()[log_at:])
        verdict.last_step[step] = verdict.last_step.get(step, 0) + 1
        durable |= incidents_in(rig.state)
        _start(rig, steps)
        wait(lambda i=i: _is_settled(rig, f"p-{i}"), 30.0)
        if say:
            print(f"  kill {i + 1}/{len(plan)} at {moment}: last step {step}", flush=True)
    judge(rig, [f"p-{i}" for i in range(len(plan))], durable, verdict)
    return verdict


def _start(rig: Rig, steps: StepLog) -> None:
    pipe = steps.open()
    rig.start_agent(stderr=pipe)
    os.close(pipe)


def judge(rig: Rig, places: list[str], durable: dict[str, str], verdict: Verdict) -> None:
    """Fill the verdict from the receiver's log and the database."""
    received = rig.received()
    in_database = incidents_in(rig.state)
    by_place: dict[str, set[str]] = {}
    for one in received:
        place = "p-" + one["channels"][0].split("/")[0].removeprefix("nut-")
        by_place.setdefault(place, set()).add(one["incident"])
    verdict.lost = [p for p in places if p not in by_place or p not in in_database.values()]
    for number, place in durable.items():
        if in_database.get(number) != place:
            verdict.renumbered.append(number)
    for place, numbers in by_place.items():
        known = {number for number, where in in_database.items() if where == place}
        verdict.undurable_renumbered += len(numbers - known)
        if len(known) != 1:
            verdict.renumbered.append(place)
    keys = [one["key"] for one in received]
    counts = {key: keys.count(key) for key in set(keys)}
    verdict.twice = sum(count > 1 for count in counts.values())
    verdict.unexplained = [key for key, count in counts.items() if count > 2]


def incidents_in(state: Path) -> dict[str, str]:
    """id -> place of all incident rows, from a copy of the database as it lies on the disk."""
    copy = state.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in state.glob("incidents.db*"):
        shutil.copy(file, copy / file.name)
    with sqlite3.connect(copy / "incidents.db") as db:
        rows = db.execute("SELECT id, json_extract(json, '$.place') FROM incident").fetchall()
    db.close()
    return dict(rows)


def _told(rig: Rig, channel: str) -> int | None:
    return next((e["t_ns"] for e in reversed(rig.device_log()) if channel in e.get("changed", ())), None)


def _last_step(log: str) -> str:
    """The last step of the path that the agent reached; "none" when the kill came before the first."""
    reached = [step for step in STEPS if f"step={step}" in log]
    return reached[-1] if reached else "none"


def _is_settled(rig: Rig, place: str) -> bool:
    """The place's incident is open in the restarted agent and its push was accepted."""
    view = rig.view()
    ids = {one["id"] for one in view["incidents"] if one["place"]["id"] == place}
    states = {d["key"].split("/")[0]: d["state"] for d in view["deliveries"]}
    return (
        bool(ids)
        and all(one["pending"] == 0 for one in view["notifiers"])
        and all(states.get(one, "accepted") == "accepted" for one in ids)
    )
