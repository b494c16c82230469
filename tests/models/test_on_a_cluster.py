"""The same project on a Spark master with two workers, which build everything that ever landed at once.

Every table must be what one process makes of it, day by day, killed twice on the way (see `grown`).
"""

import http.client
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from conftest import publish, run_dbt
from tiny_world import TINY, LaterLoads, World

from lakehouse import cluster, daemon, guard, server, spark_settings
from lakehouse.features import feature_spec
from lakehouse.home import Home
from lakehouse.ingest import ingest
from lakehouse.jars import SPARK_HOME
from lakehouse.landing import STREAMS
from lakehouse.recipes import recipe
from lakehouse.session import connect
from lakehouse.versions import pin, read
from orchestration.plan import Plan
from orchestration.retrain import train
from ranker import FeatureSpec, Ranker

pytestmark = [pytest.mark.lake, pytest.mark.slow]
STILLHOUSE = Path(sys.executable).parent / "stillhouse"
# What was built of every day; the totals and what counts builds belong to the last build alone.
LAYERS = ("intermediate.", "marts.", "monitoring.")
OF_A_BUILD = (
    "int_item_totals",
    "int_user_totals",
    "int_user_category_totals",
    "builds",
    "late_row_counts",
    "late_rows",
)


def stillhouse(home: Home, *arguments: str) -> str:
    environment = {**os.environ, "STILLHOUSE_HOME": str(home.root), "STILLHOUSE_MEMORY": "1g"}
    done = subprocess.run([STILLHOUSE, *arguments], env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def processes(home: Home) -> list[psutil.Process]:
    """Every process that works in a folder of the lake: the server, master and workers, and their executors."""
    found = []
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] and Path(process.info["cwd"]).is_relative_to(home.lake):
            found.append(process)
    return found


def write_landing_files(world: World, home: Home, *, load_id: int) -> None:
    """The rows of one load as a service would land them; null where a row does not say."""
    for name, stream in STREAMS.items():
        lines = []
        for row in getattr(world, name):
            line = {
                column.name: row.get(column.name)
                for column in stream.columns
                if not column.optional or row.get(column.name)
            }
            for column in stream.columns:
                if column.kind == "object" and line.get(column.name):
                    line[column.name] = json.loads(line[column.name])
            lines.append(json.dumps(line, default=datetime.isoformat) + "\n")
        (home.landing / name).mkdir(parents=True, exist_ok=True)
        (home.landing / name / f"tiny-{load_id}.jsonl").write_text("".join(lines))


@pytest.fixture(scope="session")
def clustered(world: World, landed: LaterLoads, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """All that lands on the tiny world, ingested and built on a cluster that the one documented command started."""
    home = Home(Path(tmp_path_factory.mktemp("clustered")).resolve())
    loads = (world, landed.second, landed.too_late)
    try:
        said = stillhouse(home, "up", "--cluster")
        assert "2 of 2 workers" in said
        for load_id, load in enumerate(loads, start=1):
            write_landing_files(load, home, load_id=load_id)
        report = ingest(home)
        assert {stream.stream: stream.loaded for stream in report.streams} == {
            name: sum(len(getattr(load, name)) for load in loads) for name in STREAMS
        }
        publish(home)
        # Without the data tests, which judge rows: these are compared with those of a lake that they passed.
        run_dbt("run", "--target", "cluster", environment=server.environment(home) | {"DBT_THREADS": "4"})
        yield home
    finally:
        server.stop(home)


def test_both_workers_hold_an_executor_and_only_loopback_is_open(clustered: Home) -> None:
    running = cluster.status(clustered)
    assert running is not None
    page = http.client.HTTPConnection("127.0.0.1", running.page_port, timeout=5)
    page.request("GET", "/json/")
    seen: dict[str, Any] = json.loads(page.getresponse().read())
    assert [worker["coresused"] for worker in seen["workers"]] == [1, 1]
    assert [app["name"] for app in seen["activeapps"]] == ["stillhouse"]
    everybody = processes(clustered)
    # The server, a master, two workers, two executors.
    assert len(everybody) == 6
    listening = [each for process in everybody for each in process.net_connections("tcp") if each.status == "LISTEN"]
    assert {each.laddr.ip.removeprefix("::ffff:") for each in listening} == {"127.0.0.1"}


def test_no_process_shows_the_cluster_s_secret_and_its_files_are_the_owner_s_alone(clustered: Home) -> None:
    secret = cluster.shared_secret(clustered)
    assert not [process for process in processes(clustered) if secret in " ".join(process.cmdline())]
    for file in clustered.lake.rglob("*"):
        if file.is_file() and secret.encode() in file.read_bytes():
            # What Spark itself puts on disk is kept from others by a folder on the way, all else by its own mode.
            folders = [folder for folder in file.parents if folder.is_relative_to(clustered.lake)]
            path = [file, *folders] if "scratch" in file.relative_to(clustered.lake).parts else [file]
            assert any(one.stat().st_mode & 0o077 == 0 for one in path), file


@pytest.mark.parametrize("secret", ["another", None])
def test_a_worker_that_does_not_know_the_secret_is_refused(clustered: Home, tmp_path: Path, secret: str | None) -> None:
    running = cluster.status(clustered)
    assert running is not None
    settings = {"spark.authenticate": "true", "spark.authenticate.secret": secret} if secret else {}
    environment = {"SPARK_HOME": str(SPARK_HOME), "SPARK_CONF_DIR": str(spark_settings.write(tmp_path, settings))}
    worker = daemon.start(
        [
            *(str(SPARK_HOME / "bin" / "spark-class"), "org.apache.spark.deploy.worker.Worker"),
            *("--host", "127.0.0.1", "--webui-port", "0", "--cores", "1", "--memory", "512m", running.url),
        ],
        environment=environment | {"SPARK_DAEMON_MEMORY": "128m"},
        folder=tmp_path,
        log=tmp_path / "worker.log",
    )
    try:
        deadline = time.monotonic() + 60
        while "Failed to connect to master" not in (tmp_path / "worker.log").read_text():
            assert worker.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        worker.end()
    assert cluster._num_registered(running) == cluster.NUM_WORKERS


def test_two_ranks_train_on_the_workers_and_every_row_counts_once(
    clustered: Home, manifest: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    for used, sampling in ((recipe("standard"), "training_examples"), (recipe("lean"), "sampling_rates")):
        alone = Plan(
            partition="2025-12-29",
            dataset=TINY,
            spec=FeatureSpec.from_json(feature_spec(manifest)),
            recipe=used,
            sampling=pin(f"marts.{sampling}", home=clustered),
            examples=pin("marts.examples_v1", home=clustered),
            teacher=None,
            teacher_scores=None,
        )
        with caplog.at_level("INFO", logger="stillhouse"):
            one, two = (train(replace(alone, num_ranks=ranks), home=clustered) for ranks in (1, 2))
        first, second = (Ranker.from_files(candidate.student) for candidate in (one, two))
        assert second.embedding.count.equal(first.embedding.count)
        assert two.curve[-1]["examples"] == one.curve[-1]["examples"] == 3 * one.inputs[0].rows
        assert one.student != two.student
    assert "train: 100% of" in caplog.text
    with pytest.raises(ValueError, match="3 ranks were asked for and the cluster has 2 cores"):
        train(replace(alone, num_ranks=3), home=clustered)
    assert not list(clustered.exchange.glob("ranks-*"))


def test_a_lake_that_died_comes_back_on_its_cluster_and_down_ends_every_process(clustered: Home) -> None:
    first = server.status(clustered)
    assert first is not None
    first.process.end()
    assert connect(clustered).table("marts.examples_v1").count() > 700
    second = server.status(clustered)
    assert second is not None
    assert second.pid != first.pid
    assert second.cluster_url == first.cluster_url
    stillhouse(clustered, "down")
    assert processes(clustered) == []
    assert cluster.status(clustered) is None


def test_everything_at_once_on_a_cluster_is_what_came_bit_by_bit_in_one_process(
    clustered: Home, backfilled: Home
) -> None:
    tables = [relation for relation, _ in guard.tables(backfilled) if relation.startswith(LAYERS)]
    compared = {relation for relation in tables if relation.partition(".")[2] not in OF_A_BUILD}
    assert {"marts.examples_v1", "marts.training_examples", "marts.random_slice", "marts.sampling_audit"} < compared
    assert {"intermediate.int_exposures_conflicts", "monitoring.feature_statistics"} < compared
    for relation in sorted(compared):
        ours, theirs = (read(pin(relation, home=home)) for home in (backfilled, clustered))
        assert theirs.schema.names == ours.schema.names, relation
        # A row a day at least.
        assert ours.num_rows >= 8, relation
        assert content(theirs) == content(ours), relation


def content(table: pa.Table) -> Counter[str]:
    """The rows of a table, in no order. Which load brought them is not the same here and there."""
    return Counter(map(repr, table.select(sorted({*table.schema.names} - {"load_id"})).to_pylist()))
