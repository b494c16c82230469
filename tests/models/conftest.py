"""One lake for all tests of models, with a tiny world in it that dbt built once; and the project's manifest."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pyarrow as pa
import pytest
import yaml
from analyst import Answers, asked_through_jdbc
from tiny_world import JOURNAL, LaterLoads, World, later_loads, make_world

from lakehouse import guard, ops, server
from lakehouse.home import PROJECT, Home
from lakehouse.landing import STREAMS
from lakehouse.session import connect
from lakehouse.versions import pin
from lakehouse.watch import kept_up
from orchestration.pointers import experiment_row, experiment_rows, pointer_rows
from registry.experiments import arms, experiments
from tests.planted_joins import DATA_TESTS
from tests.random_recipes import random_recipe

DBT = Path(sys.executable).parent / "dbt"
NUM_RANDOM = 12
# What the tiny world's rows hold.
VALUES = {
    "surface": ("home", "mail"),
    "content_type": ("audio", "video"),
    "user_segment": ("devoted", "regular", "unknown"),
    "traffic": ("policy", "random"),
}


def run_dbt(*arguments: str, environment: dict[str, str]) -> None:
    """Run dbt as a person would; its output is the failure's message."""
    done = subprocess.run(
        [DBT, *arguments], cwd=PROJECT, env=inherited() | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run_dbt_struck(strike: Callable[["subprocess.Popen[str]"], None], *arguments: str, home: Home) -> int:
    """Run dbt as a person would, strike as soon as it has built a table, and wait for its end; its exit code."""
    environment = inherited() | server.environment(home)
    with subprocess.Popen([DBT, *arguments], cwd=PROJECT, env=environment, stdout=PIPE, text=True) as dbt:
        assert dbt.stdout is not None
        said = []
        for line in dbt.stdout:
            said.append(line)
            if "OK created sql incremental model" in line:
                strike(dbt)
                dbt.stdout.read()
                return dbt.wait()
        pytest.fail(f"dbt ended without building a table:\n{''.join(said)}")


def inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "SPARK_"))}


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The manifest of target prod; parsing opens no connection."""
    folder = tmp_path_factory.mktemp("manifest")
    places = {
        "SPARK_REMOTE": "sc://localhost",
        "DBT_PROFILES_DIR": str(PROJECT / "profiles"),
        "DBT_TARGET_PATH": str(folder),
        "DBT_LOG_PATH": str(folder),
    }
    run_dbt("parse", "--target", "prod", environment=places)
    parsed: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return parsed


@pytest.fixture(scope="session")
def world() -> World:
    return make_world()


@pytest.fixture(scope="session")
def landed(world: World) -> LaterLoads:
    return later_loads(world)


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A lake with both doors, and nothing in it."""
    home = Home(Path(tmp_path_factory.mktemp("lake")).resolve())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILLHOUSE_MEMORY", "1500m")
        server.ensure(home, jdbc=True)
    try:
        yield home
    finally:
        server.stop(home)


@pytest.fixture(scope="session")
def built(world: World, lake: Home) -> Home:
    """The lake with the tiny world in raw.*, after one plain `dbt build` of production, tests included."""
    land(world, lake)
    publish(lake)
    run_dbt("build", "--target", "prod", environment=server.environment(lake))
    production = lake.dbt / "prod"
    production.mkdir()
    shutil.copyfile(lake.dbt / "target" / "manifest.json", production / "manifest.json")
    # Of this build: a later one in dev would compile over it.
    shutil.copytree(lake.dbt / "target" / "compiled", production / "compiled")
    return lake


@dataclass(frozen=True)
class Tried:
    """Recipes tried in dev, in the schemas dev_somebody_…; production's versions before and after that, and what an
    analyst was told meanwhile."""

    recipes: dict[str, dict[str, Any]]
    before: dict[str, str]
    after: dict[str, str]
    answers: Answers


@pytest.fixture(scope="session")
def tried(built: Home) -> Tried:
    """One build in dev, tests included, of the project's recipes, a leaner one, random ones, and one that is
    materialised beside its twin that is not."""
    recipes = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]["recipes"]
    recipes |= {"leaner": {"materialised": True, "rules": [], "otherwise": 0.01, "random_traffic": {"share": 0.02}}}
    recipes |= {
        f"random_{seed}": random_recipe(random.Random(seed), values=VALUES, ages=(0, 16)) for seed in range(NUM_RANDOM)
    }
    twin = recipes["random_0"] | {"otherwise": 0.5, "random_traffic": {"share": 0.1}}
    recipes |= {"written": twin | {"materialised": True}, "unwritten": twin | {"materialised": False}}
    before = production_versions(built)
    environment = server.environment(built) | {"STILLHOUSE_USER": "somebody"}
    with asked_through_jdbc(built) as answers:
        run_dbt("build", "--selector", "sampling", "--vars", json.dumps({"recipes": recipes}), environment=environment)
    return Tried(recipes, before, production_versions(built), answers)


def production_versions(home: Home) -> dict[str, str]:
    """The data version of every table that no developer made."""
    tables = [relation for relation, _ in guard.tables(home) if not relation.startswith("dev_")]
    return {relation: pin(relation, home=home).data_version for relation in tables}


@dataclass(frozen=True)
class Grown:
    """The lake after more has landed: what that was, which data tests it passed, what an analyst was told meanwhile."""

    home: Home
    landed: LaterLoads
    passed: set[str]
    answers: Answers


@pytest.fixture(scope="session")
def grown(built: Home, landed: LaterLoads) -> Grown:
    """The lake built again after more has landed: dbt was killed, then the lake; some rows landed too late."""
    land(landed.second, built, load_id=2)
    assert run_dbt_struck(lambda dbt: dbt.kill(), "run", "--target", "prod", home=built) == -signal.SIGKILL
    land(landed.too_late, built, load_id=3)

    def kill_lake(_: "subprocess.Popen[str]") -> None:
        os.kill(lake.pid, signal.SIGKILL)
        killed_at.append(time.monotonic())

    killed_at: list[float] = []
    with kept_up(built) as lake:
        assert run_dbt_struck(kill_lake, "run", "--target", "prod", home=built) == 1
        assert time.monotonic() - killed_at[0] < 90, "a client that is not ours learns of it soon, not in ten minutes"
        successor = server.status(built)
        assert successor is not None
        assert successor.pid != lake.pid
    with asked_through_jdbc(built) as answers:
        chosen = ("--select", "resource_type:model", *DATA_TESTS, "--indirect-selection", "empty")
        run_dbt("build", "--target", "prod", *chosen, environment=server.environment(built))
    results = json.loads((built.dbt / "target" / "run_results.json").read_text())["results"]
    judged = [result["unique_id"].split(".") for result in results if result["status"] == "pass"]
    return Grown(built, landed, {name for kind, _, name, *_ in judged if kind == "test"}, answers)


@pytest.fixture(scope="session")
def backfilled(grown: Grown) -> Home:
    """The grown lake after a backfill of what came too late."""
    home = grown.home
    [late] = connect(home).sql("select cast(min(day) as string) as day from monitoring.late_rows").collect()
    chosen = ("--vars", f"backfill_from: '{late.day}'")
    run_dbt("run", "--target", "prod", *chosen, environment=server.environment(home))
    return home


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lands on the tiny world changes it, and so does who is forgotten: the tests of that come last."""
    changes = ("forgotten", "backfilled", "grown")

    def changed(item: pytest.Item) -> int:
        names = getattr(item, "fixturenames", ())
        return next((len(changes) - place for place, name in enumerate(changes) if name in names), 0)

    items.sort(key=changed)


def land(world: World, home: Home, *, load_id: int = 1) -> None:
    """The world's rows as one load of each stream."""
    spark = connect(home)
    ops.create_tables(spark)
    loads = []
    for stream in STREAMS:
        rows = getattr(world, stream)
        # Arrow takes its columns from the first row.
        every_column = {name: None for row in rows for name in row}
        numbered = [
            every_column
            | row
            | {
                "load_id": load_id,
                "source_file": f"{stream}/tiny-{load_id}.jsonl",
                "source_row": number,
                "payload_hash": f"{load_id}-{number}",
            }
            for number, row in enumerate(rows, start=1)
        ]
        ops.append(spark, f"raw.{stream}", pa.Table.from_pylist(numbered), home=home)
        counts: dict[str, Any] = {
            "landed": len(rows),
            "loaded": len(rows),
            "duplicate": 0,
            "quarantined": 0,
            "files": 1,
        }
        loads.append({"stream": stream, "load_id": load_id} | counts)
    ops.append(spark, "ops.ingest_loads", pa.Table.from_pylist(loads), home=home)


def publish(home: Home) -> None:
    """Who answered whom in the tiny world, and the experiments that there were."""
    found = [experiment_row(one, planned_days=4) for one in experiments(JOURNAL)]
    ops.append(connect(home), "ops.pointers", pointer_rows(arms(JOURNAL)), home=home)
    ops.append(connect(home), "ops.experiments", experiment_rows(found), home=home)


@pytest.fixture
def query(built: Home) -> Callable[[str], list[dict[str, Any]]]:
    """Rows of a SQL statement on the built lake."""

    def rows(statement: str) -> list[dict[str, Any]]:
        return [row.asDict() for row in connect(built).sql(statement).collect()]

    return rows
