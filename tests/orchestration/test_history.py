"""What the registry keeps for good, as SQL sees it."""

from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse import ops
from lakehouse.home import Home
from orchestration.history import publish_history
from registry import Registry
from tests.registry.conftest import build_release

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_an_override_is_a_row_of_the_gate_and_of_the_releases(
    spark: "SparkSession", lake_home: Home, tmp_path: Path
) -> None:
    ops.create_tables(spark)
    registry = Registry(tmp_path)
    files, lineage = build_release(
        "1998-01-05", 1, **{"gate.json": b'{"verdict": "block"}', "metrics.json": b'{"summary": {"auc": 0.7}}'}
    )
    release = registry.save(files, lineage=lineage).id
    registry.override(release, by="Mei", reason="the segment was renamed")
    for _ in range(2):
        publish_history(registry, home=lake_home)
    [row] = spark.table("ops.gate_decisions").where(f"release_id = '{release}'").collect()
    assert (row.criterion, row.status, row.verdict) == ("override", "pass", "block")
    assert row.reason == "Mei: the segment was renamed"
    events = spark.table("ops.releases").where(f"release_id = '{release}'").collect()
    assert {one.event: one.reason for one in events} == {
        "saved": "trained without a teacher",
        "overridden": "the segment was renamed",
        "promoted": "block, overridden by Mei: the segment was renamed",
    }
