"""Simulated experiments with 14 looks: false verdicts, coverage, width, power, sample ratios. (8 minutes)

In each, 10,000 users of very different activity and taste make requests for 14 days; from 14 days before, most of them
are known. Half are treated, and a look follows each day. Beside the analysis a naive one: a t-test of the same rates by
user at every look, without what is known from before. The planted lifts and numbers of users were chosen on seeds from
10,000 on; judged are seeds from 0 on.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from multiprocessing import get_context

# One thread a process: NumPy's own would wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.special import expit, ndtri
from scipy.stats import binomtest

from benchmarks._figures import Figure, report
from benchmarks._shares import Share
from decisions.experiment import Compared, ExperimentPlan, Look, Moments, analyse, check_sample_ratio
from simulator.chance import generator

PLAN = ExperimentPlan(primary="rate", first_day=date(2026, 1, 5))
USERS, KNOWN = 10_000, 0.8
REQUESTS_A_DAY, RATE_LOGIT, TASTE, DWELL_SECONDS = 1.5, -2.9, 0.8, 30.0
NULL, LIFT = 0.0, 0.08
NORMAL = float(-ndtri(PLAN.level / 2))
SAMPLE_USERS, SKEWED_SHARE = 56_000, 0.485


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Of one experiment: the verdict; whether each metric's intervals held the truth at all looks; of the last look
    the interval's half-width over that of a single look, the half-width, and the variance removed; whether the naive
    t-test saw a difference at any look, and at the last; and whether the sample ratio alarmed."""

    verdict: str | None
    covered: Mapping[str, bool]
    width_ratio: float
    half_width: float
    variance_removed: float
    naive: bool
    naive_at_the_end: bool
    alarm: bool


def experiment(seed: int, *, lift: float) -> Outcome:
    looks = looks_of(seed, lift=lift)
    result = analyse(looks, plan=PLAN)
    covered = {
        metric: all(
            one.lower <= lift <= one.upper
            for one in result.comparisons
            if one.metric == metric and one.lower is not None and one.upper is not None
        )
        for metric in looks[0].metrics
    }
    naive = [naive_t_test(look.metrics[PLAN.primary]["all"]) for look in looks]
    last = [one for one in result.comparisons if one.metric == PLAN.primary][-1]
    assert last.upper is not None
    assert last.lift is not None
    assert last.error is not None
    assert last.variance_removed is not None
    return Outcome(
        verdict=result.verdict,
        covered=covered,
        width_ratio=(last.upper - last.lift) / (NORMAL * last.error),
        half_width=last.upper - last.lift,
        variance_removed=last.variance_removed,
        naive=any(naive),
        naive_at_the_end=naive[-1],
        alarm=result.sample_ratio.alarm,
    )


def looks_of(seed: int, *, lift: float) -> list[Look]:
    """The experiment's days, cumulated by user."""
    chance = generator(seed, "experiment", int(1_000 * lift))
    activity_U = REQUESTS_A_DAY * chance.gamma(0.7, 1 / 0.7, USERS)
    rate_U = expit(RATE_LOGIT + TASTE * chance.normal(size=USERS))
    treated_U = chance.random(USERS) < PLAN.treatment_share
    known_U = chance.random(USERS) < KNOWN
    m_U = chance.poisson(PLAN.days * activity_U) * known_U
    x_U = chance.binomial(m_U, rate_U)
    before_dwell_U = dwell(chance, x_U)
    requests_DU = chance.poisson(activity_U, (PLAN.days, USERS))
    engaged_DU = chance.binomial(requests_DU, np.minimum(rate_U * (1 + lift * treated_U), 1))
    n_DU, y_DU, dwell_DU = (one.cumsum(axis=0) for one in (requests_DU, engaged_DU, dwell(chance, engaged_DU)))
    looks = []
    for number in range(PLAN.days):
        metrics = {}
        for metric, y_U, before_U in (("rate", y_DU[number], x_U), ("dwell", dwell_DU[number], before_dwell_U)):
            values_U4 = np.stack([y_U, n_DU[number], before_U, m_U], axis=1).astype(float)
            seen_U = n_DU[number] > 0
            treatment, control = (Moments.of(values_U4[seen_U & arm_U]) for arm_U in (treated_U, ~treated_U))
            metrics[metric] = {"all": Compared(treatment=treatment, control=control)}
        looks.append(
            Look(
                day=PLAN.first_day + timedelta(days=number),
                treatment_users=treatment.users,
                control_users=control.users,
                metrics=metrics,
            )
        )
    return looks


def dwell(chance: np.random.Generator, engaged: np.ndarray) -> np.ndarray:
    """Seconds, exponential for each engagement."""
    return DWELL_SECONDS * chance.standard_gamma(np.maximum(engaged, 1e-9)) * (engaged > 0)


def naive_t_test(compared: Compared) -> bool:
    """Whether the rates differ at 5 % by users' own rates, as if this were the only look."""
    rates, variances = [], []
    for arm in (compared.treatment, compared.control):
        rate = arm.sums[0] / arm.sums[1]
        squares = arm.products[0][0] - 2 * rate * arm.products[0][1] + rate**2 * arm.products[1][1]
        rates.append(rate)
        variances.append(squares / arm.sums[1] ** 2)
    return bool(abs(rates[0] - rates[1]) > NORMAL * np.sqrt(sum(variances)))


def sample_ratio(seed: int, *, share: float) -> tuple[bool, bool]:
    """Whether 56,000 users who come over 14 days alarm at any look, and whether a binomial test of each look does."""
    chance = generator(seed, "sample ratio", int(1_000 * share))
    treated_D = chance.binomial(SAMPLE_USERS // PLAN.days, share, PLAN.days).cumsum()
    found = [False, False]
    for number, treated in enumerate(treated_D.tolist(), start=1):
        users = number * (SAMPLE_USERS // PLAN.days)
        ratio = check_sample_ratio(treated, users - treated, share=PLAN.treatment_share, level=PLAN.sample_ratio_level)
        found[0] |= ratio.alarm
        found[1] |= bool(binomtest(treated, users, PLAN.treatment_share).pvalue < PLAN.sample_ratio_level)
    return found[0], found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=2_000)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.experiments)
    print(f"seeds {seeds.start} to {seeds.stop - 1}")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        outcomes = {
            lift: list(processes.map(partial(experiment, lift=lift), seeds, chunksize=20)) for lift in (NULL, LIFT)
        }
        ratios = {
            share: list(processes.map(partial(sample_ratio, share=share), seeds, chunksize=100))
            for share in (PLAN.treatment_share, SKEWED_SHARE)
        }
    show(outcomes)
    report("experiment", [*of_null(outcomes[NULL]), *of_lift(outcomes[LIFT]), *of_sample_ratios(ratios)])


def of_null(found: Sequence[Outcome]) -> list[Figure]:
    false = Share.where(one.verdict in ("better", "worse") for one in found)
    naive = Share.where(one.naive for one in found)
    return [
        Figure(
            figure=f"A/A: a verdict at any of {PLAN.days} looks ({false}); baseline a t-test at each",
            ours=false.value,
            baseline=naive.value,
            goal="≤ .063, baseline > .15",
            holds=false.value <= 0.063 and naive.value > 0.15,
        )
    ]


def of_lift(found: Sequence[Outcome]) -> list[Figure]:
    figures = [
        Figure(
            figure=f"lift of {LIFT:.0%} inside the interval of {metric} at all looks ({covered})",
            ours=covered.value,
            baseline=1 - PLAN.level,
            goal="≥ .94",
            holds=covered.value >= 0.94,
        )
        for metric in found[0].covered
        for covered in [Share.where(one.covered[metric] for one in found)]
    ]
    width = float(np.max([one.width_ratio for one in found]))
    power = Share.where(one.verdict == "better" for one in found)
    return [
        *figures,
        Figure(
            figure="half-width at the last look over that of a single look, largest",
            ours=width,
            baseline=1,
            goal="≤ 1.1",
            holds=width <= 1.1,
        ),
        Figure(
            figure=f"power for a lift of {LIFT:.0%} with {USERS:,} users ({power}); baseline one t-test at the end",
            ours=power.value,
            baseline=Share.where(one.naive_at_the_end for one in found).value,
            goal="≥ .8",
            holds=power.value >= 0.8,
        ),
    ]


def of_sample_ratios(found: Mapping[float, Sequence[tuple[bool, bool]]]) -> list[Figure]:
    false, naive_false = (Share.where(one[place] for one in found[PLAN.treatment_share]) for place in range(2))
    right, naive_right = (Share.where(one[place] for one in found[SKEWED_SHARE]) for place in range(2))
    return [
        Figure(
            figure=f"sample ratio: false alarms at any look ({false}); baseline a binomial test at each",
            ours=false.value,
            baseline=naive_false.value,
            goal="≤ .005",
            holds=false.value <= 0.005,
        ),
        Figure(
            figure=f"sample ratio: alarms at 48.5 / 51.5 and {SAMPLE_USERS:,} users ({right}); baseline the same test",
            ours=right.value,
            baseline=naive_right.value,
            goal="≥ .99",
            holds=right.value >= 0.99,
        ),
    ]


def show(outcomes: Mapping[float, Sequence[Outcome]]) -> None:
    table = Table("true lift", "better", "worse", "no difference", "naive", "half-width", "variance removed", "alarms")
    for lift, found in outcomes.items():
        verdicts = [
            sum(one.verdict == verdict for one in found) for verdict in ("better", "worse", "no difference seen")
        ]
        table.add_row(
            f"{lift:.0%}",
            *map(str, verdicts),
            str(sum(one.naive for one in found)),
            f"{np.mean([one.half_width for one in found]):.2%}",
            f"{np.mean([one.variance_removed for one in found]):.0%}",
            str(sum(one.alarm for one in found)),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
