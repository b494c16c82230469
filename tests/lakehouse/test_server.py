"""The life of the lake server, on a home of its own: other tests must not see it die."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from lakehouse import guard, repair, server
from lakehouse.errors import LakeError
from lakehouse.home import Home
from lakehouse.jars import SPARK_HOME
from lakehouse.session import connect

QUERY_FOR_HOURS = "select sum(hash(sha2(string(id), 256))) from range(1000000000000)"


@pytest.fixture(scope="module")
def mortal() -> Iterator[None]:
    """Small servers on free ports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILLHOUSE_MEMORY", "1g")
        for name in ("STILLHOUSE_CONNECT_PORT", "STILLHOUSE_JDBC_PORT", "SPARK_REMOTE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module")
def mortal_home(mortal: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose server the tests of this module start, kill and stop."""
    home = Home(Path(tmp_path_factory.mktemp("mortal")).resolve())
    yield home
    server.stop(home)


def python(home: Home, program: str) -> "subprocess.Popen[str]":
    """A Python process of its own that works on `home`."""
    environment = {**os.environ, "STILLHOUSE_HOME": str(home.root)}
    return subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)


def listening(pid: int) -> list[tuple[str, int]]:
    """Address and port of every socket on which the process listens; IPv4 addresses as such, also within IPv6."""
    sockets = [each for each in psutil.Process(pid).net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    return [(each.laddr.ip.removeprefix("::ffff:"), each.laddr.port) for each in sockets]


def write_state(home: Home, *, pid: int, started_at: datetime, port: int = 1) -> None:
    home.lake.mkdir(parents=True)
    log = home.lake / "server.log"
    server._write_state(home, server.Server(pid=pid, connect_port=port, jdbc_port=None, log=log, started_at=started_at))


def test_a_home_without_a_lake_has_no_server(tmp_path: Path) -> None:
    assert server.status(Home(tmp_path)) is None
    assert not server.stop(Home(tmp_path))


def test_the_state_of_a_dead_process_counts_as_no_server(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    started_at = datetime.fromtimestamp(psutil.Process(dead.pid).create_time(), UTC)
    dead.wait()
    write_state(Home(tmp_path), pid=dead.pid, started_at=started_at)
    assert server.status(Home(tmp_path)) is None


def test_the_state_of_a_reused_pid_counts_as_no_server_and_the_process_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "60"])
    began = datetime.fromtimestamp(psutil.Process(other.pid).create_time(), UTC)
    write_state(Home(tmp_path), pid=other.pid, started_at=began - timedelta(hours=1))
    assert server.status(Home(tmp_path)) is None
    assert not server.stop(Home(tmp_path))
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_zombie_counts_as_no_server(tmp_path: Path) -> None:
    zombie = subprocess.Popen(["true"])
    process = psutil.Process(zombie.pid)
    write_state(Home(tmp_path), pid=zombie.pid, started_at=datetime.fromtimestamp(process.create_time(), UTC))
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert server.status(Home(tmp_path)) is None
    zombie.wait()


def test_a_torn_state_file_counts_as_no_server(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.lake.mkdir()
    (home.lake / "server.json").write_text('{"pid": 12')
    assert server.status(home) is None


def test_a_taken_port_that_was_asked_for_is_refused(
    mortal: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("STILLHOUSE_CONNECT_PORT", str(port))
        with pytest.raises(LakeError, match=rf"STILLHOUSE_CONNECT_PORT is {port}, and that port is taken"):
            server.ensure(Home(tmp_path))


def test_a_new_server_waits_for_the_port_that_a_killed_one_still_holds(tmp_path: Path) -> None:
    # A killed JVM is a zombie some tenths of a second before its sockets close; on another port, dbt would find nobody.
    home = Home(tmp_path)
    dying = socket.socket()
    dying.bind(("127.0.0.1", 0))
    dying.listen()
    write_state(home, pid=os.getpid(), started_at=datetime(2026, 1, 1, tzinfo=UTC), port=dying.getsockname()[1])
    assert server.status(home) is None
    started = time.monotonic()
    threading.Timer(0.5, dying.close).start()
    server._wait_for_the_ports_of_the_last(home)
    assert 0.4 < time.monotonic() - started < 10


@pytest.mark.lake
def test_a_server_that_cannot_start_says_why_in_one_line(
    mortal: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(server, "CONNECT_ONLY", "org.apache.spark.NoSuchServer")
    with pytest.raises(LakeError, match=r"ended while starting: Error: Failed to load class .*NoSuchServer") as error:
        server.ensure(Home(tmp_path))
    assert "\n" not in str(error.value)
    assert server.status(Home(tmp_path)) is None


@pytest.mark.lake
def test_two_processes_that_start_it_at_once_end_with_one_server(mortal_home: Home) -> None:
    program = "from lakehouse import home, server; print(server.ensure(home.home()).pid)"
    starters = [python(mortal_home, program) for _ in range(2)]
    pids = {int(starter.communicate(timeout=180)[0]) for starter in starters}
    running = server.status(mortal_home)
    assert running is not None
    assert pids == {running.pid}
    ours = [each.pid for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(mortal_home.lake)]
    assert ours == [running.pid]


@pytest.mark.lake
def test_only_loopback_is_open_and_no_jdbc_door_unless_asked(mortal_home: Home) -> None:
    running = server.ensure(mortal_home)
    assert running.jdbc_port is None
    assert {address for address, _ in listening(running.pid)} == {"127.0.0.1"}
    # What is open beside Connect is Spark's own RPC and block port, which speak no Thrift and ask for a secret.
    assert beeline(f"jdbc:hive2://localhost:{running.connect_port + 1}", "select 1").returncode != 0


@pytest.mark.lake
def test_the_token_is_for_the_owner_alone_and_a_wrong_one_is_refused(mortal_home: Home) -> None:
    running = server.ensure(mortal_home)
    assert (mortal_home.lake / "token").stat().st_mode & 0o777 == 0o600
    program = f"""
from pyspark.sql import SparkSession
try:
    SparkSession.builder.remote("{running.remote}/;token=guess").create().sql("select 1").collect()
except Exception as error:
    print("UNAUTHENTICATED" in str(error) or "Invalid" in str(error))
"""
    assert python(mortal_home, program).communicate(timeout=60)[0].splitlines()[-1] == "True"


@pytest.mark.lake
def test_a_killed_server_is_noticed_by_its_client_and_the_next_session_finds_the_data(mortal_home: Home) -> None:
    running = server.ensure(mortal_home)
    client = python(
        mortal_home,
        f"""
import time
from lakehouse.errors import ServerDied
from lakehouse.session import connect
connect().sql("create or replace table kept using delta as select id from range(10)")
print("ready", flush=True)
try:
    connect().sql("{QUERY_FOR_HOURS}").collect()
except ServerDied as error:
    print(f"{{time.time()}} {{error}}", flush=True)
print(connect().sql("select count(*) from kept").first()[0])
""",
    )
    assert client.stdout is not None
    assert client.stdout.readline() == "ready\n"
    time.sleep(3)
    os.kill(running.pid, signal.SIGKILL)
    killed_at = time.time()
    noticed_at, _, said = client.stdout.readline().partition(" ")
    assert float(noticed_at) - killed_at < 15
    assert f"the lake server (pid {running.pid}) died while a statement ran" in said
    assert client.communicate(timeout=180)[0].splitlines()[-1] == "10"
    successor = server.status(mortal_home)
    assert successor is not None
    assert successor.pid != running.pid
    # An environment exported before the death still holds.
    assert successor.connect_port == running.connect_port


@pytest.mark.lake
def test_a_create_killed_between_its_commit_and_its_registration_is_named_and_heals(
    mortal_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "REGISTERED_WITHIN_S", 0.1)
    for attempt in range(3):
        running = server.ensure(mortal_home)
        create = f"create table killed_{attempt} using delta as select id from range(100)"
        client = python(mortal_home, f"from lakehouse.session import connect; connect().sql('{create}').collect()")
        log = mortal_home.warehouse / f"killed_{attempt}" / "_delta_log"
        while client.poll() is None and not (log / f"{0:020}.json").exists():
            time.sleep(0.0005)
        os.kill(running.pid, signal.SIGKILL)
        client.wait(timeout=90)
        spark = connect(mortal_home)
        if guard.unregistered(mortal_home, spark):
            break
    else:
        pytest.fail("three creates were registered before the kill reached the server")
    with pytest.raises(
        guard.TableFault, match=rf"^default\.killed_{attempt} has a Delta log at {log.parent} and no entry"
    ):
        guard.check_tables(mortal_home, spark)
    assert repair.heal(mortal_home, spark) == [
        f"default.killed_{attempt}: registered with the content of its version 0"
    ]
    guard.check_tables(mortal_home, spark)
    assert spark.table(f"killed_{attempt}").count() == 100


@pytest.mark.lake
def test_the_jdbc_door_opens_on_request_onto_the_same_tables(mortal_home: Home) -> None:
    running = server.ensure(mortal_home, jdbc=True)
    assert running.jdbc_url is not None
    assert {address for address, _ in listening(running.pid)} == {"127.0.0.1"}
    assert server.ensure(mortal_home) == running
    program = (
        "from lakehouse.session import connect; connect().sql('create table shared using delta as select 42 as n')"
    )
    assert python(mortal_home, program).wait(timeout=120) == 0
    assert beeline(running.jdbc_url, "select n from shared").stdout.splitlines() == ["n", "42"]


@pytest.mark.lake
def test_a_stopped_server_is_gone_and_leaves_no_state(mortal_home: Home) -> None:
    running = server.ensure(mortal_home)
    assert server.stop(mortal_home)
    assert not running.is_alive()
    assert server.status(mortal_home) is None
    assert not server.stop(mortal_home)


def beeline(url: str, query: str) -> "subprocess.CompletedProcess[str]":
    command = [str(SPARK_HOME / "bin" / "beeline"), "-u", url, "-n", "analyst"]
    options = ["--silent=true", "--outputformat=csv2", "--showNestedErrs=false", "-e", query]
    run = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)
    # Its prompt, which it prints even when silent, stands on the line of the header.
    run.stdout = run.stdout.rpartition("> ")[2]
    return run
