"""Teachers that went wrong are caught by the control's verdict, good ones are kept, in simulated worlds (30 minutes).

In each world a student learns a week from a teacher, beside its control, which learns the same rows without one. Both
are calibrated on the week after, and the verdict is that of a retrain on four weeks after that (`teacher_figures`,
`judge_teacher`): it sees the outcomes of those rows, and neither the teacher's age nor its name.

Good teachers are the release of the week before, under usual drift. Bad ones are the same with its scores in another
order, and a release of eight weeks before, each of which brought 6.5 usual weeks' drift: by then tastes have turned
round. With less drift, or where rows are fewer, such a teacher still helps more than it harms in some worlds. Drift and
sizes were chosen in worlds from 100 on, which are not judged.
"""

import argparse
from typing import Any

import numpy as np
import torch

from benchmarks._figures import Figure, report
from benchmarks._simulated import SPEC, simulated_examples
from benchmarks._worlds import found_in_worlds
from decisions.interval import Interval
from decisions.teacher import TeacherFigures, judge_teacher
from lakehouse.dataset import ACTIONS
from orchestration.judging import teacher_figures
from orchestration.plan import ALPHA
from ranker import Examples, Ranker, calibrate, fit, score
from ranker.metrics import Floats
from simulator.world import World, week_start

WEEKLY_EXPOSURES, ACTION = 160_000, "click"
# The student's week; the release before has the one before, a stale one has that of eight weeks before.
TRAIN = 8
CALIBRATE, EVALUATE = TRAIN + 1, TRAIN + 2
WEEKS = EVALUATE + 4
USUAL, FAST = 1.0, 6.5
GOOD, SHUFFLED, STALE = "the release before", "shuffled scores", "eight weeks stale under fast drift"
MOST_GOOD_DROPPED = 0.05
GAINS = ("auc_gain", "log_loss_gain", "bare_log_loss_gain")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    report("bad_teacher", figures(found_in_worlds(f"bad-teacher-{WEEKLY_EXPOSURES}", one_world, seeds=seeds)))


def one_world(seed: int) -> dict[str, Any]:
    usual, fast = (weeks_of(seed, drift=drift) for drift in (USUAL, FAST))
    before = trained(usual[TRAIN - 1], seed=seed)
    alone, alone_fast = (trained(weeks[TRAIN], seed=seed) for weeks in (usual, fast))
    given_BH = score(before, usual[TRAIN], position="shown").logits_BH
    shuffled_BH = given_BH[torch.from_numpy(np.random.default_rng(seed).permutation(len(given_BH)))]
    stale_BH = score(trained(fast[0], seed=seed), fast[TRAIN], position="shown").logits_BH
    return {
        name: verdict_figures(trained(weeks[TRAIN], seed=seed, teacher_BH=logits_BH), control, weeks, seed=seed)
        for name, weeks, control, logits_BH in (
            (GOOD, usual, alone, given_BH),
            (SHUFFLED, usual, alone, shuffled_BH),
            (STALE, fast, alone_fast, stale_BH),
        )
    }


def weeks_of(seed: int, *, drift: float) -> list[Examples]:
    """The shown rows of each week of a world, and last those of all weeks from EVALUATE on.

    Drift is usual again once the student has learnt: what its teacher missed is to be seen, not what both miss.
    """
    drift_W = np.where(np.arange(WEEKS) <= TRAIN, drift, USUAL)
    world = World.draw(exposures=WEEKS * WEEKLY_EXPOSURES, weeks=WEEKS, seed=seed, drift_W=drift_W)
    examples = Examples.from_arrow(simulated_examples(world), spec=SPEC, actions=ACTIONS)
    mondays_W = np.array([week_start(week).date() for week in range(WEEKS)], dtype="datetime64[us]").astype(np.int64)
    week_B = np.searchsorted(mondays_W, examples.served_at_B, side="right") - 1
    return [*(examples[week_B == week] for week in range(EVALUATE)), examples[week_B >= EVALUATE]]


def trained(rows: Examples, *, seed: int, teacher_BH: torch.Tensor | None = None) -> Ranker:
    return fit(rows, spec=SPEC, seed=seed, teacher_logits_BH=teacher_BH, alpha=ALPHA).model


def verdict_figures(student: Ranker, control: Ranker, weeks: list[Examples], *, seed: int) -> dict[str, Any]:
    def probabilities(model: Ranker) -> tuple[Floats, Floats]:
        calibrator = calibrate(score(model, weeks[CALIBRATE], position="shown"), weeks[CALIBRATE])
        scores = score(model, weeks[EVALUATE], position="shown")
        return calibrator.apply(scores)[ACTION], scores.probability(ACTION)

    (calibrated_B, bare_B), (control_B, bare_control_B) = map(probabilities, (student, control))
    verdict = judge_teacher(
        teacher_figures(
            ACTION,
            weeks[EVALUATE],
            student=calibrated_B,
            control=control_B,
            bare_student=bare_B,
            bare_control=bare_control_B,
            seed=seed,
        )
    )
    print(f"world {seed}: {verdict.outcome}, {verdict.reason}", flush=True)
    return verdict.to_json()


def figures(found: list[dict[str, Any]]) -> list[Figure]:
    """Of each kind of teacher, how many were dropped; the baseline goes by the figures' signs, without bounds."""
    rows = []
    for name in (GOOD, SHUFFLED, STALE):
        given = [
            TeacherFigures(rate=one[name]["rate"], **{gain: Interval.from_json(one[name][gain]) for gain in GAINS})
            for one in found
        ]
        gains = np.array([[getattr(one, gain).figure for gain in GAINS] for one in given])
        dropped = [judge_teacher(one).is_harmful for one in given]
        share, by_sign = float(np.mean(dropped)), float((gains.min(axis=1) < 0).mean())
        for gain, values in zip(GAINS, gains.T, strict=True):
            print(f"{name}: {gain} {values.mean():+.5f}, from {values.min():+.5f} to {values.max():+.5f}")
        is_good = name == GOOD
        rows.append(
            Figure(
                figure=f"share of {len(dropped)} dropped, {name}; baseline: any of its figures is below 0",
                ours=share,
                baseline=by_sign,
                goal=f"≤ {MOST_GOOD_DROPPED}" if is_good else "all",
                holds=share <= MOST_GOOD_DROPPED if is_good else share == 1.0,
            )
        )
    return rows


if __name__ == "__main__":
    main()
