"""The online services in processes of their own, and clients of them."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import local
from typing import Any

from lakehouse.home import PROJECT, Home

PATIENCE_S = 60.0
# Connections of a client: enough to keep a server busy while answers are read.
CONNECTIONS = 4


@contextmanager
def service(home: Home, command: str, *options: str) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """`stillhouse serve` or `collect` on a free port, once it is ready; its output is beside the home.

    Raises RuntimeError, with the end of that output, if it does not get ready.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    environment = os.environ | {"STILLHOUSE_HOME": str(home.root)}
    log = home.root / f"{command}.log"
    with log.open("a") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", command, "--port", str(port), *options],
            cwd=PROJECT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        until = time.monotonic() + PATIENCE_S
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"`stillhouse {command}` is not ready: {log.read_text()[-2_000:]}")
            time.sleep(0.1)
        yield port, process
    finally:
        process.terminate()
        process.wait()


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


class Client:
    """Posts JSON to one path of a service over a few connections, and waits where it is asked to."""

    def __init__(self, port: int, path: str) -> None:
        self._port, self._path = port, path
        self._threads = ThreadPoolExecutor(CONNECTIONS)
        self._of_thread = local()

    def post_all(self, bodies: Sequence[Any]) -> list[Any]:
        """The answers, in the order of the bodies. Raises RuntimeError for an answer that is neither 200 nor 503."""
        return list(self._threads.map(self._post, bodies))

    def _post(self, body: Any) -> Any:
        content, until = json.dumps(body).encode(), time.monotonic() + PATIENCE_S
        while True:
            connection = self._connection()
            connection.request("POST", self._path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
            if answer.status == 200:
                return json.loads(said)
            if answer.status != 503 or time.monotonic() > until:
                raise RuntimeError(f"{self._path} answered {answer.status}: {said.decode(errors='replace')[:500]}")
            time.sleep(0.05)

    def _connection(self) -> http.client.HTTPConnection:
        if not hasattr(self._of_thread, "connection"):
            self._of_thread.connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
            self._of_thread.connection.connect()
            # A request goes out in two writes, and must not wait for the first one's receipt.
            self._of_thread.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection: http.client.HTTPConnection = self._of_thread.connection
        return connection

    def close(self) -> None:
        self._threads.shutdown()
