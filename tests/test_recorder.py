"""The recorder on a real journal: one commit for what came together, a disk that refuses, a file that is spoilt."""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from edge.numbers import Numbers
from edge.recorder import RETRY_S, Recorder
from edge.simulation.loop import VirtualClock, VirtualLoop, run
from edge.threads import at_once
from gateway.journal import UsedCommand, Write, open_journal
from gateway.kept import Restored
from tests.test_journal import ALARM, INCIDENT, sends

KEPT_ALARM = (replace(ALARM, judged=False),)  # whether it is judged is found anew


T = TypeVar("T")


async def slowly(work: Callable[[], T], /) -> T:
    """A thread that takes 50 ms, in virtual time."""
    await asyncio.sleep(0.05)
    return await at_once(work)


class Bench:
    """A recorder in virtual time; `told` holds what it said of the disk."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop, 0)
        self.numbers = Numbers("gw")
        self.told: list[tuple[bool, str]] = []
        self.known = Write()
        self.recorder = Recorder(
            state,
            clock=self.clock,
            blocking=slowly,
            numbers=self.numbers,
            unwritable=lambda is_bad, why: self.told.append((is_bad, why)),
            everything=lambda: self.known,
        )

    def live(self, script: Callable[[Recorder], Awaitable[Any]]) -> Restored:
        """Open, run beside `script`, stop and close; gives what was there at open."""

        async def main() -> Restored:
            restored = await self.recorder.open()
            self.clock.start(restored.time)
            self.numbers.start(self.clock.boot, self.clock.site_ns())
            async with asyncio.TaskGroup() as group:
                group.create_task(self.recorder.run())
                await script(self.recorder)
                self.recorder.stop()
            await self.recorder.close()
            return restored

        return run(main(), self.loop)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def kept(state: Path) -> Restored:
    opened = open_journal(state / "incidents.db", state / "aside")
    opened.journal.close()
    assert opened.damaged is None
    return opened.restored


def refuse(state: Path, table: str = "incident") -> None:
    """From now on the file takes no row of this table."""
    with closing(sqlite3.connect(state / "incidents.db")) as db:
        db.execute(
            f"CREATE TRIGGER no BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'the disk says no'); END"
        )
        db.commit()


def take(state: Path) -> None:
    with closing(sqlite3.connect(state / "incidents.db")) as db:
        db.execute("DROP TRIGGER no")
        db.commit()


def test_writes_that_come_together_share_one_commit_and_the_newest_of_each_is_kept(bench: Bench) -> None:
    newer = replace(INCIDENT, revision=4)

    async def script(recorder: Recorder) -> None:
        before = recorder.commits_n
        first = recorder.add(Write((INCIDENT,), (ALARM,), sends(INCIDENT, "duty")))
        second = recorder.add(Write((newer,)))
        assert not first.done()
        await asyncio.gather(first, second)
        assert recorder.commits_n == before + 1

    bench.live(script)
    restored = kept(bench.state)
    assert (restored.incidents, restored.alarms) == ((newer,), KEPT_ALARM)
    assert [one.key for one in restored.notified] == ["xd-gw-07-1/3/duty/0"]
    assert bench.told == []


def test_what_the_disk_refused_is_tried_again_newest_first_and_told_once(bench: Bench) -> None:
    command = UsedCommand("c-1", "an", "ack", 5)

    async def script(recorder: Recorder) -> None:
        await recorder.add(Write(alarms=(ALARM,)))
        refuse(bench.state)
        old = recorder.add(Write((INCIDENT,), commands=(command,)))
        await asyncio.sleep(2.5 * RETRY_S)
        assert not old.done()
        assert recorder.is_bad
        assert recorder.failures_n >= 2
        assert bench.told == [(True, "the disk says no")]
        new = recorder.add(Write((replace(INCIDENT, revision=4),)))
        take(bench.state)
        await asyncio.wait_for(asyncio.gather(old, new), 2 * RETRY_S)
        assert not recorder.is_bad

    bench.live(script)
    assert bench.told == [(True, "the disk says no"), (False, "")]
    restored = kept(bench.state)
    assert [one.revision for one in restored.incidents] == [4]
    assert restored.commands == {"c-1"}


def test_what_came_while_a_commit_failed_is_the_newer_one(bench: Bench) -> None:
    newer = Write((replace(INCIDENT, revision=4),), (replace(ALARM, revision=8),))

    async def script(recorder: Recorder) -> None:
        await recorder.add(Write())
        refuse(bench.state, "alarm")
        old = recorder.add(Write((INCIDENT,), (ALARM,)))
        await asyncio.sleep(0.02)  # it is under way
        new = recorder.add(newer)
        await asyncio.sleep(0.1)
        assert recorder.is_bad
        take(bench.state)
        await asyncio.wait_for(asyncio.gather(old, new), 2 * RETRY_S)

    bench.live(script)
    restored = kept(bench.state)
    assert [one.revision for one in (*restored.incidents, *restored.alarms)] == [4, 8]


def test_what_is_refused_for_long_stays_bounded_by_what_there_is(bench: Bench) -> None:
    async def script(recorder: Recorder) -> None:
        await recorder.add(Write(alarms=(ALARM,)))
        refuse(bench.state)
        for revision in range(4, 1004):
            recorder.add(Write((replace(INCIDENT, revision=revision),)))
            await asyncio.sleep(0.1)
        take(bench.state)
        await asyncio.sleep(2 * RETRY_S)

    bench.live(script)
    assert [one.revision for one in kept(bench.state).incidents] == [1003]
    assert [is_bad for is_bad, _ in bench.told] == [True, False]


def test_a_stop_does_not_wait_for_the_next_try(bench: Bench) -> None:
    async def script(recorder: Recorder) -> None:
        await recorder.add(Write(alarms=(ALARM,)))
        refuse(bench.state)
        recorder.add(Write((INCIDENT,)))
        await asyncio.sleep(0.1)
        assert recorder.is_bad

    bench.live(script)
    assert bench.loop.time() < 0.5


def test_a_folder_that_comes_later_is_taken_then_and_numbers_go_from_their_own_series_to_reserved_ones(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path / "later")

    async def script(recorder: Recorder) -> None:
        assert recorder.is_bad
        assert bench.numbers.next().startswith("gw-xb0b0")
        waits = recorder.add(Write((INCIDENT,)))
        await asyncio.sleep(RETRY_S * 1.5)
        bench.state.mkdir()
        await asyncio.wait_for(waits, 2 * RETRY_S)
        assert bench.numbers.next() == "gw-1"

    assert bench.live(script) == Restored()
    assert bench.told == [(False, "")]  # the service says at start that it is bad
    assert kept(bench.state).incidents == (INCIDENT,)


def test_a_file_that_is_spoilt_while_we_run_is_followed_by_one_with_all_that_is_known(bench: Bench) -> None:
    fire, trouble = (
        replace(INCIDENT, id="gw-1"),
        replace(INCIDENT, id="gw-2", alarms=("trouble/journal/unwritable",)),
    )
    used = (UsedCommand("c-1", "an", "ack", 5),)

    async def script(recorder: Recorder) -> None:
        await recorder.add(Write((fire,), (ALARM,), sends(fire, "duty"), used))
        bench.known = Write((fire, trouble), (ALARM,), sends(fire, "duty"), used)
        for file in bench.state.glob("incidents.db*"):
            file.write_bytes(os.urandom(file.stat().st_size))
        waits = recorder.add(Write((trouble,), commands=(UsedCommand("c-2", "an", "ack", 6),)))
        await asyncio.wait_for(waits, 3 * RETRY_S)
        assert recorder.damaged is not None
        assert recorder.damaged.endswith("kept as aside/incidents.db.0")
        assert bench.numbers.next() == "gw-1"  # the block in hand is still ours; the next is 17

    bench.live(script)
    restored = kept(bench.state)
    assert sorted(one.id for one in restored.incidents) == ["gw-1", "gw-2"]
    assert (restored.alarms, restored.commands) == (KEPT_ALARM, {"c-1", "c-2"})
    assert [one.key for one in restored.notified] == ["gw-1/3/duty/0"]
    assert [is_bad for is_bad, _ in bench.told] == [True, False]


def test_site_time_is_kept_each_minute_though_nothing_happens(bench: Bench) -> None:
    async def script(_: Recorder) -> None:
        await asyncio.sleep(605)
        with closing(sqlite3.connect(bench.state / "incidents.db")) as db:
            saved = int(db.execute("SELECT value FROM meta WHERE name='site_ns'").fetchone()[0])
        assert 540e9 <= saved <= 605e9

    bench.live(script)
    found = kept(bench.state).time
    assert found is not None
    assert found.site_ns == pytest.approx(605e9, abs=1e9)


def test_site_time_of_a_file_that_could_not_be_read_at_the_start_is_not_set_back(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    first = Bench(state)
    first.live(lambda _: asyncio.sleep(1000))
    state.rename(tmp_path / "away")  # the card is not mounted yet
    again = Bench(state)

    async def script(recorder: Recorder) -> None:
        (tmp_path / "away").rename(state)
        await recorder.add(Write((INCIDENT,)))

    again.live(script)
    found = kept(state).time
    assert found is not None
    assert found.site_ns >= 1000e9
