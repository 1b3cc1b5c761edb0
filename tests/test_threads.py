"""Blocking work: results and errors come back, order is kept, a hung thread holds nothing."""

import asyncio
import subprocess
import sys
import threading

import pytest

from edge.threads import Worker, at_once


def test_results_come_back_in_order_from_one_named_thread() -> None:
    async def main() -> list[tuple[int, str]]:
        worker = Worker("journal")
        jobs = [worker(lambda n=n: (n, threading.current_thread().name)) for n in range(5)]
        return list(await asyncio.gather(*jobs))

    assert asyncio.run(main()) == [(n, "journal") for n in range(5)]


def test_an_error_reaches_the_waiter() -> None:
    async def main() -> None:
        def fail() -> None:
            raise OSError("disk full")

        for blocking in (Worker("w"), at_once):
            with pytest.raises(OSError, match="disk full"):
                await blocking(fail)

    asyncio.run(main())


def test_a_cancelled_wait_leaves_the_worker_usable() -> None:
    async def main() -> str:
        worker = Worker("w")
        gate = threading.Event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await worker(gate.wait)
        gate.set()
        return await worker(lambda: "next")

    assert asyncio.run(main()) == "next"


def test_a_hung_thread_does_not_hold_the_process_at_exit() -> None:
    code = """
import asyncio, threading
from edge.threads import Worker
async def main():
    try:
        async with asyncio.timeout(0.05):
            await Worker("hangs")(threading.Event().wait)
    except TimeoutError:
        print("left")
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "left\n"
