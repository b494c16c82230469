"""Production after somebody was forgotten: its next build passes every test of its data and finds nothing of them."""

import json
from typing import Any

import pyarrow.compute as pc
import pytest
from conftest import run_dbt

from lakehouse import guard, server
from lakehouse.home import Home
from lakehouse.versions import pin, read
from orchestration.forgetting import forget
from tests.planted_joins import DATA_TESTS

pytestmark = pytest.mark.lake

USER = "u3"
BUILT = ("+examples_v1", "+random_slice", "+user_states", "+item_states")
CONSERVED = ("rows_are_conserved_from_raw_to_examples", "ingest_accounts_for_every_line")


@pytest.fixture(scope="module")
def forgotten(built: Home) -> Home:
    """The lake after a user was forgotten, and one more build."""
    gone = forget({USER}, home=built, on_progress=lambda _: None)
    assert {"marts.examples_v1", "marts.user_states", "raw.exposures"} <= {held.relation for held in gone.tables}
    chosen = (*BUILT, *DATA_TESTS, *CONSERVED)
    run_dbt(
        "build",
        "--target",
        "prod",
        "--indirect-selection",
        "empty",
        "--select",
        *chosen,
        environment=server.environment(built),
    )
    return built


def test_its_next_build_passes_what_holds_features_and_counts_against_the_rows(forgotten: Home) -> None:
    results: list[dict[str, Any]] = json.loads((forgotten.dbt / "target" / "run_results.json").read_text())["results"]
    passed = {result["unique_id"].split(".")[2] for result in results if result["status"] == "pass"}
    assert passed == {*DATA_TESTS, *CONSERVED}


def test_no_build_brings_them_back(forgotten: Home) -> None:
    for relation, _ in guard.tables(forgotten):
        table = read(pin(relation, home=forgotten))
        if "user_id" in table.column_names:
            assert table.filter(pc.field("user_id") == USER).num_rows == 0, relation
