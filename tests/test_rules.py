"""Alarm rules as anyone can write them: a series of evidence goes in, alarms and incidents come out.

Files: `tests/rules/*.toml`. Times are seconds; step i of a series is at i * `step_s`.

    [[case]]
    name = "a sentence"
    step_s = 10
    alarm.ngo-12-flood = { hazard = "flood", place = "ngo-12", on_s = 60, off_s = 600, series = "0 1x7 0x61" }
    do = ["95 ack an"]
    alarms = ["70 ngo-12-flood raised 1 unacked", ...]        # pending and lapsed are left out
    incidents = ["70 #1 r1 confirmed 1 P4", ...]              # number, revision, state, level, priority

Series: a level, `3x5` = level 3 five times, `f2` = forecast of level 2, `_` = not judged, `.` = the judge
says nothing new; `2:a+b` = level 2 by channels a and b. Orders: `ack BY [REVISION]`, `under_control BY`,
`reset BY CAUSE`, `close BY CAUSE`, `suppress ALARM`, `unsuppress ALARM`, `gone ALARM` and `move ALARM PLACE`
(configuration). A line of `incidents` may be an answer: `30 refused: words`. Every case runs twice: as it is,
and killed before every step.
"""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from models import incident as incidents
from models import orders
from models.alarm import (
    Acked,
    Alarm,
    AlarmEvent,
    AlarmInput,
    AlarmRule,
    Condition,
    Mask,
    Reset,
    Tick,
    Unknown,
    advance,
    mask,
    next_deadline,
)
from models.alarm_table import What
from models.evidence import Contribution, Evidence
from models.incident import AlarmSpec, Incident, IncidentError
from models.kept import alarm_from_dict, alarm_to_dict, incident_from_dict, incident_to_dict
from models.reading import Hazard

S = 1_000_000_000
RULES = Path(__file__).parent / "rules"


def read_cases() -> list[dict[str, Any]]:
    return [case for path in sorted(RULES.glob("*.toml")) for case in tomllib.loads(path.read_text())["case"]]


def read_series(alarm: str, text: str, step_ns: int) -> Iterator[Evidence | None]:
    """Evidence by step; None = nothing new."""
    step = 0
    for token in text.split():
        body, _, times = token.partition("x")
        level_text, _, channels = body.partition(":")
        for _ in range(int(times or 1)):
            now_ns, step = step * step_ns, step + 1
            if level_text == ".":
                yield None
                continue
            level = 0 if level_text == "_" else int(level_text.removeprefix("f"))
            names = channels.split("+") if channels else [f"{alarm}/depth_m"]
            yield Evidence(
                alarm,
                now_ns,
                judged=level_text != "_",
                level=level,
                contributions=tuple(Contribution(n, float(level), None, None, now_ns, "") for n in names)
                if level
                else (),
                basis="forecast" if level_text.startswith("f") else "measured",
            )


@dataclass
class Gateway:
    """The smallest thing that can follow alarms: what edge.core does, without judge and journal."""

    rules: dict[str, AlarmRule]
    specs: dict[str, AlarmSpec]
    close_after_ns: int
    is_killed_often: bool
    alarms: dict[str, Alarm] = field(default_factory=dict)
    evidence: dict[str, Evidence] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    heard_alarms: list[str] = field(default_factory=list)
    heard_incidents: list[str] = field(default_factory=list)

    def kill(self, now_ns: int) -> None:
        """Only what is on disk comes back; the judge then says again what it sees."""
        kept = {name: json.dumps(alarm_to_dict(alarm)) for name, alarm in self.alarms.items()}
        self.alarms = {name: alarm_from_dict(json.loads(text)) for name, text in kept.items()}
        rows = [json.dumps(incident_to_dict(one)) for one in self.incidents.values()]
        self.incidents = {one.id: one for one in (incident_from_dict(json.loads(row)) for row in rows)}
        seen, self.evidence = self.evidence, {}
        for evidence in seen.values():
            self.judge(evidence, now_ns)

    def judge(self, evidence: Evidence, now_ns: int) -> None:
        self.evidence[evidence.alarm] = evidence
        self.feed(evidence.alarm, Condition(evidence.level) if evidence.judged else Unknown(), now_ns)

    def feed(self, name: str, given: AlarmInput, now_ns: int) -> None:
        self.moved(name, *advance(self.alarms[name], self.rules[name], given, now_ns), now_ns)

    def moved(self, name: str, alarm: Alarm, events: tuple[AlarmEvent, ...], now_ns: int) -> None:
        self.alarms[name] = alarm
        for event in events:
            if event.what not in (What.PENDING, What.LAPSED):
                by = f" by {event.by}" if event.by else ""
                self.heard_alarms.append(f"{now_ns // S} {name} {event.what} {event.level} {event.after}{by}")
        spec = self.specs[name]
        open_ones = [
            one for one in self.incidents.values() if one.is_open and one.key == incidents.key_of(spec)
        ]
        assert len(open_ones) <= 1
        newest = open_ones[0] if open_ones else None
        heard = self.evidence.get(name)
        args = (spec, self.alarms, self.specs, heard, now_ns, lambda: f"#{len(self.incidents) + 1}")
        after = incidents.follow(newest, *args)
        self.keep(after, now_ns)
        if after is not None:
            assert incidents.follow(after, *args) is None, "a second call must find nothing to tell"
        newest = after or newest
        if newest is not None and (by_whom := orders.answered_by(newest, alarm)):
            self.feed(name, Acked(by_whom), now_ns)

    def keep(self, after: Incident | None, now_ns: int) -> None:
        if after is None:
            return
        before = self.incidents.get(after.id)
        assert after.revision == (before.revision + 1 if before else 1)
        self.incidents[after.id] = after
        rise = " rise" if after.rise_revision == after.revision > 1 else ""
        acked = " acked" if incidents.is_acked(after) else ""
        cause = f" {after.cause}" if after.cause else ""
        self.heard_incidents.append(
            f"{now_ns // S} {after.id} r{after.revision} {after.state} {after.level} P{after.priority}"
            f"{rise}{acked}{cause}"
        )

    def next_ns(self) -> int | None:
        times = [next_deadline(alarm) for alarm in self.alarms.values()]
        times += [incidents.next_deadline(one, self.close_after_ns) for one in self.incidents.values()]
        return min((at for at in times if at is not None), default=None)

    def pass_time(self, until_ns: int) -> None:
        while (at_ns := self.next_ns()) is not None and at_ns <= until_ns:
            for name in self.alarms:
                self.feed(name, Tick(), at_ns)
            for one in list(self.incidents.values()):
                self.keep(incidents.time(one, at_ns, self.close_after_ns), at_ns)

    def order(self, words: list[str], now_ns: int) -> None:
        try:
            self.do(words, now_ns)
        except IncidentError as error:
            self.heard_incidents.append(f"{now_ns // S} refused: {error}")

    def do(self, words: list[str], now_ns: int) -> None:
        verb, *rest = words
        newest = next(reversed(self.incidents.values()), None)
        if verb in ("suppress", "unsuppress"):
            new = Mask.SUPPRESSED if verb == "suppress" else Mask.NONE
            self.moved(rest[0], *mask(self.alarms[rest[0]], new, now_ns), now_ns)
        elif verb in ("gone", "move"):
            spec = self.specs.pop(rest[0])
            if verb == "move":
                self.specs[rest[0]] = replace(spec, place=rest[1])
            else:
                del self.alarms[rest[0]]
                self.evidence.pop(rest[0], None)
            for one in list(self.incidents.values()):
                self.keep(incidents.orphaned(one, self.alarms, self.specs, now_ns), now_ns)
        elif newest is None:
            raise IncidentError("no incident")
        elif verb in ("ack", "under_control"):
            revision = int(rest[1]) if len(rest) > 1 else None
            after = (
                orders.ack(newest, rest[0], "desk", revision, now_ns)
                if verb == "ack"
                else orders.under_control(newest, rest[0], "desk", now_ns)
            )
            self.keep(after, now_ns)
            for name in newest.alarms if after and incidents.is_acked(after) else ():
                self.feed(name, Acked(rest[0]), now_ns)
        else:
            by, cause = rest[0], " ".join(rest[1:])
            orders.require_over(newest, self.alarms, cause)
            for name in newest.alarms:
                before = self.alarms[name]
                self.alarms[name], events = advance(before, self.rules[name], Reset(by), now_ns)
                for event in events:
                    self.heard_alarms.append(
                        f"{now_ns // S} {name} {event.what} {event.level} {event.after} by {event.by}"
                    )
            end = orders.reset if verb == "reset" else orders.close
            self.keep(end(newest, self.alarms, by, "desk", cause, now_ns), now_ns)


def play(case: dict[str, Any], *, is_killed_often: bool) -> tuple[list[str], list[str]]:
    step_ns = case.get("step_s", 1) * S
    table = case["alarm"]
    gateway = Gateway(
        rules={
            name: AlarmRule(
                name,
                row.get("on_s", 0) * S,
                row.get("off_s", 0) * S,
                row.get("latch", row["hazard"] == "fire"),
            )
            for name, row in table.items()
        },
        specs={
            name: AlarmSpec(
                name, Hazard(row["hazard"]), row["place"], row.get("priority"), row.get("life_safety", False)
            )
            for name, row in table.items()
        },
        close_after_ns=case.get("close_after_s", 3600) * S,
        is_killed_often=is_killed_often,
        alarms={name: Alarm(name) for name in table},
    )
    todo: list[tuple[int, int, str, Evidence | list[str]]] = []
    for name, row in table.items():
        for i, evidence in enumerate(read_series(name, row["series"], step_ns)):
            if evidence is not None:
                todo.append((i * step_ns, 0, name, evidence))
    for line in case.get("do", []):
        at, *words = line.split()
        todo.append((int(at) * S, 1, "", words))
    for now_ns, _, name, what in sorted(todo, key=lambda one: one[:2]):
        gateway.pass_time(now_ns)
        if is_killed_often:
            gateway.kill(now_ns)
        if isinstance(what, list):
            gateway.order(what, now_ns)
        elif name in gateway.alarms:
            gateway.judge(what, now_ns)
    gateway.pass_time(case.get("until_s", 0) * S)
    return gateway.heard_alarms, gateway.heard_incidents


@pytest.mark.parametrize("is_killed_often", [False, True], ids=["", "killed before every step"])
@pytest.mark.parametrize("case", read_cases(), ids=lambda case: case["name"])
def test_series_in_alarms_and_incidents_out(case: dict[str, Any], is_killed_often: bool) -> None:
    heard_alarms, heard_incidents = play(case, is_killed_often=is_killed_often)
    if "alarms" in case:
        assert heard_alarms == case["alarms"]
    assert heard_incidents == case["incidents"]


def test_names_of_cases_are_used_once() -> None:
    names = [case["name"] for case in read_cases()]
    assert len(names) == len(set(names)) >= 20
