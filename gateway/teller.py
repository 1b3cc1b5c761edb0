"""Delivery of messages: one `Teller` for each notifier, so that notifiers never wait for each other.

Invariants
- To one notifier the sends of one incident go in order; a newer one supersedes an older one that is not
  accepted. An attempt that is under way then gets `GRACE_S` to end by itself, so that a quick receiver is
  never cut off.
- Different incidents do not block each other: up to 8 attempts at once, the two last ones kept for priorities
  1 and 2; who waits is served by priority, then by age.
- Every attempt has one total deadline. A retry keeps its key. `RETRY` (also: no answer, a surprise) is tried
  again after 1, 2, 4 .. 30 s with jitter, or after the receiver's own wish (at most 60 s). `REJECTED` is
  FAILED: the next revision or repeat tries again. After 24 h, or when more than 512 sends wait, a send is
  FAILED with that reason.
- Every change of a send is given to `record`: SENT with the first attempt and after each failed one, then the
  end.
- The one place of the north side that catches `Exception`: a notifier that surprises is counted (by the name
  of the error; its text may hold a secret) and tried again; the others go on.

One log line when a notifier goes bad, one when it recovers. Time is `loop.time()` for waits and the handed-in
site time for rows.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final, Protocol

from gateway.gate import Gate
from gateway.message import Message
from gateway.notify import DeliveryState, Notified
from gateway.outcome import Outcome, Verdict

ATTEMPT_S: Final = 10.0
GRACE_S: Final = 1.0
BACKOFF_MAX_S: Final = 30.0
WISH_MAX_S: Final = 60.0
GIVE_UP_NS: Final = 86_400 * 1_000_000_000
WAITING_MAX: Final = 512

_log = logging.getLogger(__name__)


class Notifier(Protocol):
    """A way to reach people."""

    @property
    def id(self) -> str:
        """As in the site file."""
        ...

    async def prepare(self) -> str:
        """Make ready what a first push should not wait for. "" = well, else what is missing, in words."""
        ...

    async def tell(self, message: Message, person: str | None, key: str) -> Outcome:
        """One attempt; `key` is the same for every retry. Must bear being cancelled."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


@dataclass(slots=True)
class TellerStats:
    """Plain counters, read at scrape. `bad_in_a_row` counts attempts; `reason`: the last failure, "" when well."""

    attempts: int = 0
    accepted: int = 0
    rejected: int = 0
    retries: int = 0
    superseded: int = 0
    given_up: int = 0
    timeouts: int = 0
    surprises: int = 0
    bad_in_a_row: int = 0
    reason: str = ""


@dataclass(slots=True)
class _Slot:
    """One incident at this notifier: the send at work and the newer one that waits for it."""

    row: Notified
    message: Message
    newer: tuple[Notified, Message] | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    limit: asyncio.Timeout | None = None

    @property
    def priority(self) -> int:
        return int((self.newer[1] if self.newer else self.message).incident["priority"])


class Teller:
    """Delivers to one notifier. `run` is its task; `push` may be called before it starts."""

    def __init__(
        self,
        notifier: Notifier,
        record: Callable[[Notified], None],
        now_ns: Callable[[], int],
        random: Random,
        attempt_s: float = ATTEMPT_S,
    ) -> None:
        self.notifier = notifier
        self.stats = TellerStats()
        self._record = record
        self._now_ns = now_ns
        self._random = random
        self._attempt_s = attempt_s
        self._slots: dict[str, _Slot] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._gate = Gate()
        self._stopping = asyncio.Event()

    @property
    def pending(self) -> int:
        """Sends that are neither accepted nor failed."""
        return sum(1 + (slot.newer is not None) for slot in self._slots.values())

    def push(self, row: Notified, message: Message) -> None:
        """Deliver this send; an older one of the same incident that is not accepted yet is superseded."""
        if self._stopping.is_set():
            return
        slot = self._slots.get(row.incident)
        if slot is None:
            self._make_room()
            self._slots[row.incident] = _Slot(row, message)
            if self._group is not None:
                self._start(row.incident)
            return
        if slot.newer is not None:
            self._end(slot.newer[0], DeliveryState.SUPERSEDED)
        slot.newer = (row, message)
        slot.wake.set()
        if slot.limit is not None and not slot.limit.expired():
            grace = asyncio.get_running_loop().time() + GRACE_S
            slot.limit.reschedule(min(slot.limit.when() or grace, grace))

    async def run(self) -> None:
        """Until `drain`, or cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._prepare(), name=f"prepare[{self.notifier.id}]")
                for incident in self._slots:
                    self._start(incident)
                await self._stopping.wait()
        finally:
            self._group = None
            await self.notifier.close()

    async def drain(self, timeout_s: float) -> None:
        """Take nothing new, give running attempts `timeout_s`, stop. What is left stays under way in the journal."""
        self._stopping.set()
        for slot in self._slots.values():
            slot.wake.set()
        tasks = set(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_s)
            for task in late:
                task.cancel()

    async def _prepare(self) -> None:
        reason = await self.notifier.prepare()
        if reason:
            self.stats.reason = reason
            _log.warning("notifier=%s state=bad reason=%r", self.notifier.id, reason)

    def _start(self, incident: str) -> None:
        assert self._group is not None
        name = f"tell[{self.notifier.id}] {incident}"
        self._tasks[incident] = self._group.create_task(self._deliver(incident), name=name)

    async def _deliver(self, incident: str) -> None:
        slot = self._slots[incident]
        try:
            await self._push_once_or_more(slot)
            while slot.newer is not None:
                slot.row, slot.message = slot.newer
                slot.newer = None
                if not self._stopping.is_set():
                    slot.wake.clear()
                await self._push_once_or_more(slot)
        finally:
            if self._slots.get(incident) is slot:
                del self._slots[incident], self._tasks[incident]

    async def _push_once_or_more(self, slot: _Slot) -> None:
        """Attempts until the send is accepted, refused, given up, superseded, or we stop."""
        wait_s = 1.0
        while True:
            outcome = await self._attempt(slot)
            match outcome.verdict:
                case Verdict.ACCEPTED:
                    self._end(slot.row, DeliveryState.ACCEPTED, ack_by=outcome.ack_by)
                    return
                case Verdict.REJECTED | Verdict.PARTIAL:
                    self.stats.rejected += 1
                    self._end(slot.row, DeliveryState.FAILED, outcome.reason)
                    return
                case Verdict.RETRY:
                    pass
            if slot.newer is not None:
                self._end(slot.row, DeliveryState.SUPERSEDED, outcome.reason)
                return
            if self._now_ns() - slot.row.queued_ns >= GIVE_UP_NS:
                self._end(slot.row, DeliveryState.FAILED, f"given up after 24 h: {outcome.reason}")
                return
            slot.row = self._change(slot.row, DeliveryState.SENT, outcome.reason)
            if outcome.after_s is None:
                pause_s = min(wait_s * self._random.uniform(0.75, 1.25), BACKOFF_MAX_S)
                wait_s = min(2 * wait_s, BACKOFF_MAX_S)
            else:
                pause_s = min(max(outcome.after_s, 0.0), WISH_MAX_S)
            if await self._interrupted(slot, pause_s):
                return
            self.stats.retries += 1

    async def _interrupted(self, slot: _Slot, pause_s: float) -> bool:
        """Wait; True when we stop, or when a newer send took the place of this one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await slot.wake.wait()
        if slot.newer is not None:
            self._end(slot.row, DeliveryState.SUPERSEDED, slot.row.reason)
        return slot.wake.is_set()

    async def _attempt(self, slot: _Slot) -> Outcome:
        async with self._gate.pass_(slot.priority):
            if slot.newer is not None:
                return Outcome(Verdict.RETRY, slot.row.reason)
            row = replace(slot.row, attempts=slot.row.attempts + 1)
            slot.row = self._change(row, DeliveryState.SENT, row.reason) if row.attempts == 1 else row
            self.stats.attempts += 1
            try:
                async with asyncio.timeout(self._attempt_s) as slot.limit:
                    outcome = await self.notifier.tell(slot.message, None, slot.row.key)
            except TimeoutError:
                self.stats.timeouts += 1
                outcome = Outcome(Verdict.RETRY, "no answer in time")
            except Exception as surprise:  # noqa: BLE001  # the sink boundary: see the header
                self.stats.surprises += 1
                outcome = Outcome(Verdict.RETRY, f"surprise in the notifier: {type(surprise).__name__}")
            finally:
                slot.limit = None
        self._note(outcome)
        return outcome

    def _note(self, outcome: Outcome) -> None:
        stats, name = self.stats, self.notifier.id
        if outcome.verdict is Verdict.ACCEPTED:
            if stats.bad_in_a_row:
                _log.info("notifier=%s state=good after_failures=%d", name, stats.bad_in_a_row)
            stats.bad_in_a_row, stats.reason = 0, ""
            return
        stats.bad_in_a_row += 1
        stats.reason = outcome.reason
        if stats.bad_in_a_row == 1:
            _log.warning("notifier=%s state=bad verdict=%s reason=%r", name, outcome.verdict, outcome.reason)

    def _change(
        self, row: Notified, state: DeliveryState, reason: str, ack_by: str | None = None
    ) -> Notified:
        row = replace(row, state=state, reason=reason, at_ns=self._now_ns(), ack_by=ack_by)
        self._record(row)
        return row

    def _end(self, row: Notified, state: DeliveryState, reason: str = "", ack_by: str | None = None) -> None:
        self.stats.accepted += state is DeliveryState.ACCEPTED
        self.stats.superseded += state is DeliveryState.SUPERSEDED
        self._change(row, state, reason, ack_by)

    def _make_room(self) -> None:
        """Above the bound the least urgent, oldest send that waits gives way."""
        if len(self._slots) < WAITING_MAX:
            return
        incident, slot = max(self._slots.items(), key=lambda item: (item[1].priority, -item[1].row.queued_ns))
        self.stats.given_up += 1
        self._end(slot.newer[0] if slot.newer else slot.row, DeliveryState.FAILED, "gave way: too many wait")
        del self._slots[incident]
        if incident in self._tasks:
            self._tasks.pop(incident).cancel()
