"""Two recipes compared over small tables that delta-rs writes; no JVM."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from cli.compare import show
from lakehouse.home import Home
from lakehouse.recipes import Recipe
from lakehouse.sampling import RatesError
from lakehouse.versions import Pin
from orchestration.comparing import RecipeComparison, compare
from orchestration.plan import Plan
from ranker.metrics import auc
from tests.orchestration.small_releases import DATASET, SPEC, log, write

DAYS, ROWS_A_DAY = 28, 300
START = datetime(2026, 1, 5, tzinfo=UTC)
MOST = Recipe(name="most", materialised=False, rules=(), otherwise=0.9, random_share=0.0)
FEW = Recipe(name="few", materialised=False, rules=(), otherwise=0.02, random_share=0.0)


def examples() -> pa.Table:
    chance = np.random.default_rng(0)
    num_rows = DAYS * ROWS_A_DAY
    strength = chance.normal(size=num_rows)
    clicked = (chance.random(num_rows) < 1 / (1 + np.exp(2 - 1.5 * strength))).astype(int)
    times = [START + timedelta(days=row // ROWS_A_DAY) for row in range(num_rows)]
    return log(clicked, times=times, num_users=500, draw=chance.random(num_rows), strength=strength)


def rates() -> pa.Table:
    days = [(START + timedelta(days=day)).date() for day in range(DAYS)]
    rows = [
        {
            "day": day,
            "recipe": one.name,
            "stratum": "otherwise",
            "sampling_keep": one.otherwise,
            "definition": one.definition,
        }
        for one in (MOST, FEW)
        for day in days
    ]
    return pa.Table.from_pylist(rows)


def plan(recipe: Recipe, pins: tuple[Pin, Pin]) -> Plan:
    return Plan(
        partition="2026-01-26",
        dataset=DATASET,
        spec=SPEC,
        recipe=recipe,
        sampling=pins[0],
        examples=pins[1],
        teacher=None,
        teacher_scores=None,
    )


@pytest.fixture(scope="module")
def pins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pin, Pin]:
    home = Home(Path(tmp_path_factory.mktemp("comparing")))
    return write(home, "marts.sampling_rates", rates()), write(home, "marts.examples_v1", examples())


@pytest.fixture(scope="module")
def found(pins: tuple[Pin, Pin]) -> RecipeComparison:
    return compare(plan(MOST, pins), plan(FEW, pins))


def test_each_recipe_trains_on_what_it_keeps_and_both_are_judged_on_the_same_rows(found: RecipeComparison) -> None:
    table = examples()
    trains = table["served_at"].to_numpy() < np.datetime64("2026-01-19")
    acted, draw = table["acted"].to_numpy() == 1, table["draw"].to_numpy()
    for side, recipe in zip(found.sides, (MOST, FEW), strict=True):
        assert side.recipe == recipe.name
        assert side.rows == (trains & (acted | (draw < recipe.otherwise))).sum()
        assert side.bytes > 0
        assert side.report["rows"] == found.judged_rows == 7 * ROWS_A_DAY
        # The sampling is corrected row by row, and then calibrated: both recipes predict the level of all rows.
        assert side.report["actions"]["click"]["pcoc"] == pytest.approx(1, abs=0.15)


def test_differences_are_those_of_the_two_reports(found: RecipeComparison) -> None:
    first, second = (side.report["actions"]["click"] for side in found.sides)
    differences = found.differences["click"]
    for name in ("auc", "log_loss"):
        assert differences[name].estimate == pytest.approx(second[name] - first[name])
        low, high = differences[name].interval()
        assert low < differences[name].estimate < high
    strength = examples()["strength"].to_numpy()[-7 * ROWS_A_DAY :]
    best = auc(examples()["clicked"].to_numpy()[-7 * ROWS_A_DAY :].astype(float), strength)
    assert first["auc"] > best - 0.02


def test_what_is_shown_names_both_recipes_and_every_figure(found: RecipeComparison) -> None:
    text = StringIO()
    show(found, Console(file=text, width=120))
    shown = text.getvalue()
    for words in ("most", "few", "rows to train on", "MB read", "s to train", "auc of click", "PCOC of click", "[-"):
        assert words in shown


def test_rates_of_another_definition_are_refused(pins: tuple[Pin, Pin]) -> None:
    changed = Recipe(name="few", materialised=False, rules=(), otherwise=0.03, random_share=0.0)
    with pytest.raises(RatesError, match="it was changed since"):
        compare(plan(MOST, pins), plan(changed, pins))
