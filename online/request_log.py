"""The request log: one landing row for each ranking, from which rollouts are decided and serving is watched.

Rows are written within half a second by one thread beside the one that ranks, so that no answer waits for a disk. While
the disk takes nothing they wait, up to a limit; what goes beyond it is counted and said.
"""

import asyncio
import logging

import msgspec
from msgspec import Struct

from lakehouse.home import Home
from online.segments import BacklogError, Segments

logger = logging.getLogger("stillhouse.server")

STREAM = "requests"
FLUSH_S = 0.5
# At 300 bytes a line about what a file holds.
MOST_WAITING = 100_000


class RequestRow(Struct, frozen=True, kw_only=True):
    """As lakehouse/landing.py describes the stream. `ranked_ms` is of the release alone, without the queue."""

    request_id: str
    user_id: str
    surface: str
    served_at: str
    traffic: str
    release_id: str
    arm: str
    canary_share: float | None
    pointer_version: int
    failed: bool
    latency_ms: float
    ranked_ms: float
    num_candidates: int
    memory_bytes: int


class RequestLog:
    """The log of one server. Raises RuntimeError where another one of the same name writes in this home."""

    def __init__(self, home: Home, *, name: str = "0") -> None:
        self._segments = Segments(home, service="server", name=name, streams=(STREAM,))
        self._rows: list[RequestRow] = []
        self.num_lost = 0

    def add(self, row: RequestRow) -> None:
        if len(self._rows) >= MOST_WAITING:
            self.num_lost += 1
            if self.num_lost % 1_000 == 1:
                logger.error("the disk takes nothing: %d rows of the request log are lost so far", self.num_lost)
            return
        self._rows.append(row)

    async def flush(self) -> None:
        """Bring what waits to the disk; what it does not take goes on waiting."""
        rows, self._rows = self._rows, []
        if rows:
            try:
                await self._segments.add({STREAM: [msgspec.json.encode(row) + b"\n" for row in rows]})
            except BacklogError as error:
                logger.warning("the request log waits: %s", error)
                self._rows = rows + self._rows
        await self._segments.roll()

    async def keep_flushing(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except Exception:
                logger.exception("writing the request log failed")

    async def close(self) -> None:
        """Land all there is."""
        await self.flush()
        self._segments.close()
