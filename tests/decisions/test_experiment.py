"""Experiments: boundaries against published tables and simulation, lifts against plain formulas, and the verdicts."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from decisions.experiment import (
    Compared,
    ExperimentPlan,
    Look,
    Moments,
    analyse,
    boundaries,
    check_sample_ratio,
    lift,
)

FIRST = date(2026, 1, 5)
PLAN = ExperimentPlan(primary="rate", first_day=FIRST, days=4)
USERS = 2_000


def users(*, seed: int, lifted: float = 0.0, size: int = USERS) -> np.ndarray:
    """Rows of y, n, x, m: the rate is .2 on average, and differs between users as much before as after."""
    chance = np.random.default_rng(seed)
    rates = chance.beta(2, 8, size)
    requests, before = chance.poisson(10, size) + 1, chance.poisson(10, size)
    now = chance.binomial(requests, np.minimum(rates * (1 + lifted), 1))
    return np.stack([now, requests, chance.binomial(before, rates), before], axis=1).astype(float)


def compared(*, seed: int = 1, lifted: float = 0.0) -> Compared:
    return Compared(
        treatment=Moments.of(users(seed=2 * seed, lifted=lifted)), control=Moments.of(users(seed=2 * seed + 1))
    )


def look(day: int, found: Compared, *, treatment_users: int = USERS) -> Look:
    return Look(
        day=FIRST + timedelta(days=day),
        treatment_users=treatment_users,
        control_users=USERS,
        metrics={"rate": {"all": found, "new": found, "known": found}},
    )


def grown(*lifts: float) -> list[Look]:
    """A look a day, each of more users than the one before, and of a lift that may change."""
    found = []
    for number, lifted in enumerate(lifts):
        size = 500 * (number + 1)
        arms = [users(seed=seed, lifted=of, size=2_000)[:size] for seed, of in ((1, lifted), (2, 0.0))]
        found.append(look(number, Compared(treatment=Moments.of(arms[0]), control=Moments.of(arms[1]))))
    return found


@pytest.mark.parametrize(
    ("num_looks", "level", "published"),
    [
        # Jennison and Turnbull, and the packages ldbounds and gsDesign, give these.
        (1, 0.05, [1.96]),
        (2, 0.05, [2.963, 1.969]),
        (3, 0.05, [3.710, 2.511, 1.993]),
        (5, 0.05, [4.877, 3.357, 2.680, 2.290, 2.031]),
    ],
)
def test_boundaries_are_those_of_published_tables(num_looks: int, level: float, published: list[float]) -> None:
    fractions = [(number + 1) / num_looks for number in range(num_looks)]
    assert boundaries(fractions, fractions, level=level) == pytest.approx(published, abs=0.002)


def test_boundaries_of_uneven_looks_are_passed_with_the_level_in_a_simulation() -> None:
    fractions, information = [0.1, 0.5, 0.6, 1.0], [1.0, 6.0, 6.03, 20.0]
    limits = boundaries(fractions, information, level=0.2)
    steps = np.sqrt(np.diff([0.0, *information]))
    sums = (np.random.default_rng(3).normal(size=(200_000, 4)) * steps).cumsum(axis=1)
    passed = (np.abs(sums / np.sqrt(information)) > limits).any(axis=1).mean()
    assert passed == pytest.approx(0.2, abs=0.005)


def test_a_look_that_adds_nothing_leaves_the_level_to_the_next() -> None:
    assert boundaries([0.5, 1.0], [0.0, 5.0], level=0.05)[0] == np.inf
    found = boundaries([0.25, 0.5, 1.0], [4.0, 3.9, 8.0], level=0.05)
    assert all(np.isfinite(found))
    assert 1.96 < found[-1] < 2.05


@pytest.mark.parametrize("fractions", [[0.5, 0.5], [0.5, 1.2], [0.0, 1.0]])
def test_looks_that_do_not_rise_within_the_plan_are_refused(fractions: list[float]) -> None:
    with pytest.raises(ValueError, match="rise"):
        boundaries(fractions, [1.0, 2.0], level=0.05)


def test_a_lift_is_that_of_the_plain_formulas_over_users() -> None:
    treated, control = users(seed=4, lifted=0.1), users(seed=5)
    found = lift(Compared(treatment=Moments.of(treated), control=Moments.of(control)))
    assert found is not None

    def linear(rows: np.ndarray, y: int, n: int) -> np.ndarray:
        of = rows[:, y].sum() / rows[:, n].sum()
        residuals: np.ndarray = (rows[:, y] - of * rows[:, n]) / rows[:, n].mean()
        return residuals

    now, before = ([linear(rows, *columns) for rows in (treated, control)] for columns in ((0, 1), (2, 3)))
    theta = sum(np.cov(one, other)[0, 1] / len(one) for one, other in zip(now, before, strict=True))
    theta /= sum(one.var(ddof=1) / len(one) for one in before)
    rates = [rows[:, 0].sum() / rows[:, 1].sum() for rows in (treated, control)]
    befores = [rows[:, 2].sum() / rows[:, 3].sum() for rows in (treated, control)]
    expected = (rates[0] - rates[1] - theta * (befores[0] - befores[1])) / rates[1]
    assert found.lift == pytest.approx(expected, rel=1e-9)
    parts = [now[0] - theta * before[0], (1 + expected) * now[1] - theta * before[1]]
    variance = sum(one.var(ddof=1) / len(one) for one in parts)
    assert found.error == pytest.approx(np.sqrt(variance) / rates[1], rel=1e-6)


def test_what_is_known_from_before_narrows_the_interval_and_moves_nothing_on_average() -> None:
    found = [lift(compared(seed=seed, lifted=0.1)) for seed in range(60)]
    lifts, errors = np.array([[one.lift, one.error] for one in found if one]).T
    assert lifts.mean() == pytest.approx(0.1, abs=3 * lifts.std() / np.sqrt(60))
    assert lifts.std() == pytest.approx(errors.mean(), rel=0.3)
    assert all(one is not None and one.variance_removed > 0.2 for one in found)


def test_users_of_whom_nothing_is_known_are_compared_as_they_are() -> None:
    treated, control = (users(seed=seed) * [1, 1, 0, 0] for seed in (6, 7))
    found = lift(Compared(treatment=Moments.of(treated), control=Moments.of(control)))
    assert found is not None
    assert found.lift == pytest.approx(found.treatment / found.control - 1)
    assert found.variance_removed == 0


@pytest.mark.parametrize("spoil", [lambda rows: rows[:1], lambda rows: rows * 0, lambda rows: rows * [0, 1, 1, 1]])
def test_a_lift_that_is_undefined_is_none_and_gives_no_verdict(spoil: Callable[[np.ndarray], np.ndarray]) -> None:
    broken = Compared(treatment=Moments.of(users(seed=8)), control=Moments.of(spoil(users(seed=9))))
    assert lift(broken) is None
    result = analyse([look(3, broken)], plan=PLAN)
    assert (result.verdict, result.reason) == (None, "rate is undefined at the end of the plan")
    json.dumps(result.to_json(), allow_nan=False)


def test_a_difference_is_a_verdict_as_soon_as_the_rule_allows_and_stays_one() -> None:
    better = analyse(grown(0.0, 0.4, 0.4), plan=PLAN)
    assert better.verdict == "better"
    # The verdict rests on the first look that allows one, whatever comes later.
    assert analyse(grown(0.0, 0.4, 0.0), plan=PLAN).reason == better.reason
    assert analyse(grown(0.0, 0.0, -0.4), plan=PLAN).verdict == "worse"


def test_without_a_difference_there_is_no_verdict_before_the_end() -> None:
    early = analyse(grown(0.0, 0.0, 0.0), plan=PLAN)
    assert (early.verdict, early.reason.endswith("the plan has 4 days")) == (None, True)
    assert analyse(grown(0.0, 0.0, 0.0, 0.0), plan=PLAN).verdict == "no difference seen"


def test_a_lucky_early_look_is_no_verdict() -> None:
    """Beyond 1.96 standard errors, where a single test would speak, but not beyond what a first of four looks needs."""
    [first] = grown(0.2)
    found = lift(first.metrics["rate"]["all"])
    assert found is not None
    assert found.lift > 1.96 * found.error
    assert analyse([first], plan=PLAN).verdict is None


def test_unequal_arms_void_any_verdict() -> None:
    looks = grown(0.4, 0.4, 0.4, 0.4)
    assert analyse(looks, plan=PLAN).verdict == "better"
    voided = analyse([replace(looks[0], treatment_users=1_500), *looks[1:]], plan=PLAN)
    assert (voided.verdict, voided.sample_ratio.alarm) == (None, True)
    assert voided.reason.startswith("sample ratio: treatment has 1,500 of 3,500 users")


def test_segments_share_the_level_of_everybody() -> None:
    found = {one.segment: one for one in analyse([look(3, compared(lifted=0.1))], plan=PLAN).comparisons}
    widths = {name: (one.upper or 0) - (one.lower or 0) for name, one in found.items()}
    # Φ⁻¹(1 − .0125) / Φ⁻¹(1 − .025), in a single look of the same users.
    assert widths["new"] / widths["all"] == pytest.approx(2.2414 / 1.96, rel=1e-3)


def test_a_sample_ratio_alarms_seldom_and_surely() -> None:
    chance = np.random.default_rng(10)

    def alarms(share: float) -> float:
        treated = chance.binomial(4_000, share, (1_000, 14)).cumsum(axis=1)
        users = 4_000 * np.arange(1, 15)
        return float(
            np.mean(
                [
                    any(
                        check_sample_ratio(int(one), int(all_ - one), share=0.5, level=0.005).alarm
                        for one, all_ in zip(row, users, strict=True)
                    )
                    for row in treated
                ]
            )
        )

    assert alarms(0.5) <= 0.01
    assert alarms(0.485) >= 0.99


def test_looks_are_replayed_from_their_record() -> None:
    looks = grown(0.0, 0.1, 0.1, 0.1)
    record = json.loads(json.dumps([one.to_json() for one in looks]))
    assert analyse([Look.from_json(one) for one in record], plan=PLAN) == analyse(looks, plan=PLAN)


def test_looks_outside_the_plan_or_out_of_order_are_refused() -> None:
    looks = grown(0.0, 0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="later than the one before"):
        analyse(looks[::-1], plan=PLAN)
    with pytest.raises(ValueError, match="outside the plan"):
        analyse(looks, plan=replace(PLAN, days=3))
    with pytest.raises(ValueError, match="no figures of 'all'"):
        analyse(looks, plan=replace(PLAN, primary="dwell"))
