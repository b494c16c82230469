"""Keep the lake server up while a client that we did not write, such as dbt, works on it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lakehouse import server
from lakehouse.errors import LakeError
from lakehouse.home import Home

INTERVAL_S = 1.0


@contextmanager
def kept_up(home: Home) -> Iterator[server.Server]:
    """Start a new server, on the same port and with the same token, whenever the one of `home` dies inside the block.

    pyspark's own client tries a dead server again for ten minutes. It reaches the new one instead, learns that its
    session is gone and fails within a minute; the step that ran it can then be run again.
    """
    current = server.ensure(home)
    done = threading.Event()

    def watch() -> None:
        watched = current
        while not done.wait(INTERVAL_S):
            if not watched.is_alive():
                try:
                    watched = server.ensure(home, jdbc=watched.jdbc_port is not None)
                except LakeError:
                    return  # the client fails in its own time, and the next command says why no server starts

    thread = threading.Thread(target=watch, name="lake-watch", daemon=True)
    thread.start()
    try:
        yield current
    finally:
        done.set()
        thread.join()
