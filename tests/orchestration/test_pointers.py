"""The journal's word on arms and experiments, as SQL has it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lakehouse import ops
from lakehouse.dataset import Cadence
from lakehouse.home import Home
from lakehouse.versions import pin
from orchestration.pointers import publish_pointers
from registry import Holdouts, Registry
from tests.orchestration.small_releases import DATASET
from tests.registry.conftest import build_release

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.lake
TABLES = ("ops.pointers", "ops.experiments")


def promote(registry: Registry, day: str) -> str:
    files, lineage = build_release(day)
    release = registry.save(files, lineage=lineage).id
    holdouts = Holdouts(share=0.05, long_share=0)
    registry.promote(release, expected_version=registry.pointer().version, reason="good", holdouts=holdouts)
    return release


@pytest.fixture
def retrained(lake_home: Home) -> Iterator[Callable[[Cadence], None]]:
    """Says how often the log of the lake's home is retrained; others share that home."""
    yield lambda cadence: replace(DATASET, cadence=cadence).save(lake_home.landing)
    (lake_home.landing / "dataset.json").unlink()


def test_an_experiment_is_published_when_it_begins_and_when_it_ends_and_keeps_its_plan(
    spark: "SparkSession", lake_home: Home, tmp_path: Path, retrained: Callable[[Cadence], None]
) -> None:
    ops.create_tables(spark)
    registry = Registry(tmp_path)
    retrained("weekly")
    first, second = (promote(registry, day) for day in ("1998-01-05", "1998-01-12"))
    publish_pointers(registry, home=lake_home)
    before = [pin(table, home=lake_home) for table in TABLES]
    publish_pointers(registry, home=lake_home)
    assert [pin(table, home=lake_home) for table in TABLES] == before

    retrained("daily")
    third = promote(registry, "1998-01-19")
    publish_pointers(registry, home=lake_home)
    one, other = spark.table("ops.experiments").orderBy("first_pointer_version").collect()
    assert (one.treatment_release, one.control_release, one.last_pointer_version) == (second, first, 2)
    assert one.ended_at == other.began_at
    assert (other.treatment_release, other.control_release, other.ended_at) == (third, second, None)
    assert (one.planned_days, other.planned_days) == (7, 1)
    shown = spark.table("ops.pointers").where(f"production in ('{second}', '{third}')").collect()
    assert {row.pointer_version: (row.holdout_salt, row.holdout_share, row.canary) for row in shown} == {
        2: (f"holdout/{second}", 0.05, None),
        3: (f"holdout/{third}", 0.05, None),
    }
