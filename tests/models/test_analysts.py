"""What docs/sql.md promises an analyst: three doors to the same rows, and queries that answer what they ask."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from conftest import run_dbt
from polars.testing import assert_frame_equal

from lakehouse import ops, server
from lakehouse.home import PROJECT, Home
from lakehouse.session import connect
from lakehouse.versions import pin

pytestmark = pytest.mark.lake
Query = Callable[[str], list[dict[str, Any]]]
BIN = Path(sys.executable).parent
PAGE = (PROJECT / "docs" / "sql.md").read_text()


@dataclass(frozen=True)
class Example:
    """A query of the page, with the columns that the page promises of it."""

    query: str
    columns: tuple[str, ...]


def examples() -> dict[str, Example]:
    """Every query of the page by its heading."""
    found = {}
    for section in PAGE.split("\n### ")[1:]:
        heading, _, text = section.partition("\n")
        queries = re.findall(r"```sql\n(.*?)```\n\nColumns: (.*?)\.\n", text, flags=re.DOTALL)
        assert len(queries) == 1, f"{heading}: one query, followed by its columns"
        query, columns = queries[0]
        found[heading] = Example(query, tuple(re.findall(r"`(\w+)`", columns)))
    return found


EXAMPLES = examples()


@pytest.fixture(scope="module")
def history(built: Home) -> None:
    """A release that was blocked, one that passed and was promoted, a later one that was taken back again."""
    at = [datetime(2026, 1, day, 12, tzinfo=UTC) for day in range(1, 6)]
    table = pin("marts.training_examples", home=built)
    inputs = [{**vars(table), "rows": 11, "content_hash": "0"}, {**vars(table), "relation": "marts.b", "version": 5}]
    decisions = [
        {"release_id": release, "judged_at": judged, "verdict": verdict, "criterion": name, "status": status}
        for release, judged, verdict, criteria in (
            ("good", at[1], "pass", {"auc": "pass", "overall": "pass"}),
            ("bad", at[2], "block", {"auc": "block", "pcoc": "needs-a-person", "churn": "pass", "overall": "block"}),
        )
        for name, status in criteria.items()
    ]
    releases = [
        {"release_id": release, "event": event, "at": when, "pointer_version": version, "inputs": json.dumps(read)}
        for release, event, when, version, read in (
            ("good", "promoted", at[1], 1, inputs),
            ("later", "saved", at[2], None, []),
            ("later", "promoted", at[3], 2, inputs[:1]),
            ("good", "reverted", at[4], 3, inputs),
        )
    ]
    ops.append(connect(built), "ops.gate_decisions", pa.Table.from_pylist(decisions), home=built)
    ops.append(connect(built), "ops.releases", pa.Table.from_pylist(releases), home=built)


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("heading", EXAMPLES)
def test_every_query_of_the_page_returns_the_columns_it_promises(heading: str, built: Home) -> None:
    example = EXAMPLES[heading]
    assert tuple(connect(built).sql(example.query).columns) == example.columns


def test_a_sample_tells_how_many_rows_it_stands_for(query: Query) -> None:
    sampled = [row for row in query(query_about("sampling really keep")) if row["recipe"] == "standard"]
    offered = query(
        "select user_segment, sum(if(acted = 1, 1, 1 / logging_probability)) as num_rows, sum(acted) as num_acted "
        "from marts.examples where traffic = 'policy' or user_slice = 'train' group by user_segment"
    )
    # Every row with an action is kept, so its number is exact; that of all rows is an estimate.
    assert {row["user_segment"]: round(row["acted_in_sample"] * row["kept"]) for row in sampled} == {
        row["user_segment"]: row["num_acted"] for row in offered
    }
    num_rows = sum(row["num_rows"] for row in offered)
    assert sum(row["kept"] for row in sampled) < num_rows - 30
    assert sum(row["stand_for"] for row in sampled) == pytest.approx(num_rows, rel=0.15)


def test_the_rates_of_a_stratum_are_those_of_all_its_days(query: Query) -> None:
    days = query("select * from marts.sampling_audit")
    rows = query(query_about("keep what it was asked to"))
    assert rows
    for row in rows:
        of_it = [day for day in days if (day["recipe"], day["stratum"]) == (row["recipe"], row["stratum"])]
        negatives = sum(day["negatives_in"] for day in of_it)
        assert row["realised"] == pytest.approx(sum(day["negatives_out"] for day in of_it) / negatives)
        assert row["intended"] == pytest.approx(
            sum(day["negatives_in"] * day["intended_keep"] for day in of_it) / negatives
        )


def test_the_newest_day_can_be_asked_for_in_one_query(query: Query) -> None:
    """Delta's own answer to `max(day)` from a table's log failed in such a subquery (delta issue 4201)."""
    rows = query("select day from marts.examples_v1 where day = (select max(day) from marts.examples_v1)")
    assert {row["day"] for row in rows} == {row["day"] for row in query("select max(day) as day from marts.examples")}


def test_label_rates_are_those_of_the_examples(query: Query) -> None:
    rows = query(query_about("label rates"))
    counted = query("select day, traffic, avg(clicked) as rate from marts.examples group by all order by traffic, day")
    assert [(row["day"], row["clicked_rate"]) for row in rows] == [(row["day"], row["rate"]) for row in counted]
    policy = [row for row in rows if row["traffic"] == "policy"]
    assert policy[1]["week_average"] == pytest.approx((policy[0]["clicked_rate"] + policy[1]["clicked_rate"]) / 2)


@pytest.mark.usefixtures("history")
def test_what_blocked_a_release_is_named_and_nothing_else(query: Query) -> None:
    rows = query(query_about("blocked"))
    assert [(row["release_id"], row["criterion"]) for row in rows] == [("bad", "auc"), ("bad", "pcoc")]


@pytest.mark.usefixtures("history")
def test_after_a_revert_the_inputs_are_those_of_the_release_put_back(query: Query, built: Home) -> None:
    rows = query(query_about("trained on"))
    table = pin("marts.training_examples", home=built)
    assert [(row["release_id"], row["relation"], row["version"], row["rows"]) for row in rows] == [
        ("good", "marts.b", 5, None),
        ("good", "marts.training_examples", table.version, 11),
    ]
    assert {row["in_production_since"].timestamp() for row in rows} == {
        datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp()
    }


def test_two_versions_differ_where_rows_came_went_and_changed(query: Query) -> None:
    query("create schema if not exists analysts")
    query("drop table if exists analysts.examples_v1")
    query("create table analysts.examples_v1 using delta as select * from marts.examples_v1 where position < 3")
    first, second, third = (f"day = date '2026-01-0{day}'" for day in (1, 2, 3))
    query(f"delete from analysts.examples_v1 where {first} and position = 2")
    query(f"update analysts.examples_v1 set acted = 1 - acted where {second} and surface = 'mail'")
    query(f"insert into analysts.examples_v1 select * from marts.examples_v1 where {third} and position = 3")
    statement = query_about("two versions").replace("marts.examples_v1", "analysts.examples_v1")
    num_rows = {
        number: query(f"select count(*) as n from marts.examples_v1 where {condition}")[0]["n"]
        for number, condition in (
            (1, f"{first} and position = 2"),
            (2, f"{second} and position < 3 and surface = 'mail'"),
            (3, f"{third} and position = 3"),
        )
    }
    assert min(num_rows.values()) > 10
    assert [(row["gone"], row["relabelled"], row["added"]) for row in query(statement)] == [
        (num_rows[1], 0, 0),
        (0, num_rows[2], 0),
        (0, 0, num_rows[3]),
    ]


def test_the_terminal_answers(built: Home, tmp_path: Path) -> None:
    done = run_console("From the terminal", environment={"STILLHOUSE_HOME": str(built.root)}, folder=tmp_path)
    assert "training_examples" in done.stdout
    audit = pl.read_csv(tmp_path / "audit.csv")
    assert audit.height == connect(built).table("marts.sampling_audit").count()


def test_pyspark_answers_through_spark_connect(built: Home, tmp_path: Path, query: Query) -> None:
    # Python takes what it is told for a program, and starts no shell, unless it believes that a person types.
    environment = server.environment(built) | {"PYSPARK_DRIVER_PYTHON_OPTS": "-i"}
    done = run_console("PySpark", environment=environment, folder=tmp_path)
    counts = dict(re.findall(r"\| *(\w+)\| *(\d+)\|", done.stdout))
    rows = query("select user_segment, count(*) as n from marts.training_examples group by user_segment")
    assert counts == {row["user_segment"]: str(row["n"]) for row in rows}


def test_beeline_answers_through_jdbc(built: Home, tmp_path: Path, query: Query) -> None:
    done = run_console("Any JDBC client", environment=server.environment(built), folder=tmp_path)
    (counted,) = re.findall(r"\| *(\d+) *\|", done.stdout)
    assert int(counted) == query("select count(*) as n from marts.training_examples")[0]["n"]


def test_polars_and_deltalake_read_the_version_that_is_named_without_the_lake(
    built: Home, tmp_path: Path, query: Query
) -> None:
    (tmp_path / "var").symlink_to(built.root)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    programs = {"polars": blocks[0], "deltalake": blocks[1]}
    said = {name: run([sys.executable, "-c", program], folder=tmp_path) for name, program in programs.items()}
    rows = query(
        "select user_segment, count(*) as n, avg(clicked) as clicked from marts.training_examples version as of 0 "
        "group by user_segment"
    )
    shown = re.findall(r"│ (\w+) +┆ (\d+) +┆ ([\d.]+)", said["polars"].stdout)
    assert {segment: int(number) for segment, number, _ in shown} == {row["user_segment"]: row["n"] for row in rows}
    assert {segment: float(rate) for segment, _, rate in shown} == pytest.approx(
        {row["user_segment"]: row["clicked"] for row in rows}, abs=1e-5
    )
    assert said["deltalake"].stdout.startswith(f"{sum(row['n'] for row in rows)} ")


def test_polars_reads_every_published_table_as_spark_does(built: Home) -> None:
    # Deletion vectors, which a table must not have, are what readers of the files stumble over.
    spark = connect(built)
    for table in ("examples_v1", "training_examples", "random_slice", "sampling_audit"):
        here = pin(f"marts.{table}", home=built)
        read = pl.read_delta(here.path, version=here.version).select(pl.exclude("item_categories"))
        asked = pl.from_arrow(spark.sql(f"select * from marts.{table} version as of {here.version}").toArrow())
        assert isinstance(asked, pl.DataFrame)
        assert_frame_equal(
            read, asked.select(read.columns), check_row_order=False, check_dtypes=False, check_exact=True
        )


def test_dbt_s_pages_describe_every_column_that_people_read_and_none_that_is_not_there(
    built: Home, tmp_path: Path
) -> None:
    environment = server.environment(built) | {"DBT_TARGET_PATH": str(tmp_path)}
    run_dbt("docs", "generate", "--target", "prod", environment=environment)
    assert (tmp_path / "index.html").stat().st_size > 10**6
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    catalog = json.loads((tmp_path / "catalog.json").read_text())
    assert catalog["errors"] is None
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    for model in models:
        found = set(catalog["nodes"][model["unique_id"]]["columns"])
        described = {name for name, column in model["columns"].items() if column["description"]}
        assert described <= found, model["name"]
        # A model between the layers passes most columns on and describes what it adds.
        assert described == found or model["schema"] == "intermediate", model["name"]
    assert manifest["docs"]["doc.stillhouse.__overview__"]["block_contents"].startswith("# From logs to training sets")


def run_console(door: str, *, environment: dict[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the commands that the page shows for a way in: `$` in a shell, `>>>` as what the last of them is told.

    `environment` stands for what the page takes from `stillhouse env`.
    """
    (block,) = re.findall(rf"\*\*{door}.*?```console\n(.*?)```", PAGE, flags=re.DOTALL)
    lines = block.replace(".venv/bin/", f"{BIN}/").splitlines()
    commands = [line[2:] for line in lines if line.startswith("$ ") and not line.startswith("$ eval ")]
    told = "".join(f"{line[4:]}\n" for line in lines if line.startswith(">>> "))
    assert commands
    return run(["bash", "-ec", "\n".join(commands)], folder=folder, environment=environment, told=told)


def run(
    command: list[str], *, folder: Path, environment: dict[str, str] | None = None, told: str = ""
) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        input=told,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def query_about(words: str) -> str:
    """The query under the one heading of the page with these words."""
    (found,) = (example.query for heading, example in EXAMPLES.items() if words in heading)
    return found
