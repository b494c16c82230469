"""Target dev: tables of one's own, production read and never written; and what recipes keep of the same rows."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from conftest import run_dbt

from lakehouse import server
from lakehouse.home import PROJECT, Home
from lakehouse.session import connect
from lakehouse.versions import pin

pytestmark = pytest.mark.lake
Query = Callable[[str], list[dict[str, Any]]]
# Tried beside the recipes of the project.
LEANER = {"materialised": True, "rules": [], "otherwise": 0.01, "random_traffic": {"share": 0.02}}


def production_versions(home: Home) -> dict[str, str]:
    tables = [
        f"{schema}.{row.tableName}"
        for schema in ("raw", "ops", "intermediate", "marts", "monitoring")
        for row in connect(home).sql(f"show tables in {schema}").collect()
    ]
    versions = {}
    for table in tables:
        if (home.warehouse / f"{table.replace('.', '.db/')}" / "_delta_log").exists():
            versions[table] = pin(table, home=home).data_version
    return versions


@pytest.fixture(scope="module")
def developed(built: Home) -> tuple[dict[str, str], dict[str, str]]:
    """Production's versions before and after somebody tried a recipe in dev, on production's examples."""
    before = production_versions(built)
    recipes = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]["recipes"]
    chosen = json.dumps({"recipes": recipes | {"leaner": LEANER}})
    environment = server.environment(built) | {"STILLHOUSE_USER": "somebody"}
    run_dbt("build", "--selector", "sampling", "--vars", chosen, environment=environment)
    return before, production_versions(built)


def test_a_dev_build_touches_no_production_table(developed: tuple[dict[str, str], dict[str, str]]) -> None:
    before, after = developed
    assert len(before) > 15
    assert after == before


@pytest.mark.usefixtures("developed")
def test_dev_reads_production_for_what_it_did_not_build(query: Query) -> None:
    schemas = {row["namespace"] for row in query("show schemas")}
    assert "dev_somebody_marts" in schemas
    assert "examples_v1" not in {row["tableName"] for row in query("show tables in dev_somebody_marts")}


@pytest.mark.usefixtures("developed")
def test_the_same_recipe_over_the_same_version_keeps_the_same_rows(query: Query) -> None:
    production = "table marts.training_examples"
    tried = "select * from dev_somebody_marts.training_examples where recipe != 'leaner'"
    difference = query(f"({production} except all {tried}) union all ({tried} except all {production})")
    assert difference == []


@pytest.mark.usefixtures("developed")
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
