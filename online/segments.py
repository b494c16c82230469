"""Segments: lines on their way to the lake, on the disk before anybody is told, and landed as whole files.

A segment grows under a hidden name in the landing folder of its stream, which the ingest passes over; when it is large
or old enough it gets its name. What a killed collector left is cut after its last whole line and landed by the next
one. One thread writes and syncs: all that waits meanwhile goes with the next sync.
"""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from lakehouse.home import Home
from registry.durable import sync_folder

# Whoever ingests holds a file in memory.
MOST_SEGMENT_BYTES = 32 << 20
# How long what was reported may stay out of the lake's sight.
MOST_SEGMENT_S = 60.0
# Lines that wait for the disk; beyond it the disk is too slow, and whoever sends more is asked to wait.
MOST_WAITING_BYTES = 32 << 20
OPEN, LANDED = ".open", ".jsonl"


class BacklogError(RuntimeError):
    """The disk is full or too slow; nothing of the batch was kept, and it can be sent again."""


@dataclass
class _Segment:
    """An open file, how long it is on the disk, and when it began."""

    path: Path
    descriptor: int
    length: int = 0
    began: float = field(default_factory=time.monotonic)


class Segments:
    """The segments of one service, e.g. `collector`, for its streams. Raises RuntimeError where another one of this
    service runs under the same name."""

    def __init__(self, home: Home, *, service: str, name: str, streams: Sequence[str]) -> None:
        self._landing, self._prefix, self._streams = home.landing, f"{service}-{name}", tuple(streams)
        for stream in streams:
            (home.landing / stream).mkdir(parents=True, exist_ok=True)
        home.online.mkdir(parents=True, exist_ok=True)
        # It may be closed in another thread than it was made in.
        self._lock = FileLock(home.online / f"{self._prefix}.lock", thread_local=False)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise RuntimeError(f"{service} {name} runs already in this home; give this one another --name") from error
        self._open: dict[str, _Segment] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="segments")
        self._waiting: list[tuple[Mapping[str, Sequence[bytes]], asyncio.Future[None]]] = []
        self._waiting_bytes = 0
        self._is_flushing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.landed_left_behind = self._land_what_was_left()

    async def add(self, lines: Mapping[str, Sequence[bytes]]) -> None:
        """Returns once the lines are on the disk. Raises BacklogError if they are not, and none of them will be."""
        size = sum(map(len, (line for of_stream in lines.values() for line in of_stream)))
        if self._waiting_bytes + size > MOST_WAITING_BYTES:
            raise BacklogError(f"{self._waiting_bytes:,} bytes wait for the disk")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((lines, done))
        self._waiting_bytes += size
        if not self._is_flushing:
            self._is_flushing = True
            task = asyncio.create_task(self._flush())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await done

    async def _flush(self) -> None:
        """Write and sync what waits, again and again, until nothing does.

        When that fails, all who wait are told, also those that came meanwhile: a batch may have been found to repeat
        one that is not kept now.
        """
        try:
            while self._waiting:
                group, self._waiting, self._waiting_bytes = self._waiting, [], 0
                lines = {
                    stream: b"".join(line for of_batch, _ in group for line in of_batch[stream])
                    for stream in self._streams
                }
                try:
                    await asyncio.get_running_loop().run_in_executor(self._thread, self._write, lines)
                except OSError as error:
                    failure = BacklogError(f"the disk took nothing: {error.strerror}")
                    group, self._waiting, self._waiting_bytes = [*group, *self._waiting], [], 0
                    for _, done in group:
                        if not done.done():
                            done.set_exception(failure)
                    continue
                for _, done in group:
                    if not done.done():
                        done.set_result(None)
        finally:
            self._is_flushing = False

    def _write(self, lines: Mapping[str, bytes]) -> None:
        """All of it or none: on failure each file is cut to what it was."""
        touched: list[_Segment] = []
        try:
            for stream, content in lines.items():
                if content:
                    segment = self._segment(stream)
                    touched.append(segment)
                    _write_all(segment.descriptor, content)
            for segment in touched:
                os.fdatasync(segment.descriptor)
        except OSError:
            for segment in touched:
                os.ftruncate(segment.descriptor, segment.length)
                os.lseek(segment.descriptor, segment.length, os.SEEK_SET)
            raise
        for segment in touched:
            segment.length = os.lseek(segment.descriptor, 0, os.SEEK_CUR)
        self._roll()

    def _segment(self, stream: str) -> _Segment:
        if stream not in self._open:
            path = self._landing / stream / f".{self._prefix}-{time.time_ns()}{OPEN}"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            sync_folder(path.parent)
            self._open[stream] = _Segment(path, descriptor)
        return self._open[stream]

    def _roll(self) -> None:
        """Land the segments that are large or old enough."""
        for stream, segment in tuple(self._open.items()):
            if segment.length >= MOST_SEGMENT_BYTES or time.monotonic() - segment.began >= MOST_SEGMENT_S:
                self._land(stream)

    def _land(self, stream: str) -> None:
        segment = self._open.pop(stream)
        os.close(segment.descriptor)
        _land(segment.path)

    async def roll(self) -> None:
        """Land what is old enough although nothing comes any more."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._roll)

    def close(self) -> None:
        """Land all there is."""
        self._thread.shutdown(wait=True)
        for stream in tuple(self._open):
            self._land(stream)
        self._lock.release()

    def _land_what_was_left(self) -> int:
        left = [path for one in self._streams for path in (self._landing / one).glob(f".{self._prefix}-*{OPEN}")]
        for path in left:
            _land_whole_lines(path)
        return len(left)


def land_left_behind(home: Home) -> list[Path]:
    """Land the segments of services that do not run any more; returns those of running ones, which are still open."""
    still_open = []
    for path in sorted(home.landing.glob(f"*/.*{OPEN}")):
        service = path.name.removeprefix(".").rpartition("-")[0]
        try:
            with FileLock(home.online / f"{service}.lock", timeout=0):
                _land_whole_lines(path)
        except Timeout:
            still_open.append(path)
    return still_open


def _land_whole_lines(path: Path) -> None:
    """What a killed service left, less a line that it was in the middle of."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    _land(path)


def _land(path: Path) -> None:
    """Give a finished segment its name; an empty one goes."""
    if path.stat().st_size == 0:
        path.unlink()
    else:
        path.rename(path.with_name(path.name.removeprefix(".").removesuffix(OPEN) + LANDED))
    sync_folder(path.parent)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
