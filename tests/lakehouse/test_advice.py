"""The cost advisor: its arithmetic by hand, and its predictions beside what reading the same tables took."""

from pathlib import Path

import pytest

from lakehouse.advice import Advice, Cost, Costs, advise
from lakehouse.home import Home
from lakehouse.recipes import Recipe
from lakehouse.sampling import RatesError
from lakehouse.versions import PinError
from tests.delta_marts import DAYS, ROWS_OF_DAY, write_marts

TENTH = Recipe(name="tenth", materialised=True, rules=(), otherwise=0.1, random_share=0)
FIFTIETH = Recipe(name="fiftieth", materialised=False, rules=(), otherwise=0.02, random_share=0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("advice"))
    write_marts(home, [TENTH, FIFTIETH])
    return home


def costs(*, write_s: float, table_s: float, on_the_fly_s: float) -> Costs:
    return Costs(
        write_table=Cost(bytes=0, seconds=write_s),
        read_table=Cost(bytes=0, seconds=table_s),
        read_on_the_fly=Cost(bytes=0, seconds=on_the_fly_s),
    )


@pytest.mark.parametrize(("runs_per_month", "materialise"), [(9.9, False), (10, True), (40, True)])
def test_a_table_pays_once_a_month_of_runs_has_saved_a_month_of_writing(
    runs_per_month: float, materialise: bool
) -> None:
    # 60 days are written in 60 s, so a month's in 30; a run saves 4 − 1 = 3 s.
    both = costs(write_s=60, table_s=1, on_the_fly_s=4)
    advice = Advice(
        recipe="by_hand", rows=1, kept_rows=1, days=60, predicted=both, measured=both, runs_per_month=runs_per_month
    )
    assert advice.break_even_runs_per_month == pytest.approx(10)
    assert advice.materialise is materialise


def test_a_table_that_is_no_faster_to_read_never_pays() -> None:
    both = costs(write_s=60, table_s=4, on_the_fly_s=4)
    advice = Advice(recipe="by_hand", rows=1, kept_rows=1, days=60, predicted=both, measured=both, runs_per_month=1e6)
    assert advice.break_even_runs_per_month is None
    assert not advice.materialise


@pytest.mark.parametrize("recipe", [TENTH, FIFTIETH])
def test_bytes_are_predicted_from_sizes_and_rates_alone(home: Home, recipe: Recipe) -> None:
    advice = advise(recipe, home=home, runs_per_month=4)
    assert advice.rows == len(DAYS) * ROWS_OF_DAY
    assert advice.kept_rows == pytest.approx(advice.rows * (0.02 + 0.98 * recipe.otherwise), rel=0.02)
    assert advice.measured.read_on_the_fly.bytes == pytest.approx(advice.predicted.read_on_the_fly.bytes, rel=0.1)
    assert advice.measured.read_on_the_fly.seconds > 0
    if recipe.materialised:
        assert advice.measured.read_table is not None
        assert advice.predicted.read_table is not None
        assert advice.measured.read_table.bytes == pytest.approx(advice.predicted.read_table.bytes, rel=0.35)
    else:
        assert advice.measured.read_table is None


def test_what_cannot_be_advised_on_is_named(home: Home, tmp_path: Path) -> None:
    with pytest.raises(PinError, match=r"marts\.examples_v1 has no Delta table"):
        advise(TENTH, home=Home(tmp_path), runs_per_month=4)
    unknown = Recipe(name="unknown", materialised=False, rules=(), otherwise=0.1, random_share=0)
    with pytest.raises(RatesError, match="has no row of the recipe 'unknown'"):
        advise(unknown, home=home, runs_per_month=4)
    with pytest.raises(ValueError, match="runs_per_month is 0; it must be more than 0"):
        advise(TENTH, home=home, runs_per_month=0)
