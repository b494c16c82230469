"""Labels and features of a whole build against going through everything that happened, row by row."""

from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from deltalake import DeltaTable
from tiny_world import World, expected_labels, known_before, recent_items_before, segment_before

from lakehouse.home import PROJECT, Home
from lakehouse.session import connect
from tests.planted_joins import GROUPS, Plant, compiled, faults

pytestmark = pytest.mark.lake
Query = Callable[[str], list[dict[str, Any]]]


def test_examples_are_the_seen_exposures_of_closed_windows_with_their_labels(query: Query, world: World) -> None:
    rows = query("select event_id, acted from marts.examples")
    assert {row["event_id"]: row["acted"] for row in rows} == expected_labels(world)


def test_every_feature_is_what_was_known_strictly_before(query: Query, world: World) -> None:
    knobs = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    exposures = {row["event_id"]: row for row in world.exposures}
    rows = query("select * from marts.examples")
    assert len(rows) > 700
    for row in rows:
        expected = known_before(
            world,
            exposures[row["event_id"]],
            weight=knobs["click_rate_prior_weight"],
            start_rate=knobs["click_rate_at_start"],
        )
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-12)
        assert row["user_segment"] == segment_before(world, exposures[row["event_id"]])
        expected_items = recent_items_before(world, exposures[row["event_id"]], num=knobs["recent_clicks"])
        assert row["user_recent_items"] == expected_items


@pytest.mark.parametrize("plants", GROUPS, ids=["states of items", "all others"])
def test_a_join_shifted_into_the_future_is_named_by_a_data_test(built: Home, plants: tuple[Plant, ...]) -> None:
    # The clean joins passed the same tests when the lake was built. `make bench NAME=planted_leaks` plants hundreds.
    found = faults(connect(built), compiled(built.dbt / "prod" / "compiled"), plants)
    named = set().union(*found.values())
    assert [plant.name for plant in plants if not plant.features & named] == []


def test_every_candidate_of_random_traffic_is_in_the_random_slice(query: Query, world: World) -> None:
    closed = {row["event_id"][:-2] for row in query("select event_id from marts.examples")}
    expected = {
        row["event_id"] for row in world.exposures if row["traffic"] == "random" and row["event_id"][:-2] in closed
    }
    assert {row["event_id"] for row in query("select event_id from marts.random_slice")} == expected


def test_inside_a_file_rows_with_an_action_come_first_and_the_others_by_draw(built: Home) -> None:
    table = DeltaTable(str(built.warehouse / "marts.db" / "examples_v1"))
    files = [pq.ParquetFile(file).read(columns=["acted", "draw"]).to_pylist() for file in table.file_uris()]
    assert sum(map(len, files)) > 700
    for rows in files:
        keys = [(-row["acted"], row["draw"]) for row in rows]
        assert keys == sorted(keys)


def test_tables_with_many_rows_a_day_are_partitioned_by_day_and_the_others_find_their_days_by_statistics(
    built: Home,
) -> None:
    layers = [built.warehouse / f"{layer}.db" for layer in ("intermediate", "marts", "monitoring")]
    tables = {log.parent.name: DeltaTable(str(log.parent)) for layer in layers for log in layer.glob("*/_delta_log")}
    by_day, has_statistics = set(), {}
    for name, table in tables.items():
        columns = [field.name for field in table.schema().fields]
        num_with_statistics = int(table.metadata().configuration.get("delta.dataSkippingNumIndexedCols", 32))
        if table.metadata().partition_columns == ["day"]:
            by_day.add(name)
        elif "day" in columns:
            has_statistics[name] = columns.index("day") < num_with_statistics
    assert by_day == {
        "examples_v1",
        "int_engagements_deduplicated",
        "int_exposures_conflicts",
        "int_exposures_deduplicated",
        "int_exposures_joined_to_categories",
        "int_exposures_joined_to_items",
        "int_exposures_joined_to_users",
        "int_exposures_labelled",
        "int_items_by_day",
        "int_requests_answered",
        "int_requests_by_user",
        "int_requests_deduplicated",
        "int_user_categories_by_day",
        "int_users_by_day",
        "random_slice",
    }
    assert len(by_day) + len(has_statistics) > 15
    assert [name for name, found in has_statistics.items() if not found] == []
