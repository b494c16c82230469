"""A Spark standalone cluster on this machine: one master and two workers on loopback, processes of their own.

Where it is up, the lake server leaves its tasks to the workers, as on any cluster. It is found through
`lake/cluster.json`; whoever starts or stops it holds the lake server's lock.
"""

import http.client
import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from lakehouse import daemon, machine, spark_settings
from lakehouse.daemon import Daemon
from lakehouse.errors import LakeError
from lakehouse.home import Home
from lakehouse.jars import SPARK_HOME
from lakehouse.secret import secret

NUM_WORKERS = 2
CORES_PER_WORKER = 1
NUM_CORES = NUM_WORKERS * CORES_PER_WORKER
EXECUTOR_BYTES = machine.GIB
# Heap of the master and of each worker, which only look after the executors.
DAEMON_BYTES = 256 * 2**20
START_TIMEOUT_S = 60


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A running cluster: its processes, and the ports of its master and of the master's web page."""

    master: Daemon
    workers: tuple[Daemon, ...]
    port: int
    page_port: int

    @property
    def url(self) -> str:
        return f"spark://127.0.0.1:{self.port}"

    @property
    def page(self) -> str:
        return f"http://localhost:{self.page_port}"

    def num_workers(self) -> int:
        """Workers whose process runs."""
        return sum(worker.is_alive() for worker in self.workers)

    def is_whole(self) -> bool:
        return self.master.is_alive() and self.num_workers() == NUM_WORKERS


def ensure(home: Home, *, progress: Callable[[str], None] = lambda _: None) -> Cluster:
    """The cluster of `home` with all its workers, started if it is not whole; returns when they are ready for work.

    Raises LakeError, in one line, when it cannot start or the machine is too small for it.
    """
    cluster = status(home)
    if cluster and cluster.is_whole():
        return cluster
    stop(home)
    _check_memory()
    progress(f"Starting a Spark master and {NUM_WORKERS} workers …")
    cluster = _launch(home)
    _wait_until_workers_are_ready(home, cluster)
    return cluster


def status(home: Home) -> Cluster | None:
    """The cluster of `home` if its master is alive."""
    cluster = _last_known(home)
    return cluster if cluster and cluster.master.is_alive() else None


def stop(home: Home) -> None:
    """End every process of the cluster of `home` that is left."""
    cluster = _last_known(home)
    if cluster:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Daemon.end, (*cluster.workers, cluster.master)))
    _state_file(home).unlink(missing_ok=True)


def shared_secret(home: Home) -> str:
    """What master, workers, executors and the lake server ask each other for; it lets nobody into Spark Connect."""
    return secret(home.lake / "cluster-secret")


def _launch(home: Home) -> Cluster:
    folder = home.lake / "cluster"
    shutil.rmtree(folder, ignore_errors=True)
    # What executors put on disk may hold their settings, the secret among them.
    folder.mkdir(mode=0o700, parents=True)
    for name in ("scratch", "work", "logs"):
        (folder / name).mkdir()
    port = machine.free_port(preferred=home.first_port + 2)
    page_port = machine.free_port(preferred=port + 1)
    settings = {
        "spark.authenticate": "true",
        "spark.authenticate.secret": shared_secret(home),
        "spark.local.dir": str(folder / "scratch"),
        # The one way in is the master's own port, which asks for the secret; the web pages only show.
        "spark.master.rest.enabled": "false",
        "spark.ui.killEnabled": "false",
        # A port that was free a moment ago and is taken now ends the start; silently another one would not be found.
        "spark.port.maxRetries": "0",
    }
    environment = {
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_CONF_DIR": str(spark_settings.write(folder / "conf", settings)),
        "SPARK_DAEMON_MEMORY": f"{DAEMON_BYTES // 2**20}m",
        "SPARK_DAEMON_JAVA_OPTS": "-Duser.timezone=UTC -XX:+ExitOnOutOfMemoryError",
    }

    def start(name: str, main_class: str, *arguments: str | int | Path) -> Daemon:
        command = [str(SPARK_HOME / "bin" / "spark-class"), main_class, "--host", "127.0.0.1", *map(str, arguments)]
        return daemon.start(command, environment=environment, folder=folder, log=folder / "logs" / f"{name}.log")

    master = start("master", "org.apache.spark.deploy.master.Master", "--port", port, "--webui-port", page_port)
    cluster = Cluster(master=master, workers=(), port=port, page_port=page_port)
    _write_state(home, cluster)
    for number in range(1, NUM_WORKERS + 1):
        worker = start(
            f"worker-{number}",
            "org.apache.spark.deploy.worker.Worker",
            *("--cores", CORES_PER_WORKER, "--memory", f"{EXECUTOR_BYTES // 2**20}m"),
            *("--webui-port", 0, "--work-dir", folder / "work" / f"{number}"),
            cluster.url,
        )
        cluster = Cluster(master=master, workers=(*cluster.workers, worker), port=port, page_port=page_port)
        _write_state(home, cluster)
    return cluster


def _check_memory() -> None:
    daemons = (1 + NUM_WORKERS) * DAEMON_BYTES
    needed, total = machine.heap_bytes() + daemons + NUM_WORKERS * EXECUTOR_BYTES, machine.memory_bytes()
    if needed > total:
        raise LakeError(
            f"too little memory for a cluster: of {total / machine.GIB:.1f} GiB on this machine, the lake server "
            f"and {NUM_WORKERS} workers need {needed / machine.GIB:.1f}; a server with STILLHOUSE_MEMORY=1g may fit"
        )


def _wait_until_workers_are_ready(home: Home, cluster: Cluster) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while _num_registered(cluster) < NUM_WORKERS:
        logs = home.lake / "cluster" / "logs"
        named = {"master": cluster.master} | {f"worker-{n}": each for n, each in enumerate(cluster.workers, start=1)}
        dead = next((logs / f"{name}.log" for name, process in named.items() if not process.is_alive()), None)
        if dead:
            stop(home)
            raise LakeError(f"the Spark cluster ended while starting: {daemon.last_words(dead)} (see {dead})")
        if time.monotonic() > deadline:
            stop(home)
            raise LakeError(f"the Spark workers did not find their master within {START_TIMEOUT_S} s; see {logs}")
        time.sleep(0.1)


def _num_registered(cluster: Cluster) -> int:
    """Workers that the master knows of, by its web page; 0 while the page is not there yet."""
    page = http.client.HTTPConnection("127.0.0.1", cluster.page_port, timeout=5)
    try:
        page.request("GET", "/json/")
        return int(json.loads(page.getresponse().read())["aliveworkers"])
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return 0
    finally:
        page.close()


def _state_file(home: Home) -> Path:
    return home.lake / "cluster.json"


def _last_known(home: Home) -> Cluster | None:
    try:
        state = json.loads(_state_file(home).read_text())
        return Cluster(
            master=_process(state["master"]),
            workers=tuple(_process(worker) for worker in state["workers"]),
            port=state["port"],
            page_port=state["page_port"],
        )
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None


def _process(state: dict[str, str | int]) -> Daemon:
    return Daemon(pid=int(state["pid"]), started_at=datetime.fromisoformat(str(state["started_at"])))


def _write_state(home: Home, cluster: Cluster) -> None:
    draft = _state_file(home).with_suffix(".json.new")
    draft.write_text(json.dumps(asdict(cluster), indent=2, default=datetime.isoformat) + "\n")
    draft.replace(_state_file(home))
