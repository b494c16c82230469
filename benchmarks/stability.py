"""What a teacher does for releases week by week, under slow, fast and sudden drift in simulated worlds (30 minutes).

Ten times a release is retrained on a week and judged on the week after. A cold start trains from scratch, a warm start
goes on from the release before. Beside each stands the same with a teacher, which is the release before of its own
chain. Two seeds train each release, with one teacher and one start: how far their predictions lie apart is the seed
churn. The first seed's release goes on as the chain.

A judged row is a click as far as its true chance says, so that the AUC is what all outcomes give that might have been.
Fast drift brings four usual weeks' drift each week, a sudden shift twenty in one week, where one seed trains. Sizes and
settings were chosen in worlds from 100 on, which are not judged. What a teacher adds is what its student's rows are too
few to say: cold starts on two weeks gained .0016 AUC under slow drift and .0008 under fast (world 100).
"""

import argparse
import json
import os
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

# One thread a process: NumPy's own would wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from benchmarks._figures import FOLDER, Figure, report
from benchmarks._simulated import SPEC, simulated_examples
from lakehouse.dataset import ACTIONS
from ranker import Examples, Ranker, fit, score
from ranker.metrics import auc, churn
from simulator.world import World, week_start

Start: TypeAlias = Literal["cold", "warm"]
# By what was measured, one value per retrain.
Measured: TypeAlias = dict[str, list[float]]

WEEKLY_EXPOSURES, RETRAINS, ALPHA = 20_000, 10, 0.5
# The first retrain's week; the release before it has the week before. The fifth is the first that sees a sudden shift.
FIRST = 4
SHIFT = FIRST + 4
WEEKS = FIRST + RETRAINS + 1
DRIFTS = {
    "slow": np.ones(WEEKS),
    "fast": np.full(WEEKS, 4.0),
    "sudden": np.where(np.arange(WEEKS) == SHIFT, 20.0, 1.0),
}
# By start the least that a teacher may add to the AUC, and the most that it may leave of the seed churn.
GOALS: dict[Start, tuple[float, float]] = {"cold": (0.002, 0.65), "warm": (-0.0005, 0.7)}
# What a teacher may cost the second release that has seen the shift.
COST_OF_SHIFT = 0.002


class Case(NamedTuple):
    drift: str
    seed: int

    @property
    def path(self) -> Path:
        return FOLDER / "stability" / f"{self.drift}-{self.seed}.json"


class Weeks(NamedTuple):
    """The rows of a world, B in all, each with its week from 0 and the true chance of a click."""

    examples: Examples
    click_truth_B: NDArray[np.float64]
    week_B: NDArray[np.int64]

    def rows_of(self, week: int) -> Examples:
        return self.examples[self.week_B == week]


class Found(NamedTuple):
    """What was measured in every world under one drift from one start, with a teacher and without."""

    taught: list[Measured]
    alone: list[Measured]

    def both(self, what: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """By world and retrain, with a teacher and without."""
        taught_WR, alone_WR = (np.array([one[what] for one in worlds]) for worlds in self)
        return taught_WR, alone_WR


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    write_missing([Case(drift, seed) for drift in DRIFTS for seed in range(arguments.seeds)])
    figures = []
    for start in GOALS:
        for drift in DRIFTS:
            found = found_in(drift, start, num_seeds=arguments.seeds)
            figures += after_shift(found, start) if drift == "sudden" else under_drift(found, start, drift)
    report("stability", figures)


def write_missing(cases: list[Case]) -> None:
    """Those that no earlier run has written."""
    missing = [case for case in cases if not case.path.exists()]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        running = [processes.submit(write_chains, case) for case in missing]
        for one in track(as_completed(running), total=len(running), description="chains", disable=not running):
            one.result()


def found_in(drift: str, start: Start, *, num_seeds: int) -> Found:
    worlds = [json.loads(Case(drift, seed).path.read_text()) for seed in range(num_seeds)]
    return Found(*([one[name] for one in worlds] for name in chain_names(start)))


def chain_names(start: Start) -> tuple[str, str]:
    """With a teacher, and without."""
    return f"{start}, teacher", f"{start}, no teacher"


def write_chains(case: Case) -> None:
    """Every chain goes on from the same first release, which has no teacher."""
    weeks = simulated_weeks(case)
    first = fit(weeks.rows_of(FIRST - 1), spec=SPEC, seed=0).model
    num_twins = 1 if case.drift == "sudden" else 2
    found = {
        name: chain(first, weeks, start=start, has_teacher=has_teacher, num_twins=num_twins)
        for start in GOALS
        for name, has_teacher in zip(chain_names(start), (True, False), strict=True)
    }
    part = case.path.with_suffix(".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_text(json.dumps(found))
    part.replace(case.path)


def simulated_weeks(case: Case) -> Weeks:
    world = World.draw(exposures=WEEKS * WEEKLY_EXPOSURES, weeks=WEEKS, seed=case.seed, drift_W=DRIFTS[case.drift])
    table = simulated_examples(world)
    examples = Examples.from_arrow(table, spec=SPEC, actions=ACTIONS)
    mondays_W = np.array([week_start(week).date() for week in range(WEEKS)], dtype="datetime64[us]").astype(np.int64)
    return Weeks(
        examples=examples,
        click_truth_B=table["click_truth"].to_numpy(),
        week_B=np.searchsorted(mondays_W, examples.served_at_B, side="right") - 1,
    )


def chain(first: Ranker, weeks: Weeks, *, start: Start, has_teacher: bool, num_twins: int) -> Measured:
    """What each release of a chain comes to on the week after."""
    last, found = first, defaultdict(list)
    for week in range(FIRST, WEEKS - 1):
        train = weeks.rows_of(week)
        teacher_logits_BH = score(last, train, position="shown").logits_BH if has_teacher else None
        twins = [
            fit(
                train,
                spec=SPEC,
                seed=2 * week + twin,
                teacher_logits_BH=teacher_logits_BH,
                alpha=ALPHA,
                initial=last if start == "warm" else None,
            ).model
            for twin in range(num_twins)
        ]
        judged = weeks.rows_of(week + 1)
        before_B, p_B, *other = (score(one, judged, position="shown").probability("click") for one in (last, *twins))
        found["AUC"].append(auc(weeks.click_truth_B[weeks.week_B == week + 1], p_B))
        found["AUC of outcomes"].append(auc(judged.label("click"), p_B))
        found["churn against the release before"].append(churn(before_B, p_B))
        if other:
            found["seed churn"].append(churn(p_B, *other))
        last = twins[0]
    return found


def under_drift(found: Found, start: Start, drift: str) -> list[Figure]:
    """Means over retrains and worlds."""
    print(f"{start} start, {drift} drift, with a teacher and without:")
    for what in found.taught[0]:
        taught_W, alone_W = (measured_WR.mean(axis=1) for measured_WR in found.both(what))
        print(f"  {what}: {taught_W.mean():.5f} and {alone_W.mean():.5f}, difference {with_error(taught_W - alone_W)}")
    least_gain, most_left = GOALS[start]
    auc_taught, auc_alone = (float(auc_WR.mean()) for auc_WR in found.both("AUC"))
    churn_taught, churn_alone = (float(churn_WR.mean()) for churn_WR in found.both("seed churn"))
    return [
        Figure(
            figure=f"AUC of click, {start} start, {drift} drift; baseline no teacher",
            ours=auc_taught,
            baseline=auc_alone,
            goal=f"{least_gain:+} or more",
            holds=auc_taught - auc_alone >= least_gain,
        ),
        Figure(
            figure=f"seed churn, {start} start, {drift} drift; baseline no teacher",
            ours=churn_taught,
            baseline=churn_alone,
            goal=f"≤ {most_left} ×",
            holds=churn_taught <= most_left * churn_alone,
        ),
    ]


def after_shift(found: Found, start: Start) -> list[Figure]:
    """The second release that has seen a sudden shift, mean over worlds."""
    taught_WR, alone_WR = found.both("AUC")
    print(f"{start} start, sudden shift: AUC without a teacher, and what one costs")
    for retrain, (alone_W, cost_W) in enumerate(zip(alone_WR.T, (alone_WR - taught_WR).T, strict=True)):
        seen = retrain - (SHIFT - FIRST) + 1
        when = f"release {seen} that has seen it" if seen > 0 else "judged on its week" if seen == 0 else "before"
        print(f"  {alone_W.mean():.5f}, {with_error(cost_W)}: {when}")
    taught_WR, alone_WR = (auc_WR[:, SHIFT - FIRST :] for auc_WR in (taught_WR, alone_WR))
    taught, alone = (float(auc_WR[:, 1].mean()) for auc_WR in (taught_WR, alone_WR))
    return [
        Figure(
            figure=f"AUC of click, {start} start, two releases after a sudden shift; baseline no teacher",
            ours=taught,
            baseline=alone,
            goal=f"≤ {COST_OF_SHIFT} lost",
            holds=alone - taught <= COST_OF_SHIFT,
        )
    ]


def with_error(values_W: NDArray[np.float64]) -> str:
    """The mean over worlds ± its standard error."""
    error = values_W.std(ddof=1) / len(values_W) ** 0.5 if len(values_W) > 1 else np.nan
    return f"{values_W.mean():+.5f} ± {error:.5f}"


if __name__ == "__main__":
    main()
