"""Open-loop load over HTTP: requests are sent when their time has come, whether or not the last were answered."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from orchestration.live.services import PATIENCE_S

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Reply(NamedTuple):
    """An answer; status 0 for a connection that failed. Times are of the monotonic clock; the latency counts from when
    the request was due, not from when it could be sent."""

    status: int
    due_s: float
    done_s: float
    body: bytes

    @property
    def latency_s(self) -> float:
        return self.done_s - self.due_s


class Load:
    """Requests to one port over as many connections as it takes; connections are used again."""

    def __init__(self, port: int, path: str) -> None:
        self._port, self._path = port, path
        self._idle: deque[Connection] = deque()

    async def poisson(self, body: Callable[[int], bytes], *, rate: float, seconds: float, seed: int) -> list[Reply]:
        """Independent arrivals at `rate` a second; `body` makes the n-th request."""
        chance = np.random.default_rng(seed)
        gaps = chance.exponential(1 / rate, round(rate * seconds))
        began = time.monotonic() + 0.05
        due = began + np.cumsum(gaps)
        tasks = []
        for number, moment in enumerate(due.tolist()):
            await asyncio.sleep(max(moment - time.monotonic(), 0))
            tasks.append(asyncio.create_task(self.send(body(number), due_s=moment)))
        return list(await asyncio.gather(*tasks))

    async def closed(self, body: Callable[[int], bytes], *, clients: int, seconds: float) -> list[Reply]:
        """Each client sends its next request when the last was answered."""
        until = time.monotonic() + seconds

        async def one(client: int) -> list[Reply]:
            replies, number = [], client
            while time.monotonic() < until:
                replies.append(await self.send(body(number), due_s=time.monotonic()))
                number += clients
            return replies

        return [reply for replies in await asyncio.gather(*map(one, range(clients))) for reply in replies]

    async def send(self, body: bytes, *, due_s: float) -> Reply:
        try:
            connection = await self._connection()
            status, content = await asyncio.wait_for(self._exchange(connection, body), PATIENCE_S)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            return Reply(0, due_s, time.monotonic(), b"")
        done_s = time.monotonic()
        self._idle.append(connection)
        return Reply(status, due_s, done_s, content)

    async def _connection(self) -> Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def _exchange(self, connection: Connection, body: bytes) -> tuple[int, bytes]:
        reader, writer = connection
        head = f"POST {self._path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        header = await reader.readuntil(b"\r\n\r\n")
        status = int(header.split(b" ", 2)[1])
        (length,) = [
            int(line.partition(b":")[2])
            for line in header.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ]
        return status, await reader.readexactly(length)

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


def quantile_ms(replies: Sequence[Reply], share: float) -> float:
    return 1_000 * float(np.quantile([reply.latency_s for reply in replies], share))
