"""Target dev: tables of one's own, production read and never written; and what recipes keep of the same rows."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Tried

pytestmark = pytest.mark.lake
Query = Callable[[str], list[dict[str, Any]]]


def test_a_dev_build_touches_no_production_table(tried: Tried) -> None:
    assert len(tried.before) > 15
    assert tried.after == tried.before


def test_a_dev_build_and_an_analyst_s_queries_do_not_disturb_each_other(tried: Tried) -> None:
    assert tried.answers.errors == ""
    assert len(tried.answers.counts) > 5


@pytest.mark.usefixtures("tried")
def test_dev_reads_production_for_what_it_did_not_build(query: Query) -> None:
    schemas = {row["namespace"] for row in query("show schemas")}
    assert "dev_somebody_marts" in schemas
    assert "examples_v1" not in {row["tableName"] for row in query("show tables in dev_somebody_marts")}


@pytest.mark.usefixtures("tried")
def test_the_same_recipe_over_the_same_version_keeps_the_same_rows(query: Query) -> None:
    production = "table marts.training_examples"
    in_dev = "select * from dev_somebody_marts.training_examples where recipe = 'standard'"
    difference = query(f"({production} except all {in_dev}) union all ({in_dev} except all {production})")
    assert difference == []


@pytest.mark.usefixtures("tried")
def test_a_smaller_recipe_keeps_a_subset_and_every_row_with_an_action(query: Query) -> None:
    rows = query("select recipe, event_id from dev_somebody_marts.training_examples")
    standard, leaner = ({row["event_id"] for row in rows if row["recipe"] == name} for name in ("standard", "leaner"))
    acted = {
        row["event_id"]
        for row in query(
            "select event_id from marts.examples where acted = 1 and (traffic = 'policy' or user_slice = 'train')"
        )
    }
    assert acted < leaner < standard
