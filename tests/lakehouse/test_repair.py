"""Tables that the catalogue lacks are named, registered or removed, and vacuum leaves them alone; on a real lake."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from cli.main import stillhouse
from lakehouse import guard, repair
from lakehouse.guard import TableFault, check_tables
from lakehouse.home import Home
from lakehouse.vacuum import vacuum
from lakehouse.versions import pin, read
from lakehouse.writer import WriterBusy, writing

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.lake
SCHEMA = "repair_test"


@pytest.fixture
def tables(spark: "SparkSession", lake_home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a schema with one table of three versions, `whole`; all of it is gone after the test."""
    monkeypatch.setattr(guard, "REGISTERED_WITHIN_S", 0.1)
    spark.sql(f"create schema if not exists {SCHEMA}")
    spark.sql(
        f"create table {SCHEMA}.whole (id bigint, word string) using delta partitioned by (word) "
        "comment 'of a test' tblproperties ('delta.enableExpiredLogCleanup' = 'false')"
    )
    for row in ("1, 'a b'", "2, 'c/d'"):
        spark.sql(f"insert into {SCHEMA}.whole values ({row})")
    yield lake_home.warehouse / f"{SCHEMA}.db"
    spark.sql(f"drop schema {SCHEMA} cascade")
    shutil.rmtree(lake_home.warehouse / f"{SCHEMA}.db", ignore_errors=True)
    shutil.rmtree(lake_home.warehouse / "ops.db" / "half_made", ignore_errors=True)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(stillhouse, list(arguments), catch_exceptions=False)


def orphan(tables: Path, name: str, *, commits: int | None = None) -> Path:
    """What a create leaves that was killed before its registration: a folder with a log, and no entry."""
    shutil.copytree(tables / "whole", tables / name)
    for path in (tables / name / "_delta_log").iterdir():
        if commits is not None and path.is_file() and int(path.name.lstrip(".")[:20]) >= commits:
            path.unlink()
    return tables / name


def facts(spark: "SparkSession", relation: str) -> dict[str, str]:
    rows = spark.sql(f"describe extended {relation}").collect()
    names = ("Type", "Comment", "# Partition Information", "Table Properties")
    return {row.col_name: row.data_type for row in rows if row.col_name in names}


def test_a_table_without_an_entry_is_named_before_a_build_and_registered_as_it_was(
    spark: "SparkSession", lake_home: Home, tables: Path
) -> None:
    folder = orphan(tables, "lost")
    lost = pin(f"{SCHEMA}.lost", home=lake_home)
    with pytest.raises(TableFault, match=rf"^{SCHEMA}\.lost has a Delta log at .* and no entry .*`stillhouse repair"):
        invoke("env")
    listed = invoke("repair")
    assert listed.exit_code == 1
    assert listed.output.startswith(f"{SCHEMA}.lost has a Delta log at {folder} and no entry in the catalogue")
    with writing(lake_home, "dbt build"), pytest.raises(WriterBusy, match="dbt build writes the lake"):
        invoke("repair", f"{SCHEMA}.lost")

    assert invoke("repair", f"{SCHEMA}.lost").output == f"{SCHEMA}.lost: registered with the content of its version 2\n"
    assert sorted(map(tuple, spark.table(f"{SCHEMA}.lost").collect())) == [(1, "a b"), (2, "c/d")]
    assert facts(spark, f"{SCHEMA}.lost") == facts(spark, f"{SCHEMA}.whole")
    assert facts(spark, f"{SCHEMA}.lost")["Type"] == "MANAGED"
    assert read(lost).num_rows == 2
    check_tables(lake_home, spark)
    spark.sql(f"drop table {SCHEMA}.lost")
    assert not folder.exists()


def test_a_table_without_an_entry_can_be_removed_and_vacuum_leaves_it_alone(
    spark: "SparkSession", lake_home: Home, tables: Path
) -> None:
    folder = orphan(tables, "unwanted")
    shown = invoke("vacuum", "--dry-run", "--older-than", "1")
    assert f"{SCHEMA}.whole" in shown.stdout
    assert f"{SCHEMA}.unwanted" not in shown.stdout
    assert f"Left alone: {SCHEMA}.unwanted has a Delta log" in shown.stderr
    invoke("repair", f"{SCHEMA}.unwanted", "--remove")
    assert not folder.exists()
    check_tables(lake_home, spark)
    with pytest.raises(repair.NotRepaired, match="nothing is wrong with"):
        invoke("repair", f"{SCHEMA}.whole")


def test_what_nobody_can_have_seen_heals_by_itself_and_the_rest_waits_for_a_person(
    spark: "SparkSession", lake_home: Home, tables: Path
) -> None:
    unseen, seen, leftover = orphan(tables, "unseen", commits=1), orphan(tables, "seen"), tables / "leftover"
    leftover.mkdir()
    (leftover / "part-0.parquet").write_bytes(b"PAR1")
    empty = lake_home.warehouse / "ops.db" / "half_made"
    (empty / "_delta_log").mkdir(parents=True)
    (empty / "_delta_log" / f".{0:020}.json.d4160bb8.tmp").write_text("{}")
    with pytest.raises(TableFault, match=r"holds files without a commit: a create of ops\.half_made was killed"):
        check_tables(lake_home, spark)
    assert sorted(repair.heal(lake_home, spark)) == [
        f"ops.half_made: {empty} was deleted",
        f"{SCHEMA}.unseen: registered with the content of its version 0",
    ]
    assert spark.table(f"{SCHEMA}.unseen").count() == 0
    with pytest.raises(TableFault) as error:
        check_tables(lake_home, spark)
    assert [line.partition(" ")[0] for line in str(error.value).splitlines()] == [f"{SCHEMA}.seen"]
    with pytest.raises(repair.NotRepaired, match="--remove` deletes them"):
        invoke("repair", f"{SCHEMA}.leftover")
    for name in ("seen", "leftover"):
        invoke("repair", f"{SCHEMA}.{name}", "--remove")
    assert not any(folder.exists() for folder in (seen, leftover))
    assert unseen.exists()
    check_tables(lake_home, spark)


@pytest.mark.parametrize("name", ["builds", "late_row_counts"])
def test_a_half_made_table_that_a_build_makes_plainly_is_named_before_it(
    spark: "SparkSession", lake_home: Home, tables: Path, name: str
) -> None:
    relation, half_made = f"{SCHEMA}_monitoring.{name}", lake_home.warehouse / f"{SCHEMA}_monitoring.db" / name
    spark.sql(f"create schema {SCHEMA}_monitoring")
    try:
        (half_made / "_delta_log").mkdir(parents=True)
        (half_made / "_delta_log" / f".{0:020}.json.d4160bb8.tmp").write_text("{}")
        with pytest.raises(Exception, match="is not empty and also not a Delta table"):
            spark.sql(f"create table if not exists {relation} (id bigint) using delta")
        with pytest.raises(TableFault, match=f"`stillhouse repair {relation} --remove` deletes them"):
            invoke("env")
        invoke("repair", relation, "--remove")
        spark.sql(f"create table if not exists {relation} (id bigint) using delta")
        check_tables(lake_home, spark)
    finally:
        spark.sql(f"drop schema {SCHEMA}_monitoring cascade")
        shutil.rmtree(half_made, ignore_errors=True)


def test_a_repair_that_was_interrupted_is_named_and_ended(
    spark: "SparkSession", lake_home: Home, tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan(tables, "torn_away")
    with monkeypatch.context() as patch:
        patch.setattr(repair, "_restore", lambda *_, **__: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            invoke("repair", f"{SCHEMA}.torn_away")
    with pytest.raises(TableFault, match=r"repair_test\.torn_away: its repair was interrupted at version 3"):
        check_tables(lake_home)
    invoke("repair", f"{SCHEMA}.torn_away")
    assert spark.table(f"{SCHEMA}.torn_away").count() == 2
    check_tables(lake_home, spark)


def test_spark_reads_on_after_a_vacuum_of_what_it_wrote(spark: "SparkSession", lake_home: Home, tables: Path) -> None:
    relation, pins = f"{SCHEMA}.whole", [pin(f"{SCHEMA}.whole", home=lake_home)]
    spark.sql(f"insert into {relation} by name replace where word = 'a b' select 3 as id, 'a b' as word")
    pins.append(pin(relation, home=lake_home))
    spark.sql(f"create or replace table {relation} using delta as select 4 as id, 'ü' as word")
    pins.append(pin(relation, home=lake_home))
    others = [path for other, path in guard.tables(lake_home) if other != relation]
    [done] = vacuum(lake_home, keep=[pins[0]], older_than_days=0, leave=others)
    assert (done.kept_versions, done.num_files) == ((pins[0].version,), 1)
    assert pin(relation, home=lake_home) == pins[2]
    assert [sorted(read(one)["id"].to_pylist()) for one in (pins[0], pins[2])] == [[1, 2], [4]]
    assert [row.id for row in spark.table(relation).collect()] == [4]
    before = spark.sql(f"select id from {relation} version as of {pins[0].version} order by id").collect()
    assert [row.id for row in before] == [1, 2]
    assert len([path for path in (tables / "whole").rglob("*.parquet") if "_delta_log" not in path.parts]) == 3
