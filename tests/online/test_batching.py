"""The queue before the thread that ranks: bursts are worked off, a queue that stands is cut short."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from online.server import batching
from online.server.batching import Batcher, BusyError


def slow(seconds: float) -> Batcher[int, int]:
    def work(jobs: Sequence[int]) -> list[int | BaseException]:
        time.sleep(seconds * len(jobs))
        return [ValueError(f"{job} is odd") if job % 2 else job for job in jobs]

    return Batcher(work, most_rows=4, most_wait_s=0.02)


def test_each_job_gets_its_own_result_or_its_own_error() -> None:
    async def run() -> list[int | BaseException]:
        queue = slow(0)
        return await asyncio.gather(*(queue.submit(job, rows=1) for job in range(10)), return_exceptions=True)

    results = asyncio.run(run())
    assert [one for one in results if isinstance(one, int)] == [0, 2, 4, 6, 8]
    assert [str(one) for one in results if isinstance(one, ValueError)] == [f"{odd} is odd" for odd in (1, 3, 5, 7, 9)]


def test_an_error_of_the_whole_batch_reaches_all_of_it_and_the_next_batch_runs() -> None:
    def work(jobs: Sequence[str]) -> list[str]:
        if "bad" in jobs:
            raise RuntimeError("the model is broken")
        return list(jobs)

    async def run() -> str:
        queue: Batcher[str, str] = Batcher(work, most_rows=4, most_wait_s=1)
        with pytest.raises(RuntimeError, match="the model is broken"):
            await queue.submit("bad", rows=1)
        return await queue.submit("good", rows=1)

    assert asyncio.run(run()) == "good"


def test_a_burst_is_worked_off_and_a_queue_that_stands_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "STANDS_S", 0.1)
    monkeypatch.setattr(batching, "GONE_S", 0.1)

    async def run() -> tuple[int, int, int]:
        queue = slow(0.005)
        # What a row takes is learnt from the first batches.
        await asyncio.gather(*(queue.submit(0, rows=1) for _ in range(10)))
        for _ in range(30):
            await queue.submit(0, rows=1)

        async def arrive(number: int) -> int:
            """How many were told that it is busy, of those that came twice as fast as they are worked off."""
            tasks = []
            for _ in range(number):
                tasks.append(asyncio.create_task(queue.submit(0, rows=1)))
                await asyncio.sleep(0.0025)
            results = await asyncio.gather(*tasks, return_exceptions=True)
            return sum(isinstance(one, BusyError) for one in results)

        burst = await arrive(15)
        standing = await arrive(200)
        await asyncio.sleep(0.3)
        await queue.submit(0, rows=1)
        return burst, standing, await arrive(10)

    burst, standing, after = asyncio.run(run())
    assert burst == 0
    assert standing > 50
    assert after == 0
