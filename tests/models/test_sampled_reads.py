"""Recipes on the fly against the same recipes compiled to SQL: the same rows and values, over many random recipes."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from conftest import NUM_RANDOM, Tried
from tiny_world import TINY

from lakehouse.home import Home
from lakehouse.recipes import Recipe
from lakehouse.sampled_rows import write_sampled_rows
from lakehouse.sampling import read_sample
from lakehouse.session import connect
from lakehouse.versions import Pin, pin, read
from orchestration.plan import training_rows
from orchestration.retrain import plan, train

pytestmark = pytest.mark.lake
Query = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def recipes(tried: Tried) -> dict[str, Recipe]:
    return {name: Recipe.from_json(name, content) for name, content in tried.recipes.items()}


@pytest.fixture(scope="module")
def sampled(built: Home, tried: Tried) -> dict[str, pa.Table]:
    """What the SQL that dbt compiles keeps, by recipe."""
    rows = connect(built).table("dev_somebody_intermediate.int_examples_sampled").toArrow()
    return {name: rows.filter(pa.compute.equal(rows["recipe"], name)) for name in tried.recipes}


@pytest.fixture
def pins(built: Home, tried: Tried) -> dict[str, Pin]:
    tables = ("marts.examples_v1", "dev_somebody_marts.sampling_rates", "dev_somebody_marts.training_examples")
    return {relation.partition(".")[2]: pin(relation, home=built) for relation in tables}


def by_event(rows: pa.Table) -> dict[str, dict[str, Any]]:
    found = {row["event_id"]: row for row in rows.to_pylist()}
    assert len(found) == rows.num_rows
    return found


def test_a_read_keeps_the_rows_of_the_sql_for_every_recipe(
    recipes: dict[str, Recipe], sampled: dict[str, pa.Table], pins: dict[str, Pin]
) -> None:
    sizes = set()
    for name, recipe in recipes.items():
        found = read_sample(pins["examples_v1"], recipe=recipe, rates=pins["sampling_rates"])
        expected = sampled[name].select(found.schema.names)
        assert by_event(found) == by_event(expected), name
        sizes.add(found.num_rows)
    # The recipes differ, and none of them is the whole or nothing.
    assert len(sizes) > NUM_RANDOM / 2


def test_a_read_equals_the_table_in_columns_types_and_values(recipes: dict[str, Recipe], pins: dict[str, Pin]) -> None:
    materialised = [name for name, recipe in recipes.items() if recipe.materialised]
    assert len(materialised) > 3
    table = read(pins["training_examples"])
    assert set(table["recipe"].to_pylist()) == set(materialised)
    for name in materialised:
        found = read_sample(pins["examples_v1"], recipe=recipes[name], rates=pins["sampling_rates"]).sort_by("event_id")
        expected = table.filter(pa.compute.equal(table["recipe"], name)).sort_by("event_id")
        assert found.schema == expected.schema
        assert found.equals(expected), name


def test_two_recipes_can_be_compared_before_either_is_written(query: Query, sampled: dict[str, pa.Table]) -> None:
    rows = query(
        "select recipe, sum(rows_in) as rows_in, sum(rows_out) as rows_out from dev_somebody_marts.sampling_audit "
        "where recipe in ('written', 'unwritten') group by recipe"
    )
    assert len({(row["rows_in"], row["rows_out"]) for row in rows}) == 1
    assert {row["recipe"]: row["rows_out"] for row in rows} == {
        name: sampled[name].num_rows for name in ("written", "unwritten")
    }


def test_the_ledger_joined_to_the_examples_is_the_table(
    built: Home, query: Query, recipes: dict[str, Recipe], pins: dict[str, Pin]
) -> None:
    for _ in range(2):
        written = write_sampled_rows(
            pins["examples_v1"], recipe=recipes["unwritten"], rates=pins["sampling_rates"], home=built
        )
    [counted] = query("select count(*) as rows, count(distinct examples) as versions from ops.sampled_rows where kept")
    assert counted == {"rows": written, "versions": 1}
    difference = query(
        """
        with ledger as (
            select examples.*, sampled.stratum, sampled.keep_probability, sampled.negative_keep_probability
            from marts.examples_v1 as examples
            inner join ops.sampled_rows as sampled on examples.event_id = sampled.event_id
            where sampled.recipe = 'unwritten' and sampled.kept
        ),
        written as (
            select * except (recipe) from dev_somebody_marts.training_examples where recipe = 'written'
        )
        (select * from ledger except all select * from written)
        union all
        (select * from written except all select * from ledger)
        """
    )
    assert difference == []


def test_training_gives_the_same_weights_either_way(
    built: Home, recipes: dict[str, Recipe], pins: dict[str, Pin]
) -> None:
    TINY.save(built.landing)
    written, unwritten = (
        plan(
            "2025-12-29",
            recipe=recipes[name],
            sampling=pins[sampling],
            examples=pins["examples_v1"],
            random_slice=pin("marts.random_slice", home=built),
            home=built,
        )
        for name, sampling in (("written", "training_examples"), ("unwritten", "sampling_rates"))
    )
    rows = [training_rows(planned).table.drop_columns("recipe") for planned in (written, unwritten)]
    assert 100 < rows[0].num_rows < 700
    assert rows[0].equals(rows[1])
    ledger = read(pin("ops.sampled_rows", home=built), where=pa.compute.field("recipe") == "unwritten")
    assert set(ledger["event_id"].to_pylist()) == set(rows[1]["event_id"].to_pylist())

    first, second = train(written, home=built), train(unwritten, home=built)
    assert first.student == second.student
    relations = [[source.relation for source in candidate.inputs] for candidate in (first, second)]
    assert relations == [
        ["dev_somebody_marts.training_examples"],
        ["marts.examples_v1", "dev_somebody_marts.sampling_rates"],
    ]
