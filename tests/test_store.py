"""The way to the spool in virtual time: when a batch gets its time, and what a bad disk costs."""

import asyncio
import os
import re
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge.simulation.loop import VirtualClock, VirtualLoop, run
from edge.store import CATCH_UP, HELD_MAX, RATE_MIN, Store
from edge.threads import at_once
from gateway.series import Series
from models.reading import Quality
from models.site import Limits

S = 1_000_000_000
WALL = 1_795_000_000 * S
LEVEL = Series("reading", (("sensor", "s"),), ("depth_m", "quality"))


class Bench:
    """A store in virtual time. `sent` collects the lines of what a sink took."""

    def __init__(self, state: Path, *, boot: str = "b1", synced: bool = True, wall_ns: int = WALL) -> None:
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop, wall_ns, boot=boot)
        self.clock.synced = synced
        self.told: list[tuple[bool, str]] = []
        self.sent: list[str] = []
        self.state = state

    def live(self, script: Callable[[Store], Awaitable[Any]]) -> Store:
        async def main() -> Store:
            store = Store(
                self.state,
                clock=self.clock,
                blocking=at_once,
                sinks={"ward": "oldest"},
                limits=Limits.model_validate({"time_hold_s": 600}),
                unwritable=lambda is_bad, why: self.told.append((is_bad, why)),
                mark=lambda: 32,
            )
            restored = await store.open()
            self.clock.start(restored.time)
            async with asyncio.TaskGroup() as group:
                group.create_task(store.run())
                sink = group.create_task(self._drain(store))
                await script(store)
                sink.cancel()
                store.stop()
            await store.close()
            return store

        return run(main(), self.loop)

    async def _drain(self, store: Store) -> None:
        while True:
            batch = await store.take("ward")
            if batch is not None:
                self.sent += await store.lines(batch) or ["damaged"]
                await store.settle("ward", batch.seq, delivered=batch.points, rejected=0, dropped=0, dead=())

    def seal(self, store: Store, value: float) -> None:
        site_ns = self.clock.site_ns() // 1_000_000 * 1_000_000
        store.seal({LEVEL: [(site_ns, (value, 0))]}, 1)

    def times(self) -> dict[float, tuple[int, int]]:
        """value -> (wall seconds since the start of the test's wall clock, quality)."""
        found = {}
        for line in self.sent:
            value, quality, ms = re.findall(r"depth_m=([\d.]+),quality=(\d+)i (\d+)$", line)[0]
            found[float(value)] = (round((int(ms) - WALL // 1_000_000) / 1000), int(quality))
        return found


def test_with_a_set_clock_a_batch_goes_at_once_with_its_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    async def script(store: Store) -> None:
        await asyncio.sleep(50)
        bench.seal(store, 1.0)
        await asyncio.sleep(1)
        assert bench.times() == {1.0: (50, 0)}

    bench.live(script)


def test_before_the_clock_is_set_batches_wait_and_get_the_right_time_when_it_comes(tmp_path: Path) -> None:
    # the usual bad day: the clock boots five hours behind, and is set after two minutes
    bench = Bench(tmp_path, synced=False, wall_ns=WALL - 5 * 3600 * S)

    async def script(store: Store) -> None:
        bench.seal(store, 1.0)
        await asyncio.sleep(120)
        assert bench.sent == []
        bench.clock.wall_start_ns, bench.clock.synced = WALL, True
        bench.seal(store, 2.0)
        await asyncio.sleep(3)
        assert bench.times() == {1.0: (0, 0), 2.0: (120, 0)}

    bench.live(script)


def test_a_clock_that_is_never_set_holds_for_ten_minutes_of_this_boot_and_then_goes_flagged(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, synced=False)

    async def script(store: Store) -> None:
        bench.seal(store, 1.0)
        await asyncio.sleep(595)
        assert bench.sent == []
        await asyncio.sleep(10)
        assert bench.times() == {1.0: (0, Quality.TIME)}
        bench.seal(store, 2.0)
        await asyncio.sleep(3)
        assert bench.times()[2.0] == (605, Quality.TIME)
        # set at last, an hour on: what went keeps its time, what comes has the right one
        bench.clock.wall_start_ns, bench.clock.synced = WALL + 3600 * S, True
        bench.seal(store, 3.0)
        await asyncio.sleep(3)
        assert bench.times() == {1.0: (0, Quality.TIME), 2.0: (605, Quality.TIME), 3.0: (608 + 3600, 0)}

    bench.live(script)


@pytest.mark.parametrize("step_s", [-7200, 7200])
def test_a_clock_that_steps_changes_no_batch_that_has_its_time(tmp_path: Path, step_s: int) -> None:
    bench = Bench(tmp_path)

    async def script(store: Store) -> None:
        bench.seal(store, 1.0)
        await asyncio.sleep(10)
        bench.clock.wall_start_ns += step_s * S
        bench.seal(store, 2.0)
        await asyncio.sleep(3)
        assert bench.times() == {1.0: (0, 0), 2.0: (10 + step_s, 0)}

    bench.live(script)


def test_what_an_earlier_boot_left_without_a_time_goes_with_that_boots_guess(tmp_path: Path) -> None:
    first = Bench(tmp_path, synced=False, wall_ns=WALL - 60 * S)

    async def power_cut(store: Store) -> None:
        first.seal(store, 1.0)
        await asyncio.sleep(30)
        first.seal(store, 2.0)
        await asyncio.sleep(1)

    first.live(power_cut)
    assert first.sent == []
    second = Bench(tmp_path, boot="b2", synced=False)

    async def script(store: Store) -> None:
        await asyncio.sleep(3)
        assert second.times() == {1.0: (-60, Quality.TIME), 2.0: (-30, Quality.TIME)}
        assert second.clock.site_ns() >= 30 * S  # site time goes on behind the boot before

    second.live(script)


def refuse(state: Path) -> None:
    with closing(sqlite3.connect(state / "spool.db", isolation_level=None)) as db:
        db.execute(
            "CREATE TRIGGER no BEFORE INSERT ON batch BEGIN SELECT RAISE(ABORT, 'the disk says no'); END"
        )


def test_a_disk_that_refuses_costs_only_what_is_older_than_a_minute_and_is_told(tmp_path: Path) -> None:
    Bench(tmp_path).live(lambda store: asyncio.sleep(1))
    refuse(tmp_path)
    bench = Bench(tmp_path)

    async def script(store: Store) -> None:
        for i in range(HELD_MAX + 3):
            bench.seal(store, float(i))
            await asyncio.sleep(10)
        assert bench.told == [(True, "the disk says no")]
        assert store.stats.lost == 3
        assert store._spool is not None
        store._spool._db.execute("DROP TRIGGER no")
        await asyncio.sleep(20)
        assert bench.told == [(True, "the disk says no"), (False, "")]
        assert list(bench.times()) == [float(i) for i in range(3, HELD_MAX + 3)]

    bench.live(script)


def test_a_file_that_is_spoilt_while_we_run_is_followed_by_a_fresh_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    async def script(store: Store) -> None:
        for i in range(60):
            bench.seal(store, float(i))
            await asyncio.sleep(2)
        assert store._spool is not None
        store._spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        store._spool._db.execute("PRAGMA shrink_memory")
        path = tmp_path / "spool.db"
        with path.open("r+b") as file:
            file.seek(1024)
            file.write(os.urandom(path.stat().st_size - 1024))
        for i in range(60, 90):
            bench.seal(store, float(i))
            await asyncio.sleep(10)
        assert store.stats.damaged is not None
        assert [is_bad for is_bad, _ in bench.told][-1] is False
        assert 89.0 in bench.times()

    store = bench.live(script)
    assert (tmp_path / "aside" / "spool.db.0").exists()
    assert store.stats.lost <= HELD_MAX


def test_catching_up_is_twenty_times_what_is_produced(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    async def script(store: Store) -> None:
        assert store.rate() == RATE_MIN
        for _ in range(5):
            store.seal({LEVEL: [(0, (1.0, 0))]}, 20_000)
            await asyncio.sleep(10)
        assert store.rate() == pytest.approx(CATCH_UP * 2_000)
        assert CATCH_UP >= 20

    bench.live(script)


def test_second_copies_ride_along(tmp_path: Path) -> None:
    async def script(store: Store) -> None:
        await asyncio.sleep(100)

    Bench(tmp_path).live(script)

    async def main() -> None:
        store = Store(
            tmp_path, clock=VirtualClock(VirtualLoop(), WALL, boot="b9"), blocking=at_once, sinks={},
            limits=Limits.model_validate({}), unwritable=lambda is_bad, why: None, mark=lambda: 0,
        )  # fmt: skip
        restored = await store.open()
        assert restored.number_mark == 32
        assert restored.time is not None
        assert restored.time.site_ns >= 60 * S
        await store.close()

    asyncio.run(main())


def test_a_disk_that_refuses_at_the_start_is_a_state_and_tried_again(tmp_path: Path) -> None:
    """Nobody is told: the core that would be does not exist yet; the service reads `is_bad`."""
    (tmp_path / "spool.db").mkdir()
    bench = Bench(tmp_path)

    async def script(store: Store) -> None:
        assert store.is_bad
        assert bench.told == []
        bench.seal(store, 1.0)
        await asyncio.sleep(10)
        (tmp_path / "spool.db").rmdir()
        await asyncio.sleep(20)
        assert bench.told == [(False, "")]
        assert list(bench.times()) == [1.0]

    bench.live(script)
