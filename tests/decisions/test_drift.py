"""Drift on days whose rows are drawn from known distributions, and the p-values against SciPy's."""

from dataclasses import fields, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from scipy.stats import f, kstwo

from decisions.days import LEVELS_L, DayFigures, FeatureFigures, ValueFigures, cumulative
from decisions.drift import CHANGE, KS, SHIFT, VARIATION, Distance, distances, drifts, p_value, usual_of

FIRST, ROWS = date(2026, 1, 5), 5_000
Days = dict[date, DayFigures]


def a_day(number: int, chance: np.random.Generator, *, level: float = 0.0, rate: float = 0.1) -> DayFigures:
    numbers = {f"number_{index}": chance.normal(level, 1, ROWS) for index in range(20)}
    words = {f"word_{index}": chance.multinomial(ROWS, [0.5, 0.3, 0.15, 0.05]) for index in range(5)}
    features = {
        name: FeatureFigures(kind="numeric", quantiles_L=np.quantile(of, LEVELS_L)) for name, of in numbers.items()
    }
    features |= {
        name: FeatureFigures(
            kind="categorical",
            distinct_values=4,
            values={f"v{place}": ValueFigures(examples=int(one), acted=0) for place, one in enumerate(counts)},
        )
        for name, counts in words.items()
    }
    counts: dict[str, Any] = {field.name: 0 for field in fields(DayFigures) if field.type in (int, float)}
    clicks = int(chance.binomial(ROWS, rate))
    return DayFigures(
        day=FIRST + timedelta(days=number),
        positives={"click": clicks},
        features=features,
        **counts | {"examples": ROWS, "users": ROWS, "acted": clicks},
    )


@pytest.fixture(scope="module")
def days() -> Days:
    chance = np.random.default_rng(1)
    made = [a_day(number, chance) for number in range(70)]
    return {one.day: one for one in made}


def drifted(days: Days, day: date) -> dict[str, str]:
    known = {one: distances(figures, days) for one, figures in days.items()}
    return {one.name: one.measure for one in drifts(day, known) if one.drifted}


def test_days_of_one_distribution_seldom_drift(days: Days) -> None:
    """One day in a hundred may; two of fourteen would be a fault."""
    known = {one: distances(figures, days) for one, figures in days.items()}
    alarms = {day for day in list(days)[-14:] for one in drifts(day, known) if one.drifted}
    assert len(alarms) <= 1


def test_a_feature_that_moved_is_named_and_no_other(days: Days) -> None:
    last = max(days)
    moved = days[last].features["number_3"]
    features = {**days[last].features, "number_3": replace(moved, quantiles_L=moved.quantiles_L + 0.15)}
    assert drifted({**days, last: replace(days[last], features=features)}, last).keys() == {"number_3"}


def test_words_and_rates_that_moved_are_named(days: Days) -> None:
    last = max(days)
    values = {"v0": 2_000, "v1": 2_000, "v2": 750, "v3": 250}
    word = FeatureFigures(
        kind="categorical", values={name: ValueFigures(examples=count, acted=0) for name, count in values.items()}
    )
    changed = replace(days[last], features={**days[last].features, "word_0": word}, positives={"click": 900})
    assert drifted({**days, last: changed}, last) == {"word_0": VARIATION, "action click": CHANGE}


def test_a_quarter_more_of_an_action_lies_as_far_as_a_quarter_less(days: Days) -> None:
    last = max(days)
    usual = sum(days[last - timedelta(weeks=week)].positives["click"] for week in range(1, 5)) / 4
    up, down = (
        distances(replace(days[last], positives={"click": round(usual * factor)}), days)["action click"][CHANGE].effect
        for factor in (1.25, 0.75)
    )
    assert up == pytest.approx(0.25, abs=0.003)
    assert down == pytest.approx(-0.25, abs=0.003)


def test_an_action_is_judged_among_actions_and_not_among_all_features() -> None:
    """Beside 500 features that did nothing, such a p-value would be no discovery."""
    chance = np.random.default_rng(3)
    effects = [*chance.normal(0, 0.05, 40).tolist(), 0.22]
    quiet = {f"number_{index}": {KS: Distance(measure=KS, effect=0.01, score=0.5)} for index in range(500)}
    known = {
        FIRST + timedelta(days=number): {
            "action click": {CHANGE: Distance(measure=CHANGE, effect=effect, score=(effect / 0.05) ** 2)},
            **quiet,
        }
        for number, effect in enumerate(effects)
    }
    today = max(known)
    (first, *_) = drifts(today, known)
    assert (first.name, first.drifted) == ("action click", True)
    assert 0.0005 < first.p_value < 0.005


def test_a_rate_that_rises_slowly_is_a_trend_and_no_drift() -> None:
    chance = np.random.default_rng(2)
    made = [a_day(number, chance, rate=0.05 * 1.01**number) for number in range(70)]
    days = {one.day: one for one in made}
    assert "action click" not in drifted(days, max(days))


def test_one_broken_day_does_not_hide_the_next(days: Days) -> None:
    """A day ten deviations off is not what is usual."""
    last = max(days)

    def shifted(day: date, by: float) -> DayFigures:
        moved = {
            name: replace(one, quantiles_L=one.quantiles_L + by) if name == "number_0" else one
            for name, one in days[day].features.items()
        }
        return replace(days[day], features=moved)

    before = last - timedelta(days=2)
    broken = {**days, before: shifted(before, 10.0), last: shifted(last, 0.3)}
    assert "number_0" in drifted(broken, last)


def test_without_two_weeks_before_it_a_day_is_not_judged(days: Days) -> None:
    few = dict(list(days.items())[:27])
    known = {one: distances(figures, few) for one, figures in few.items()}
    assert known[max(few)]
    assert drifts(max(few), known) == []
    assert distances(few[FIRST + timedelta(days=10)], few) == {}


@pytest.mark.parametrize("ratio", [0.5, 2.0, 6.0])
def test_with_many_past_days_the_p_value_is_that_of_the_known_distribution(ratio: float) -> None:
    usual = [Distance(measure=CHANGE, effect=0.1, score=1.0)] * 5_000
    assert p_value(Distance(measure=CHANGE, effect=0.1, score=ratio), usual) == pytest.approx(
        float(f.sf(ratio, 1, 5_000)), rel=1e-9
    )
    # Of Kolmogorov's variable the mean square is π² / 12.
    scaled = [replace(one, measure=KS, score=np.pi**2 / 12) for one in usual]
    exact = float(kstwo.sf(np.sqrt(6 * np.pi**2 / 12 / 1e6), 10**6))
    assert p_value(Distance(measure=KS, effect=0.1, score=6 * np.pi**2 / 12), scaled) == pytest.approx(exact, rel=0.02)


def test_what_lies_far_beyond_the_others_is_not_usual() -> None:
    past = [Distance(measure=SHIFT, effect=0.1, score=1.0)] * 9
    odd = Distance(measure=SHIFT, effect=2.0, score=400.0)
    assert usual_of([*past, odd]) == past
    assert usual_of([]) == []


def test_a_distribution_with_atoms_is_known_on_either_side_of_them() -> None:
    numbers = np.repeat([0.0, 1.0, 5.0], [600, 300, 100])
    quantiles_L = np.sort(numbers)[np.clip(np.ceil(LEVELS_L * 1_000).astype(int) - 1, 0, 999)]
    below, up_to = cumulative(quantiles_L, np.array([-1.0, 0.0, 1.0, 5.0, 6.0]))
    assert below == pytest.approx([0, 0, 0.6, 0.9, 1], abs=0.006)
    assert up_to == pytest.approx([0, 0.6, 0.9, 1, 1], abs=0.006)
