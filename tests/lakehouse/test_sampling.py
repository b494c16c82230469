"""Sampling while reading, over Delta tables written by delta-rs: against going through the rows one by one; no JVM."""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import WriterProperties, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.home import Home
from lakehouse.recipes import Recipe
from lakehouse.sampling import RatesError, files_of_rank, open_sample, read_random_keep, read_sample, sample_filter
from lakehouse.versions import Pin, open_dataset, pin
from tests.random_recipes import random_recipe

Row = dict[str, Any]
DAYS = [date(2026, 1, 1) + timedelta(days=day) for day in range(6)]
VALUES = {
    "surface": ("home", "mail"),
    "content_type": ("audio", "video"),
    "user_segment": ("devoted", "regular"),
    "country": ("NO", "SE"),
    "traffic": ("policy", "random"),
}
AGES = (0.0, 40.0)
NUM_ROWS, ROWS_IN_GROUP = 6000, 50
# An example that every recipe keeps.
KEPT_ROW = {
    "day": DAYS[0],
    "acted": 1,
    "draw": 0.5,
    "traffic": "policy",
    "user_slice": "train",
    "logging_probability": 1.0,
    "item_age_days": 1.0,
    "surface": "home",
    "content_type": "audio",
    "user_segment": "devoted",
    "country": "NO",
}


def make_rows() -> list[Row]:
    """Examples in prefix order, with nulls where the contract allows them."""
    chance = random.Random(5)
    rows = []
    for number in range(NUM_ROWS):
        is_random = chance.random() < 0.1
        rows.append(
            {
                "event_id": f"e{number}",
                "day": chance.choice(DAYS),
                "acted": int(chance.random() < 0.05),
                "draw": chance.random(),
                "traffic": "random" if is_random else "policy",
                "user_slice": chance.choice(("train", "train", "evaluate")),
                "logging_probability": 1.0 if is_random else chance.choice((0.1, 0.7, 1.0)),
                "item_age_days": None if chance.random() < 0.2 else chance.uniform(-1, 50),
                **{name: chance.choice(values) for name, values in VALUES.items() if name != "traffic"},
            }
        )
    return sorted(rows, key=lambda row: (row["day"], -row["acted"], row["draw"]))


def stratum_of(row: Row, recipe: Row) -> str | None:
    """What docs/features.md says in words, for one row."""
    is_random = row["traffic"] == "random"
    if is_random and row["user_slice"] != "train":
        return None
    for rule in recipe["rules"]:
        value = row[rule["column"]]
        if rule["column"] == "item_age_days":
            low, high = rule.get("at_least", float("-inf")), rule.get("below", float("inf"))
            met = value is not None and low <= value < high
        else:
            met = value in rule["in"]
        if met and (rule["column"] == "traffic" or not is_random):
            return str(rule["name"])
    if is_random:
        return "random_traffic" if recipe["random_traffic"]["share"] > 0 else None
    return "otherwise"


def expected_sample(rows: list[Row], recipe: Row, *, random_keep: dict[date, float]) -> dict[str, Row]:
    keeps = {rule["name"]: rule["keep"] for rule in recipe["rules"]} | {"otherwise": recipe["otherwise"]}
    sample = {}
    for row in rows:
        stratum = stratum_of(row, recipe)
        if stratum is None:
            continue
        keep = random_keep[row["day"]] if stratum == "random_traffic" else keeps[stratum]
        if row["acted"] or row["draw"] < keep:
            negative = row["logging_probability"] * keep
            sample[row["event_id"]] = {
                **row,
                "recipe": "tried",
                "stratum": stratum,
                "keep_probability": 1.0 if row["acted"] else negative,
                "negative_keep_probability": negative,
            }
    return sample


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return make_rows()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("sampling"))


@pytest.fixture(scope="module")
def examples(home: Home, rows: list[Row]) -> Pin:
    """The rows as six files of a day each, in row groups of fifty."""
    properties = WriterProperties(max_row_group_size=ROWS_IN_GROUP, data_page_row_count_limit=ROWS_IN_GROUP)
    path = home.warehouse / "marts.db" / "examples_v1"
    path.mkdir(parents=True)
    write_deltalake(path, pa.Table.from_pylist(rows), partition_by=["day"], writer_properties=properties)
    return pin("marts.examples_v1", home=home)


def write_rates(home: Home, recipe: Row, *, random_keep: dict[date, float], name: str = "tried") -> Pin:
    """A table of rates in which every day has every stratum of the recipe."""
    keeps = {rule["name"]: rule["keep"] for rule in recipe["rules"]} | {"otherwise": recipe["otherwise"]}
    definition = Recipe.from_json(name, recipe).definition
    rates = [
        {"day": day, "recipe": name, "stratum": stratum, "sampling_keep": keep, "definition": definition}
        for day, random_keep_of_day in random_keep.items()
        for stratum, keep in {**keeps, "random_traffic": random_keep_of_day}.items()
    ]
    path = home.warehouse / "marts.db" / "sampling_rates"
    path.mkdir(parents=True, exist_ok=True)
    write_deltalake(path, pa.Table.from_pylist(rates), mode="overwrite", schema_mode="overwrite")
    return pin("marts.sampling_rates", home=home)


def plain_recipe(**change: Any) -> Row:
    return {"materialised": False, "rules": [], "otherwise": 0.1, "random_traffic": {"share": 0.2}} | change


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_read_gives_the_rows_and_values_that_the_recipe_says(
    seed: int, home: Home, rows: list[Row], examples: Pin
) -> None:
    chance = random.Random(seed)
    recipe = random_recipe(chance, values=VALUES, ages=AGES)
    random_keep = {day: chance.choice((0.01, 0.3, 1.0, chance.uniform(0.01, 1))) for day in DAYS}
    rates = write_rates(home, recipe, random_keep=random_keep)
    found = read_sample(examples, recipe=Recipe.from_json("tried", recipe), rates=rates)
    assert found.num_rows == len(set(found["event_id"].to_pylist()))
    expected = expected_sample(rows, recipe, random_keep=random_keep)
    assert {row["event_id"]: row for row in found.to_pylist()} == expected


def test_a_recipe_survives_json() -> None:
    for seed in range(50):
        content = random_recipe(random.Random(seed), values=VALUES, ages=AGES)
        recipe = Recipe.from_json("tried", content)
        assert Recipe.from_json("tried", recipe.to_json()) == recipe


def test_chosen_columns_and_rows_come_in_the_order_asked_for(home: Home, rows: list[Row], examples: Pin) -> None:
    recipe, random_keep = plain_recipe(), dict.fromkeys(DAYS, 0.4)
    rates = write_rates(home, recipe, random_keep=random_keep)
    reader = open_sample(
        examples,
        recipe=Recipe.from_json("tried", recipe),
        rates=rates,
        columns=["stratum", "event_id"],
        where=pc.field("day") >= pa.scalar(DAYS[3]),
    )
    assert reader.schema.names == ["stratum", "event_id"]
    expected = expected_sample([row for row in rows if row["day"] >= DAYS[3]], recipe, random_keep=random_keep)
    found = {row["event_id"]: row["stratum"] for row in reader.read_all().to_pylist()}
    assert found == {event: row["stratum"] for event, row in expected.items()}


def test_a_column_that_was_added_later_is_null_in_older_files(home: Home, rows: list[Row]) -> None:
    path = home.warehouse / "marts.db" / "widened"
    path.mkdir(parents=True)
    older, newer = ([row for row in rows if (row["day"] in DAYS[:3]) == early] for early in (True, False))
    write_deltalake(path, pa.Table.from_pylist(older))
    wider = pa.Table.from_pylist([row | {"colour": "red"} for row in newer])
    write_deltalake(path, wider, mode="append", schema_mode="merge")
    rates = write_rates(home, plain_recipe(), random_keep=dict.fromkeys(DAYS, 0.4))
    found = read_sample(
        pin("marts.widened", home=home),
        recipe=Recipe.from_json("tried", plain_recipe()),
        rates=rates,
        columns=["day", "colour"],
    )
    expected = expected_sample(rows, plain_recipe(), random_keep=dict.fromkeys(DAYS, 0.4)).values()
    colours = [(row["day"], "red" if row["day"] in DAYS[3:] else None) for row in expected]
    assert sorted(colours, key=str) == sorted(((row["day"], row["colour"]) for row in found.to_pylist()), key=str)


def test_words_come_as_codes_in_batches_and_written_out_in_a_table(home: Home, rows: list[Row], examples: Pin) -> None:
    recipe = Recipe.from_json("tried", plain_recipe())
    rates = write_rates(home, plain_recipe(), random_keep=dict.fromkeys(DAYS, 0.4))
    batches, table = (read(examples, recipe=recipe, rates=rates) for read in (open_sample, read_sample))
    coded = {field.name for field in batches.schema if pa.types.is_dictionary(field.type)}
    assert coded >= {*VALUES, "user_slice"}
    assert not any(pa.types.is_dictionary(field.type) for field in table.schema)
    assert batches.read_all().to_pylist() == table.to_pylist()


def test_a_column_whose_words_are_few_in_some_files_only_is_of_one_type(home: Home) -> None:
    few: list[Row] = [{**KEPT_ROW, "event_id": f"few{number}", "colour": "red"} for number in range(4000)]
    many: list[Row] = [{**KEPT_ROW, "event_id": f"many{number}", "colour": f"red-{number}"} for number in range(4000)]
    rates = write_rates(home, plain_recipe(), random_keep=dict.fromkeys(DAYS, 0.4))
    for first, second in ((few, many), (many, few)):
        path = home.warehouse / "marts.db" / f"first_{first[0]['event_id']}"
        path.mkdir(parents=True)
        write_deltalake(path, pa.Table.from_pylist(first))
        write_deltalake(path, pa.Table.from_pylist(second), mode="append")
        examples = pin(f"marts.{path.name}", home=home)
        found = open_sample(examples, recipe=Recipe.from_json("tried", plain_recipe()), rates=rates).read_all()
        assert sorted(found["colour"].to_pylist()) == sorted(row["colour"] for row in (*few, *many))


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 5])
def test_ranks_read_disjoint_files_and_together_everything(home: Home, examples: Pin, num_ranks: int) -> None:
    recipe = Recipe.from_json("tried", plain_recipe())
    rates = write_rates(home, plain_recipe(), random_keep=dict.fromkeys(DAYS, 0.4))
    whole = read_sample(examples, recipe=recipe, rates=rates)
    parts = [
        read_sample(examples, recipe=recipe, rates=rates, rank=rank, num_ranks=num_ranks) for rank in range(num_ranks)
    ]
    dataset = open_dataset(examples)
    files = [files_of_rank(dataset, rank=rank, num_ranks=num_ranks).files for rank in range(num_ranks)]
    assert sorted(chain.from_iterable(files)) == sorted(dataset.files)
    assert len(dataset.files) == len(DAYS)
    assert sum(part.num_rows for part in parts) == whole.num_rows
    assert pa.concat_tables(parts).sort_by("event_id") == whole.sort_by("event_id")


def row_groups(pinned: Pin, kept: pc.Expression | None) -> Iterator[int]:
    dataset = open_dataset(pinned)
    for fragment in dataset.get_fragments():
        yield len((fragment if kept is None else fragment.subset(kept, schema=dataset.schema)).row_groups)


def test_a_small_recipe_skips_most_row_groups_by_their_statistics(home: Home, examples: Pin) -> None:
    content = plain_recipe(otherwise=0.02, rules=[{"name": "mail", "column": "surface", "in": ["mail"], "keep": 0.1}])
    recipe = Recipe.from_json("tried", content)
    rates = write_rates(home, content, random_keep=dict.fromkeys(DAYS, 0.02))
    kept = sample_filter(recipe, random_keep=read_random_keep(rates, recipe=recipe))
    assert sum(row_groups(examples, None)) >= NUM_ROWS / ROWS_IN_GROUP
    # A day has 20 row groups: about one of rows with an action, two up to a draw of .1, and one at each border.
    assert sum(row_groups(examples, kept)) <= 5 * len(DAYS)


def test_one_day_that_keeps_all_random_traffic_costs_that_day_only(home: Home, examples: Pin) -> None:
    content = plain_recipe(otherwise=0.02)
    recipe = Recipe.from_json("tried", content)
    keep = {**dict.fromkeys(DAYS, 0.02), DAYS[0]: 1.0}
    rates = write_rates(home, content, random_keep=keep)
    kept = sample_filter(recipe, random_keep=read_random_keep(rates, recipe=recipe))
    assert 20 <= sum(row_groups(examples, kept)) <= 22 + 4 * len(DAYS)


BUSY: Row = {"name": "busy", "column": "surface", "in": ["home"], "keep": 0.3}
YOUNG: Row = {"name": "young", "column": "item_age_days", "below": 7, "keep": 0.3}


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"otherwise": 0.2}, {}),
        ({"random_traffic": {"share": 0.1}}, {}),
        # The same strata and probabilities, under other conditions.
        ({"rules": [BUSY]}, {"rules": [BUSY | {"in": ["mail"]}]}),
        ({"rules": [YOUNG]}, {"rules": [YOUNG | {"below": 8}]}),
        ({"rules": [YOUNG, BUSY]}, {"rules": [BUSY, YOUNG]}),
    ],
)
def test_rates_of_a_recipe_that_was_changed_since_are_refused(home: Home, examples: Pin, before: Row, now: Row) -> None:
    rates = write_rates(home, plain_recipe(**before), random_keep=dict.fromkeys(DAYS, 0.4))
    changed = Recipe.from_json("tried", plain_recipe(**now))
    with pytest.raises(RatesError, match=r"of the recipe 'tried', which states .*--selector sampling") as refused:
        read_sample(examples, recipe=changed, rates=rates)
    assert f"has {Recipe.from_json('tried', plain_recipe(**before)).definition} of" in str(refused.value)
    assert f"states {changed.definition}:" in str(refused.value)


def test_rates_without_the_recipe_are_refused(home: Home, examples: Pin) -> None:
    rates = write_rates(home, plain_recipe(), random_keep=dict.fromkeys(DAYS, 0.4))
    with pytest.raises(RatesError, match=r"marts\.sampling_rates at version \d+ has no row of the recipe 'another'"):
        read_sample(examples, recipe=Recipe.from_json("another", plain_recipe()), rates=rates)


def test_name_and_materialisation_do_not_change_a_definition() -> None:
    one = Recipe.from_json("one", plain_recipe(rules=[BUSY, YOUNG], materialised=True))
    assert one.definition == Recipe.from_json("other", plain_recipe(rules=[BUSY, YOUNG])).definition
    assert one.definition == (
        "[[['busy', 'surface', ['home'], None, None, 0.3], ['young', 'item_age_days', None, None, 7.0, 0.3]], 0.1, 0.2]"
    )


@pytest.mark.parametrize("missing", [DAYS[0], DAYS[3], DAYS[-1]])
def test_rates_that_lack_a_day_of_random_traffic_are_refused(home: Home, examples: Pin, missing: date) -> None:
    keep = {day: 0.4 for day in DAYS if day != missing}
    rates = write_rates(home, plain_recipe(), random_keep=keep)
    with pytest.raises(RatesError, match=f"lack random traffic of {missing}, which the examples have"):
        read_sample(examples, recipe=Recipe.from_json("tried", plain_recipe()), rates=rates)


def test_what_is_asked_wrongly_is_named(home: Home, examples: Pin) -> None:
    recipe = Recipe.from_json("tried", plain_recipe())
    rates = write_rates(home, plain_recipe(), random_keep=dict.fromkeys(DAYS, 0.4))
    with pytest.raises(ValueError, match=r"columns names \['colour'\]; a sample of marts\.examples_v1 has .*'stratum'"):
        read_sample(examples, recipe=recipe, rates=rates, columns=["colour"])
    with pytest.raises(ValueError, match="rank is 2 of 2 ranks"):
        read_sample(examples, recipe=recipe, rates=rates, rank=2, num_ranks=2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"otherwise": 0}, "recipe 'tried', 'otherwise' keeps 0"),
        ({"random_traffic": {"share": 1}}, "recipe 'tried' has a random share of 1"),
        ({"random_traffic": {}}, "recipe 'tried' lacks 'share'"),
        (
            {"rules": [{"name": "busy", "column": "item_age_days", "in": ["1"], "keep": 1}]},
            "recipe 'tried', rule 'busy' has column 'item_age_days'",
        ),
        (
            {"rules": [{"name": "busy", "column": "item_age_days", "keep": 1}]},
            "recipe 'tried', rule 'busy' must have either in, or at_least or below",
        ),
        (
            {"rules": [{"name": "otherwise", "column": "surface", "in": ["home"], "keep": 1}]},
            "recipe 'tried' has two strata of one name",
        ),
    ],
)
def test_a_recipe_that_would_be_misread_is_refused(content: Row, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Recipe.from_json("tried", plain_recipe(**content))
