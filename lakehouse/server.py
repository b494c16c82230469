"""The life cycle of the lake server: one JVM that owns the catalog and every Delta write, with two doors.

Spark Connect is always open, behind a generated token; JDBC opens on request, for it asks no one who they are. The
server starts when somebody needs it, survives the command that started it, and is found through `lake/server.json`.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from lakehouse import machine, spark_settings
from lakehouse.errors import LakeError
from lakehouse.home import PROJECT, Home
from lakehouse.jars import SPARK_HOME, delta_jars

CONNECT_ONLY = "org.apache.spark.sql.connect.service.SparkConnectServer"
CONNECT_AND_JDBC = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 30
# Two processes agree on when a process began to within the clock's rounding.
SAME_START_S = 2.0
# A killed JVM counts as dead before the system has closed its sockets.
PORT_TIMEOUT_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running lake server. `started_at` tells it from a later process that was given the same pid."""

    pid: int
    connect_port: int
    jdbc_port: int | None
    log: Path
    started_at: datetime

    @property
    def remote(self) -> str:
        """The address of Spark Connect. With an IP address in place of the name, clients demand TLS and hang."""
        return f"sc://localhost:{self.connect_port}"

    @property
    def jdbc_url(self) -> str | None:
        return f"jdbc:hive2://localhost:{self.jdbc_port}" if self.jdbc_port else None

    def is_alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at.timestamp()) < SAME_START_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def ensure(home: Home, *, jdbc: bool = False, progress: Callable[[str], None] = lambda _: None) -> Server:
    """The server of `home`, started if there is none; returns when it answers.

    With `jdbc`, a server without a JDBC door is stopped and started again with one. Two processes that call this at
    once end with the same server. Raises LakeError, in one line, when it cannot start.
    """
    server = status(home)
    if server and _answers(server) and (server.jdbc_port or not jdbc):
        return server
    home.lake.mkdir(parents=True, exist_ok=True)
    with _lock(home):
        server = status(home)
        if server and jdbc and not server.jdbc_port:
            progress("Restarting the lake server with a JDBC door …")
            _end(home, server)
            server = None
        if not server:
            progress("Starting the lake server …")
            server = _launch(home, jdbc=jdbc)
        _wait_until_it_answers(home, server)
    return server


def status(home: Home) -> Server | None:
    """The server of `home` if it is alive. A state file left by a dead one, or whose pid was reused, counts as none."""
    server = _last(home)
    return server if server and server.is_alive() else None


def stop(home: Home) -> bool:
    """Stop the server of `home`; whether there was one."""
    if not home.lake.exists():
        return False
    with _lock(home):
        server = status(home)
        if server:
            _end(home, server)
    return server is not None


def environment(home: Home) -> dict[str, str]:
    """What dbt, Dagster and `pyspark --remote` need in their environment to work on `home`; starts its server.

    Once production has been built, dbt also defers to it: in target dev, a model that was not built is read from there.
    """
    server = ensure(home)
    home.dagster.mkdir(parents=True, exist_ok=True)
    production = home.dbt / "prod"
    deferral = {"DBT_DEFER": "true", "DBT_STATE": str(production)} if (production / "manifest.json").exists() else {}
    jdbc = {"STILLHOUSE_THRIFT_PORT": str(server.jdbc_port)} if server.jdbc_port else {}
    return {
        "STILLHOUSE_HOME": str(home.root),
        "SPARK_REMOTE": server.remote,
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": token(home),
        "DBT_PROJECT_DIR": str(PROJECT),
        "DBT_PROFILES_DIR": str(PROJECT / "profiles"),
        "DBT_TARGET_PATH": str(home.dbt / "target"),
        "DBT_LOG_PATH": str(home.dbt / "logs"),
        "DAGSTER_HOME": str(home.dagster),
        # dbt-spark sets what a server fixes at its start, and pyspark warns of it at every statement.
        "PYTHONWARNINGS": "ignore:Failed to set spark.sql.catalogImplementation",
        # Clients turn times into the local zone, and dbt takes them for UTC.
        "TZ": "UTC",
        **deferral,
        **jdbc,
    }


def token(home: Home) -> str:
    """The secret that Spark Connect asks for: generated once per home, readable by its owner alone."""
    path = home.lake / "token"
    if not path.exists():
        draft = path.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(32))
        draft.replace(path)
    return path.read_text()


def _launch(home: Home, *, jdbc: bool) -> Server:
    """Start the JVM, detached from this terminal, and write the state file at once: nobody starts a second one."""
    machine.find_java()
    machine.check_disk(home.root)
    # Each home keeps its ports over restarts, so that an environment exported before one still holds after it.
    preferred = 15002 + zlib.crc32(str(home.root).encode()) % 15000
    _wait_for_the_ports_of_the_last(home)
    connect_port = _choose_port("STILLHOUSE_CONNECT_PORT", preferred=preferred)
    jdbc_port = _choose_port("STILLHOUSE_JDBC_PORT", preferred=connect_port + 1) if jdbc else None
    values = spark_settings.settings(home, jars=delta_jars(), connect_port=connect_port)
    if jdbc:
        values["spark.plugins"] = "org.apache.spark.sql.connect.SparkConnectPlugin"
        values["spark.hadoop.hive.server2.thrift.bind.host"] = "127.0.0.1"
        values["spark.hadoop.hive.server2.thrift.port"] = str(jdbc_port)

    scratch = spark_settings.scratch_folder(home)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    log = home.lake / "server.log"
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                str(SPARK_HOME / "bin" / "spark-submit"),
                *("--class", CONNECT_AND_JDBC if jdbc else CONNECT_ONLY, "spark-internal"),
            ],
            env={
                **inherited,
                "SPARK_HOME": str(SPARK_HOME),
                "SPARK_CONF_DIR": str(spark_settings.write(home, values)),
                "SPARK_LOCAL_IP": "127.0.0.1",
                "SPARK_CONNECT_AUTHENTICATE_TOKEN": token(home),
                # Streams call back into Python on the server's side.
                "PYSPARK_PYTHON": sys.executable,
                "TZ": "UTC",
            },
            cwd=home.lake,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started_at = datetime.fromtimestamp(psutil.Process(process.pid).create_time(), UTC)
    server = Server(pid=process.pid, connect_port=connect_port, jdbc_port=jdbc_port, log=log, started_at=started_at)
    _write_state(home, server)
    return server


def _choose_port(variable: str, *, preferred: int) -> int:
    fixed = os.environ.get(variable)
    if not fixed:
        return machine.free_port(preferred=preferred)
    if not fixed.isdigit() or not 1 <= int(fixed) <= 65535:
        raise LakeError(f"{variable} is {fixed!r}; it must be a port between 1 and 65535")
    if not machine.port_is_free(int(fixed)):
        raise LakeError(f"{variable} is {fixed}, and that port is taken: stop what listens there, or choose another")
    return int(fixed)


def _wait_for_the_ports_of_the_last(home: Home) -> None:
    """Give the ports of a server that was just killed time to close: clients that we did not write know no others."""
    last = _last(home)
    ports = [port for port in (last.connect_port, last.jdbc_port) if port] if last else []
    deadline = time.monotonic() + PORT_TIMEOUT_S
    while not all(machine.port_is_free(port) for port in ports) and time.monotonic() < deadline:
        time.sleep(0.1)


def _wait_until_it_answers(home: Home, server: Server) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _answers(server):
        if not server.is_alive():
            _state_file(home).unlink(missing_ok=True)
            raise LakeError(f"the lake server ended while starting: {_last_words(server.log)} (see {server.log})")
        if time.monotonic() > deadline:
            _end(home, server)
            raise LakeError(f"the lake server did not answer within {START_TIMEOUT_S} s; see {server.log}")
        time.sleep(0.1)


def _answers(server: Server) -> bool:
    ports = [port for port in (server.connect_port, server.jdbc_port) if port]
    return all(machine.port_answers(port) for port in ports)


def _last_words(log: Path) -> str:
    """The first line of the log that names an exception, else its last line."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    named = [line.strip() for line in lines if "Exception" in line or "Error" in line]
    return (named or lines or ["it said nothing"])[0 if named else -1][:300]


def _end(home: Home, server: Server) -> None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(server.pid)
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)
    _state_file(home).unlink(missing_ok=True)


@contextmanager
def _lock(home: Home) -> Iterator[None]:
    """One process at a time starts or stops the server of `home`; the others wait for it."""
    lock = FileLock(home.lake / "server.lock", timeout=2 * START_TIMEOUT_S)
    try:
        with lock:
            yield
    except Timeout:
        raise LakeError(f"another process holds {lock.lock_file} since minutes: it starts or stops the lake") from None


def _state_file(home: Home) -> Path:
    return home.lake / "server.json"


def _last(home: Home) -> Server | None:
    """The server that the state file names, alive or dead; None without a file that can be read."""
    try:
        state = json.loads(_state_file(home).read_text())
        return Server(
            pid=state["pid"],
            connect_port=state["connect_port"],
            jdbc_port=state["jdbc_port"],
            log=Path(state["log"]),
            started_at=datetime.fromisoformat(state["started_at"]),
        )
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None


def _write_state(home: Home, server: Server) -> None:
    state = {
        "pid": server.pid,
        "connect_port": server.connect_port,
        "jdbc_port": server.jdbc_port,
        "log": str(server.log),
        "started_at": server.started_at.isoformat(),
    }
    draft = _state_file(home).with_suffix(".json.new")
    draft.write_text(json.dumps(state, indent=2) + "\n")
    draft.replace(_state_file(home))
