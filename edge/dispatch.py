"""The one way out of the core: what an `Output` changed goes to the journal, and to the people who must hear of it.

A send is decided with the incident's change and journalled in the same transaction, so that a kill at any moment
leaves either both or neither; after a restart a send that was under way goes out again under its old key. A push
starts when its row is durable, or after 100 ms: a slow or full disk delays no fire by more than that.
"""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge import sayings
from edge.clock import Clock
from edge.config import Config
from edge.core import Command, Core, Output
from edge.recorder import Recorder
from gateway import book, message, notify
from gateway.journal import Restored, UsedCommand, Write
from gateway.message import Message, WallTime
from gateway.notify import UNDER_WAY, Notified, Policy, Reason
from gateway.teller import Notifier, Teller
from models.incident import Incident

log = logging.getLogger(__name__)

S: Final = 1_000_000_000
DURABLE_WITHIN_S: Final = 0.1
EVENTS_MAX: Final = 50
DELIVERIES_MAX: Final = 20


class Dispatch:
    """Journal rows and sends of one agent. `act` gives a command to the core (an ack in a receiver's answer)."""

    def __init__(
        self,
        config: Config,
        core: Core,
        recorder: Recorder,
        clock: Clock,
        notifiers: Iterable[Notifier],
        rng: random.Random,
        restored: Restored,
    ) -> None:
        self.core = core
        self.undurable_n = 0
        self.events: deque[dict[str, str]] = deque(maxlen=EVENTS_MAX)
        self._site = config.site
        self._recorder = recorder
        self._clock = clock
        self._zone = ZoneInfo(config.site.ward.zone)
        self._book = message.book(config.site)
        self._tellers = {one.id: Teller(one, self.record, clock.site_ns, rng) for one in notifiers}
        self._language = {one.id: one.language or config.site.ward.language for one in config.site.notifier}
        self._policy = Policy(tuple(self._tellers), round(config.site.limits.repeat_s * S))
        self._log: dict[str, dict[str, Notified]] = {}  # incident -> receiver -> newest send
        self._used = set(restored.commands)
        self._recent: deque[str] = deque(maxlen=DELIVERIES_MAX)
        self._rows: dict[str, Notified] = {}
        self._wake = asyncio.Event()
        self._starting: set[asyncio.Task[None]] = set()
        for row in restored.notified:
            self._note(row)

    def take(self, output: Output) -> None:
        """Hand on one output of the core."""
        for event in output.events:
            spec = self.core.plan.specs[event.alarm]
            if words := sayings.of_alarm(event, spec, book.name(spec.place, self._book)):
                self._say(words)
        sends = [send for incident in output.incidents for send in self._decide(incident, output.site_ns)]
        if output.incidents or output.alarms:
            self._keep(Write(tuple(output.incidents), tuple(output.alarms.values()), tuple(sends)), sends)
            self._wake.set()

    def repeat(self, site_ns: int) -> None:
        """Make the sends that time alone calls for."""
        if (due_ns := self.next_repeat_ns()) is None or due_ns > site_ns:
            return
        sends = [
            send for one in self.core.incidents.values() if one.is_open for send in self._decide(one, site_ns)
        ]
        if sends:
            self._keep(Write(notified=tuple(sends)), sends)

    def next_repeat_ns(self) -> int | None:
        """Site ns of the next repeat."""
        times = (
            notify.next_at(self._log.get(one.id, {}).values(), one, self._policy)
            for one in self.core.incidents.values()
            if one.is_open
        )
        return min((at for at in times if at is not None), default=None)

    def resume(self, restored: Restored) -> None:
        """Send again what was under way when the agent ended, under its old key."""
        waiting = [row for row in restored.notified if row.state in UNDER_WAY]
        for row in waiting:
            incident = self.core.incidents.get(row.incident)
            teller = self._tellers.get(row.to)
            if incident is None or teller is None or self._log[row.incident][row.to].key != row.key:
                continue
            self._say(f"{row.incident} was on its way to {row.to} at the restart: sent again, same key")
            teller.push(row, self._message(incident, row))

    def act(self, request: dict[str, Any], by: str, via: str) -> dict[str, Any]:
        """One command from a person; the answer says whether it was done, or why not."""
        name = request.get("id")
        answer = {"v": 1, "id": name, "ok": False, "why": ""}
        who = request.get("by", by)
        incident, revision, cause = request.get("incident"), request.get("revision"), request.get("cause", "")
        if not _is_word(who) or not _is_word(incident) or not isinstance(cause, str):
            return answer | {"why": "say who (by) and which (incident), in at most 64 printable characters"}
        if revision is not None and (not isinstance(revision, int) or isinstance(revision, bool)):
            return answer | {"why": "revision is a whole number"}
        if name is not None and not _is_word(name):
            return answer | {"why": "id has at most 64 printable characters"}
        if name in self._used:
            return answer | {"why": f"command {name} was carried out before: an id acts once"}
        now_ns = self._clock.site_ns()
        do = str(request.get("do"))
        output = self.core.handle(Command(now_ns, do, str(incident), str(who), via, revision, cause))
        self._say(sayings.of_command(do, str(incident), str(who), via, output.refused))
        if output.refused:
            return answer | {"why": output.refused}
        if name is not None:
            self._used.add(name)
            self._recorder.add(Write(commands=(UsedCommand(name, str(who), do, now_ns),)))
        self.take(output)
        return answer | {"ok": True}

    def record(self, row: Notified) -> None:
        """A teller says how a send stands; an ack in the answer is acted on."""
        log.debug("step=%s key=%s", row.state.value, row.key)
        self._note(row)
        self._recorder.add(Write(notified=(row,)))
        self._wake.set()
        if row.ack_by is not None:
            self.act({"do": "ack", "incident": row.incident, "revision": row.revision}, row.ack_by, row.to)

    async def changed(self, within_s: float) -> None:
        """Wait until something changed that may have moved a deadline, at most `within_s`."""
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._wake.wait()

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start a task for each notifier; they end with `drain`."""
        for name, teller in self._tellers.items():
            group.create_task(teller.run(), name=f"tell[{name}]")

    def everything(self) -> Write:
        """All that the journal should hold, from RAM: for a fresh file in place of a damaged one."""
        now_ns = self._clock.site_ns()
        return Write(
            tuple(self.core.incidents.values()),
            tuple(alarm for alarm in self.core.alarms.values() if alarm.revision),
            tuple(row for rows in self._log.values() for row in rows.values()),
            tuple(UsedCommand(name, "", "", now_ns) for name in self._used),
        )

    async def drain(self, within_s: float) -> None:
        """Give running pushes their time."""
        if self._starting:
            await asyncio.wait(self._starting, timeout=DURABLE_WITHIN_S)
        await asyncio.gather(*(teller.drain(within_s) for teller in self._tellers.values()))

    def as_json(self, incident: Incident) -> dict[str, Any]:
        """The incident as the contract's JSON, told now."""
        return message.compose(
            incident, self._book, self._wall(), Reason.NONE, "vi", self._next_ns(incident)
        ).incident

    def wall_text(self, wall_ns: int) -> str:
        """A wall time for people, in the ward's zone."""
        return datetime.fromtimestamp(wall_ns // S, UTC).astimezone(self._zone).isoformat()

    def notifier_rows(self) -> list[dict[str, Any]]:
        """One row a notifier for the snapshot."""
        kinds = {one.id: one.kind for one in self._site.notifier}
        return [
            {
                "id": name,
                "kind": kinds.get(name, ""),
                "pending": teller.pending,
                "accepted": teller.stats.accepted,
                "failed": teller.stats.rejected + teller.stats.given_up,
                "retries": teller.stats.retries,
                "reason": teller.stats.reason,
            }
            for name, teller in self._tellers.items()
        ]

    def delivery_rows(self) -> list[dict[str, Any]]:
        """The newest sends for the snapshot, newest last."""
        wall = self._wall()
        return [
            {
                "key": row.key,
                "state": row.state.value,
                "attempts": row.attempts,
                "at": wall.at(row.at_ns).strftime("%H:%M:%S"),
                "reason": row.reason,
            }
            for row in (self._rows[key] for key in self._recent)
        ]

    def _decide(self, incident: Incident, site_ns: int) -> tuple[Notified, ...]:
        decision = notify.decide(self._log.get(incident.id, {}).values(), incident, self._policy, site_ns)
        for send in decision.sends:
            self._say(sayings.of_send(incident.id, send.to, send.why))
            self._note(send)
        return decision.sends

    def _keep(self, write: Write, sends: Iterable[Notified]) -> None:
        durable = self._recorder.add(write)
        log.debug("step=decided incidents=%s", [one.id for one in write.incidents])
        for send in sends:
            incident = self.core.incidents[send.incident]
            task = asyncio.create_task(
                self._start(send, self._message(incident, send), durable), name=f"start[{send.key}]"
            )
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self, send: Notified, text: Message, durable: asyncio.Future[None]) -> None:
        done, _ = await asyncio.wait({durable}, timeout=DURABLE_WITHIN_S)
        if not done:
            self.undurable_n += 1
            log.warning("push_undurable key=%s", send.key)
        log.debug("step=push key=%s", send.key)
        self._tellers[send.to].push(send, text)

    def _message(self, incident: Incident, send: Notified) -> Message:
        language = self._language.get(send.to, "vi")
        return message.compose(
            incident, self._book, self._wall(), send.why, language, self._next_ns(incident)
        )

    def _next_ns(self, incident: Incident) -> int | None:
        return notify.repeat_due(incident, self._policy, self._clock.site_ns())

    def _wall(self) -> WallTime:
        wall = self._clock.wall()
        return WallTime(self._clock.site_ns(), wall.ns, wall.synced, self._zone)

    def _note(self, row: Notified) -> None:
        """Remember how a send stands."""
        newest = self._log.setdefault(row.incident, {})
        if row.to not in newest or row.order >= newest[row.to].order:
            newest[row.to] = row
        if row.key not in self._rows:
            if len(self._recent) == DELIVERIES_MAX:
                self._rows.pop(self._recent[0])
            self._recent.append(row.key)
        self._rows[row.key] = row

    def _say(self, what: str) -> None:
        log.info("happened what=%r", what)
        at = self._wall().at(self._clock.site_ns()).strftime("%H:%M:%S")
        self.events.append({"at": at, "what": what})


def _is_word(text: Any) -> bool:
    return isinstance(text, str) and 0 < len(text) <= 64 and text.isprintable()
