"""Virtual time jumps, keeps order, and says when nothing can happen."""

import asyncio
import time

import pytest

from edge.simulation.loop import NothingCanHappen, VirtualClock, VirtualLoop, run


def test_a_day_of_sleep_takes_no_time_and_order_is_by_due_time() -> None:
    seen: list[tuple[str, float]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def wait(name: str, for_s: float) -> None:
            await asyncio.sleep(for_s)
            seen.append((name, loop.time()))

        async with asyncio.TaskGroup() as group:
            group.create_task(wait("late", 86_400.0))
            group.create_task(wait("soon", 0.001))

    started = time.monotonic()
    run(main(), VirtualLoop())
    assert seen == [("soon", pytest.approx(0.001)), ("late", pytest.approx(86_400.0))]
    assert time.monotonic() - started < 5.0


def test_a_run_in_which_nothing_can_happen_raises() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(NothingCanHappen):
        run(main(), VirtualLoop())


def test_the_virtual_clock_follows_the_loop() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop, wall_start_ns=1_700_000_000_000_000_000)

    async def main() -> tuple[int, int]:
        clock.start(None)
        await asyncio.sleep(2.5)
        return clock.site_ns(), clock.wall().ns

    assert run(main(), loop) == (2_500_000_000, 1_700_000_002_500_000_000)
