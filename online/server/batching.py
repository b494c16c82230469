"""One thread that works, a short queue before it, and a plain no when the queue is full.

What waits when the thread gets free is worked on together. A moment's burst is worked off. But where the queue stands,
whoever would wait too long is told so at once: answered late is not answered, and everybody would be late. That a queue
which stands is another thing than one which forms and goes is Nichols and Jacobson's, ACM Queue 2012.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from time import perf_counter
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
# Of the time that a row takes, how much the last batch tells.
LAST = 0.1
# Until the first batch is done.
ROW_S = 20e-6
# A queue that was too long for so many seconds stands; it stands no more once it was short for so many.
STANDS_S, GONE_S = 0.25, 1.0
# Nobody waits so many times as long as is right, whatever the queue does.
MOST_TIMES = 20


class BusyError(RuntimeError):
    """The queue is full. `retry_after_s`: whole seconds after which to try again."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"{1000 * wait_s:.0f} ms of work are waiting")
        self.retry_after_s = max(ceil(wait_s), 1)


@dataclass
class _Waiting(Generic[Job, Result]):
    job: Job
    rows: int
    result: "asyncio.Future[Result]"


class Batcher(Generic[Job, Result]):
    """`work` gets the jobs of a batch and returns a result, or an exception, for each.

    `most_rows`: of a batch, unless one job has more. `most_wait_s`: of work that may lie before a new job where the
    queue stands; one job may always wait. `prepare` is called once, in the
    thread.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Job]], Sequence[Result | BaseException]],
        *,
        most_rows: int,
        most_wait_s: float,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self._work, self._most_rows, self._most_wait_s = work, most_rows, most_wait_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ranking", initializer=prepare)
        self._waiting: deque[_Waiting[Job, Result]] = deque()
        self._row_s = ROW_S
        self._is_working = False
        self._long_since: float | None = None
        self._short_since = 0.0
        self._stands = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting_rows(self) -> int:
        return sum(one.rows for one in self._waiting)

    def check(self) -> None:
        """Raises BusyError where a job that came now would wait too long."""
        wait_s = self.waiting_rows * self._row_s
        is_long = bool(self._waiting) and wait_s > self._most_wait_s
        self._note(is_long, now=perf_counter())
        if is_long and (self._stands or wait_s > MOST_TIMES * self._most_wait_s):
            raise BusyError(wait_s)

    def _note(self, is_long: bool, *, now: float) -> None:
        """Whether the queue stands, by what is seen of it whenever a job comes."""
        if not is_long:
            self._long_since = None
            self._stands = self._stands and now - self._short_since < GONE_S
            return
        self._short_since = now
        if self._long_since is None:
            self._long_since = now
        self._stands = self._stands or now - self._long_since >= STANDS_S

    async def submit(self, job: Job, *, rows: int) -> Result:
        """The job's result, once it is done. Raises BusyError as `check` does, and what `work` returned to raise."""
        self.check()
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(job, rows, result))
        if not self._is_working:
            self._is_working = True
            task = asyncio.create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await result

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._run_batch(self._next_batch())
        finally:
            self._is_working = False

    def _next_batch(self) -> list[_Waiting[Job, Result]]:
        batch = [self._waiting.popleft()]
        while self._waiting and sum(one.rows for one in batch) + self._waiting[0].rows <= self._most_rows:
            batch.append(self._waiting.popleft())
        return batch

    async def _run_batch(self, batch: list[_Waiting[Job, Result]]) -> None:
        started = perf_counter()
        try:
            results = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._work, [one.job for one in batch]
            )
        except Exception as error:
            results = [error] * len(batch)
        taken_s = (perf_counter() - started) / sum(one.rows for one in batch)
        self._row_s += LAST * (taken_s - self._row_s)
        for one, result in zip(batch, results, strict=True):
            if one.result.cancelled():
                continue
            if isinstance(result, BaseException):
                one.result.set_exception(result)
            else:
                one.result.set_result(result)

    def beside(self, function: Callable[[], None]) -> None:
        """Call a function in the thread that works, between two batches, and wait for it. Not for the event loop."""
        self._thread.submit(function).result()

    def close(self) -> None:
        self._thread.shutdown(wait=True)
