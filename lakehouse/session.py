"""A Spark session on the lake server, for Python: it notices within seconds when the server dies."""

import threading
from pathlib import Path
from typing import cast

import grpc
from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession
from pyspark.sql.connect.client import SparkConnectClient
from pyspark.sql.connect.client.retries import DefaultPolicy
from pyspark.sql.connect.session import SparkSession as ConnectSession

from lakehouse.errors import ServerDied
from lakehouse.home import Home
from lakehouse.home import home as default_home
from lakehouse.server import Server, ensure, token

# pyspark prints every failed query with its JVM stack trace; the exception that it raises says the same.
PySparkLogger.getLogger("SQLQueryContextLogger").setLevel("CRITICAL")

_sessions: dict[Path, tuple[Server, SparkSession]] = {}
_lock = threading.Lock()


def connect(home: Home | None = None) -> SparkSession:
    """The Spark Connect session of this process on the lake of `home`, whose server is started if there is none.

    The same session is returned as long as its server lives; after a restart it is a new one, without the temporary
    views and settings of the old. It becomes the active one of its thread, which pyspark's functions ask. A statement
    whose server dies raises ServerDied, where pyspark alone would try again for ten minutes. Raises LakeError when the
    server cannot start.
    """
    home = home or default_home()
    server = ensure(home)
    with _lock:
        known_server, session = _sessions.get(home.root, (None, None))
        if session is None or known_server != server or session.is_stopped:  # type: ignore[attr-defined]
            if session is not None:
                _forget(session)
            session = SparkSession.builder.remote(f"{server.remote}/;token={token(home)}").create()
            _client(session).set_retry_policies([RetryWhileAlive(server)])
            _sessions[home.root] = (server, session)
    _make_active(session)
    return session


class RetryWhileAlive(DefaultPolicy):
    """Retry what pyspark retries, but only while the server's process lives."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server

    def can_retry(self, e: BaseException) -> bool:
        if isinstance(e, grpc.RpcError) and not self.server.is_alive():
            raise ServerDied(
                f"the lake server (pid {self.server.pid}) died while a statement ran; its log is {self.server.log}; "
                "run the command again: a new server starts by itself"
            ) from e
        return super().can_retry(e)


def _make_active(session: SparkSession) -> None:
    """Let pyspark hand this session out in this thread; by itself it goes on with the first one, dead or not."""
    ConnectSession._active_session.session = session


def _forget(session: SparkSession) -> None:
    """Drop a session whose server is gone, so that pyspark no longer hands it out as the active one."""
    session.release_session_on_close = False  # type: ignore[attr-defined]
    session.stop()


def _client(session: SparkSession) -> SparkConnectClient:
    return cast(SparkConnectClient, session.client)
