"""Counts what happened, from three witnesses that do not know each other: wire, agent, phone.

The virtual devices' log says when a contact's last byte left, the phone's file when a push's first byte
came (both CLOCK_MONOTONIC), the agent's snapshots what it says it sent. Nothing is counted by the story
itself.

*Doubled*: one delivery key received more than once. *Lost*: a delivery that the agent has (and has not
superseded) and the phone has not, or a contact that closed on the wire and that no push ever named.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

# A push that names a contact belongs to it when it came this soon after; fires have no on-delay.
BELONGS_S: Final = 10.0


@dataclass(slots=True)
class Witness:
    """What the agent said over all its lives. `to`: the notifier that leads to the phone."""

    to: str
    incidents: dict[str, str] = field(default_factory=dict)
    deliveries: dict[str, str] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    open_now: frozenset[str] = frozenset()
    kept_numbers: list[bool] = field(default_factory=list)
    _before_kill: frozenset[str] | None = None

    def hear(self, snapshot: dict[str, Any]) -> None:
        """One snapshot, in the order of time."""
        for incident in snapshot["incidents"]:
            self.incidents[incident["id"]] = incident["hazard"]
        for delivery in snapshot["deliveries"]:
            to = delivery["key"].split("/")[2].split(":")[0]
            kept = self.deliveries if to == self.to else self.elsewhere
            kept[delivery["key"]] = delivery["state"]
        self.open_now = frozenset(i["id"] for i in snapshot["incidents"] if i["state"] != "closed")
        if self._before_kill is not None:
            self.kept_numbers.append(self._before_kill <= self.open_now)
            self._before_kill = None

    def killed(self) -> None:
        """The agent was killed now; the next snapshot is its next life's."""
        self._before_kill = self.open_now

    @property
    def has_waiting(self) -> bool:
        """Whether a push has not ended yet."""
        return any(state in ("queued", "sent") for state in self.deliveries.values())


@dataclass(frozen=True, slots=True)
class Tally:
    """The sum. `latency_ms` ascending; `lost` in words."""

    incidents: dict[str, int]
    sent: int
    received: int
    doubled: int
    refused: int
    lost: tuple[str, ...]
    latency_ms: tuple[float, ...]
    kept_numbers: tuple[bool, ...]
    elsewhere: dict[str, int]

    @property
    def is_good(self) -> bool:
        """Nothing lost, nothing doubled, no signature wrong, the same numbers after each kill."""
        return not (self.lost or self.doubled or self.refused) and all(self.kept_numbers)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a log; none when it is not there."""
    try:
        lines = path.read_text("utf-8").split("\n")[:-1]
    except OSError:
        return []
    return [json.loads(line) for line in lines]


def closings(wire: Iterable[dict[str, Any]]) -> list[tuple[str, float]]:
    """(channel, seconds) of each reply that told a contact as newly closed; all begin open."""
    told: Counter[str] = Counter()
    closed = []
    for row in wire:
        if row["what"] == "reply":
            for channel in row["changed"]:
                told[channel] += 1
                if told[channel] % 2:
                    closed.append((channel, row["t_ns"] / 1e9))
    return closed


def count(wire: Sequence[dict[str, Any]], phone: Sequence[dict[str, Any]], agent: Witness) -> Tally:
    """The sum of all three."""
    trusted = [row for row in phone if row["trusted"]]
    keys = Counter(row["key"] for row in trusted)
    lost = [
        f"{key}: {state} for the agent, never arrived"
        for key, state in agent.deliveries.items()
        if state != "superseded" and key not in keys
    ]
    latency_ms = []
    for channel, closed_s in closings(wire):
        took_s = [
            row["at_s"] - closed_s
            for row in trusted
            if 0 <= row["at_s"] - closed_s <= BELONGS_S
            and any(c["channel"] == channel for c in row["body"]["evidence"])
        ]
        if took_s:
            latency_ms.append(min(took_s) * 1000)
        else:
            lost.append(f"{channel}: closed on the wire, no push named it")
    return Tally(
        incidents=dict(Counter(agent.incidents.values())),
        sent=len(agent.deliveries.keys() | keys.keys()),
        received=len(keys),
        doubled=sum(n - 1 for n in keys.values()),
        refused=len(phone) - len(trusted),
        lost=tuple(lost),
        latency_ms=tuple(sorted(latency_ms)),
        kept_numbers=tuple(agent.kept_numbers),
        elsewhere=dict(Counter(agent.elsewhere.values())),
    )


def rank(ascending: Sequence[float], share: float) -> float:
    """The nearest-rank percentile.

    >>> rank([1.0, 2.0, 3.0, 9.0], 0.5), rank([1.0, 2.0, 3.0, 9.0], 0.99)
    (2.0, 9.0)
    """
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


def words(tally: Tally, seconds: float) -> list[str]:
    """The sum in plain lines."""
    hazards = ", ".join(f"{hazard} {n}" for hazard, n in sorted(tally.incidents.items()))
    lines = [
        f"wardwatch demo, {seconds:.0f} s",
        f"  incidents  {sum(tally.incidents.values())}{f' ({hazards})' if hazards else ''}",
    ]
    lines.append(
        f"  pushes     sent {tally.sent}, received {tally.received}, doubled {tally.doubled}, "
        f"lost {len(tally.lost)}"
    )
    if tally.latency_ms:
        p50, p99 = rank(tally.latency_ms, 0.5), rank(tally.latency_ms, 0.99)
        lines.append(
            f"  latency    p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {tally.latency_ms[-1]:.1f} ms, "
            f"{len(tally.latency_ms)} contacts\n"
            "             (last byte on the wire to first byte at the phone)"
        )
    for kept in tally.kept_numbers:
        lines.append(
            f"  kill -9    {'the same incident numbers' if kept else 'OTHER INCIDENT NUMBERS'} after it"
        )
    if tally.elsewhere:
        states = ", ".join(f"{state} {n}" for state, n in sorted(tally.elsewhere.items()))
        lines.append(f"  your phone {states} (by its service's own word)")
    if tally.refused:
        lines.append(f"  SIGNATURE WRONG on {tally.refused} messages")
    lines += [f"  LOST       {what}" for what in tally.lost]
    lines.append("nothing lost, nothing doubled" if tally.is_good else "NOT GOOD: see above")
    return lines
