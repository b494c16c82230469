"""The tables of raw and ops on a lake: their definition and appends from Python."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lakehouse import ops
from lakehouse.home import Home
from lakehouse.landing import STREAMS
from lakehouse.versions import pin, read

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.lake


@pytest.fixture(autouse=True)
def tables(spark: "SparkSession") -> None:
    ops.create_tables(spark)


def test_tables_are_created_once_with_their_properties(spark: "SparkSession", lake_home: Home) -> None:
    before = {name: pin(name, home=lake_home).data_version for name in ops.TABLES}
    ops.create_tables(spark)
    assert {name: pin(name, home=lake_home).data_version for name in ops.TABLES} == before
    for name, table in ops.TABLES.items():
        configuration = DeltaTable(pin(name, home=lake_home).path).metadata().configuration
        assert configuration.items() >= ops.PROPERTIES.items()
        assert {field.name: field.metadata["comment"] for field in spark.table(name).schema} == {
            column.name: column.comment for column in table.columns
        }


def test_raw_tables_hold_the_columns_of_the_contract(spark: "SparkSession") -> None:
    for stream in STREAMS.values():
        types = {field.name: field.dataType.simpleString().upper() for field in spark.table(stream.table).schema}
        assert {column.name: types[column.name] for column in stream.columns} == {
            column.name: column.spark_type for column in stream.columns
        }


def test_appended_rows_arrive_by_name_and_only_once_with_a_key(spark: "SparkSession", lake_home: Home) -> None:
    rows = pa.table(
        {
            "event_id": ["e1", "e2"],
            "logits": pa.array(
                [[("click", 0.5)], [("click", -1.0), ("save", 2.0)]], pa.map_(pa.string(), pa.float64())
            ),
            "release_id": ["ops-test", "ops-test"],
        }
    )
    key = ("release_id", "event_id")
    ops.append(spark, "ops.teacher_scores", rows, home=lake_home, key=key)
    once = pin("ops.teacher_scores", home=lake_home)
    ops.append(spark, "ops.teacher_scores", rows, home=lake_home, key=key)
    assert pin("ops.teacher_scores", home=lake_home) == once
    more = pa.concat_tables([rows, rows.slice(0, 1).set_column(0, "event_id", [["e3"]])])
    ops.append(spark, "ops.teacher_scores", more, home=lake_home, key=key)
    there = read(pin("ops.teacher_scores", home=lake_home)).to_pylist()
    assert sorted((row["event_id"], dict(row["logits"])) for row in there if row["release_id"] == "ops-test") == [
        ("e1", {"click": 0.5}),
        ("e2", {"click": -1.0, "save": 2.0}),
        ("e3", {"click": 0.5}),
    ]
    assert list(lake_home.exchange.iterdir()) == []


def test_rows_take_the_place_of_those_with_their_value_and_of_no_others(spark: "SparkSession", lake_home: Home) -> None:
    def replace(recipe: str, events: list[str]) -> None:
        rows = pa.table({"event_id": pa.array(events, pa.string()), "recipe": pa.array([recipe] * len(events))})
        rows = rows.set_column(1, "recipe", rows["recipe"].cast(pa.string()))
        ops.replace(spark, "ops.sampled_rows", rows, home=lake_home, column="recipe", value=recipe)

    replace("ops-test", ["e1", "e2"])
    replace("it's", ["e1"])
    replace("ops-test", ["e2", "e3"])
    there = read(pin("ops.sampled_rows", home=lake_home), columns=["recipe", "event_id"]).to_pylist()
    assert sorted((row["recipe"], row["event_id"]) for row in there) == [
        ("it's", "e1"),
        ("ops-test", "e2"),
        ("ops-test", "e3"),
    ]
    replace("ops-test", [])
    replace("it's", [])
    assert read(pin("ops.sampled_rows", home=lake_home)).num_rows == 0
    with pytest.raises(ValueError, match=r"rows have \['other'\] in recipe; all must have 'ops-test'"):
        ops.replace(
            spark,
            "ops.sampled_rows",
            pa.table({"event_id": ["e1"], "recipe": ["other"]}),
            home=lake_home,
            column="recipe",
            value="ops-test",
        )


def test_times_keep_their_instant_and_absent_columns_are_null(spark: "SparkSession", lake_home: Home) -> None:
    at = datetime(2026, 1, 31, 12, 0, 0, 250, tzinfo=UTC)
    rows = pa.table({"release_id": ["ops-times"], "at": pa.array([at], pa.timestamp("ns", tz="UTC"))})
    ops.append(spark, "ops.releases", rows, home=lake_home)
    [row] = spark.table("ops.releases").where("release_id = 'ops-times'").collect()
    assert (row["at"].replace(tzinfo=UTC), row.metrics) == (at, None)


def test_a_table_or_column_that_is_not_ours_is_named(spark: "SparkSession", lake_home: Home) -> None:
    with pytest.raises(ValueError, match=r"table is 'ops\.gossip'; it must be one of"):
        ops.append(spark, "ops.gossip", pa.table({"a": [1]}), home=lake_home)
    with pytest.raises(ValueError, match=r"rows names \['colour'\]; ops\.releases has the columns"):
        ops.append(spark, "ops.releases", pa.table({"colour": [1]}), home=lake_home)
