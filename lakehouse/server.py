"""The life cycle of the lake server: one JVM that owns the catalog and every Delta write, with two doors.

Spark Connect is always open, behind a generated token; JDBC opens on request, for it asks no one who they are. The
server starts when somebody needs it, survives the command that started it, and is found through `lake/server.json`.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from lakehouse import cluster, daemon, machine, spark_settings
from lakehouse.daemon import Daemon
from lakehouse.errors import LakeError
from lakehouse.home import PROJECT, Home
from lakehouse.jars import SPARK_HOME, delta_jars
from lakehouse.secret import secret

# Both open Spark Connect as a plugin. Spark's server for Connect alone insists on a class loader for each session, and
# every `dbt` run then compiles all its queries anew: a third of a warm build. The first of these is Spark's SQL shell,
# which waits at an empty standard input.
CONNECT_ONLY = "org.apache.spark.sql.hive.thriftserver.SparkSQLCLIDriver"
CONNECT_AND_JDBC = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"
START_TIMEOUT_S = 120
# A killed JVM counts as dead before the system has closed its sockets.
PORT_TIMEOUT_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running lake server. `started_at` tells it from a later process that was given the same pid; `cluster_url` is
    the master whose workers do its work, None where it does it by itself."""

    pid: int
    connect_port: int
    jdbc_port: int | None
    log: Path
    started_at: datetime
    cluster_url: str | None = None

    @property
    def remote(self) -> str:
        """The address of Spark Connect. With an IP address in place of the name, clients demand TLS and hang."""
        return f"sc://localhost:{self.connect_port}"

    @property
    def jdbc_url(self) -> str | None:
        return f"jdbc:hive2://localhost:{self.jdbc_port}" if self.jdbc_port else None

    @property
    def process(self) -> Daemon:
        return Daemon(pid=self.pid, started_at=self.started_at)

    def is_alive(self) -> bool:
        return self.process.is_alive()


def ensure(
    home: Home, *, jdbc: bool = False, on_cluster: bool = False, progress: Callable[[str], None] = lambda _: None
) -> Server:
    """The server of `home`, started if there is none; returns when it answers.

    With `jdbc`, a server without a JDBC door is stopped and started again with one; with `on_cluster`, one that works
    by itself, or whose cluster lost a worker, is started again on a whole cluster of this machine. Without, a new
    server uses the cluster if there is one. Two processes that call this at once end with the same server. Raises
    LakeError, in one line, when it cannot start.
    """
    server = status(home)
    if server and _answers(server) and _offers(home, server, jdbc=jdbc, on_cluster=on_cluster):
        return server
    home.lake.mkdir(parents=True, exist_ok=True)
    with _lock(home):
        server = status(home)
        if not server or not _offers(home, server, jdbc=jdbc, on_cluster=on_cluster):
            workers = cluster.ensure(home, progress=progress) if on_cluster else cluster.status(home)
            if server:
                progress("Stopping the lake server, to start it anew with what was asked for …")
                _end(home, server)
                jdbc = jdbc or server.jdbc_port is not None
            progress("Starting the lake server …")
            server = _launch(home, jdbc=jdbc, cluster_url=workers.url if workers else None)
        _wait_until_it_answers(home, server)
    return server


def status(home: Home) -> Server | None:
    """The server of `home` if it is alive. A state file left by a dead one, or whose pid was reused, counts as none."""
    server = _last(home)
    return server if server and server.is_alive() else None


def stop(home: Home) -> bool:
    """Stop the server of `home` and its cluster; whether there was a server."""
    if not home.lake.exists():
        return False
    with _lock(home):
        server = status(home)
        if server:
            _end(home, server)
        cluster.stop(home)
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
        # Spark's own commands (pyspark, beeline) look for Spark beside this Python, and else beside any python3.
        "PYSPARK_PYTHON": sys.executable,
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
    """What Spark Connect asks its clients for."""
    return secret(home.lake / "token")


def _offers(home: Home, server: Server, *, jdbc: bool, on_cluster: bool) -> bool:
    if jdbc and not server.jdbc_port:
        return False
    if on_cluster:
        workers = cluster.status(home)
        return workers is not None and workers.is_whole() and workers.url == server.cluster_url
    return True


def _launch(home: Home, *, jdbc: bool, cluster_url: str | None) -> Server:
    """Start the JVM, detached from this terminal, and write the state file at once: nobody starts a second one."""
    machine.find_java()
    machine.check_disk(home.root)
    _wait_for_the_ports_of_the_last(home)
    connect_port = _choose_port("STILLHOUSE_CONNECT_PORT", preferred=home.first_port)
    jdbc_port = _choose_port("STILLHOUSE_JDBC_PORT", preferred=connect_port + 1) if jdbc else None
    values = spark_settings.settings(home, jars=delta_jars(), connect_port=connect_port)
    if jdbc:
        values["spark.hadoop.hive.server2.thrift.bind.host"] = "127.0.0.1"
        values["spark.hadoop.hive.server2.thrift.port"] = str(jdbc_port)
    if cluster_url:
        values = spark_settings.on_cluster(
            values, url=cluster_url, num_cores=cluster.NUM_CORES, secret=cluster.shared_secret(home)
        )

    scratch = spark_settings.scratch_folder(home)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)
    log = home.lake / "server.log"
    main_class = CONNECT_AND_JDBC if jdbc else CONNECT_ONLY
    process = daemon.start(
        [str(SPARK_HOME / "bin" / "spark-submit"), "--class", main_class, "spark-internal"],
        environment={
            "SPARK_HOME": str(SPARK_HOME),
            "SPARK_CONF_DIR": str(spark_settings.write(home.lake / "conf", values)),
            "SPARK_CONNECT_AUTHENTICATE_TOKEN": token(home),
        },
        folder=home.lake,
        log=log,
    )
    server = Server(
        pid=process.pid,
        connect_port=connect_port,
        jdbc_port=jdbc_port,
        log=log,
        started_at=process.started_at,
        cluster_url=cluster_url,
    )
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
            raise LakeError(f"the lake server ended while starting: {daemon.last_words(server.log)} (see {server.log})")
        if time.monotonic() > deadline:
            _end(home, server)
            raise LakeError(f"the lake server did not answer within {START_TIMEOUT_S} s; see {server.log}")
        time.sleep(0.1)


def _answers(server: Server) -> bool:
    ports = [port for port in (server.connect_port, server.jdbc_port) if port]
    return all(machine.port_answers(port) for port in ports)


def _end(home: Home, server: Server) -> None:
    server.process.end()
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
            cluster_url=state.get("cluster_url"),
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
        "cluster_url": server.cluster_url,
    }
    draft = _state_file(home).with_suffix(".json.new")
    draft.write_text(json.dumps(state, indent=2) + "\n")
    draft.replace(_state_file(home))
