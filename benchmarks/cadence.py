"""How often to retrain: what daily to monthly retrains cost and bring, in simulated worlds. (40 minutes)

Each cadence has a chain of releases in the same worlds, made as a scheduled retrain makes them: afresh on all rows up
to two weeks before, with the release before as teacher; calibrated on the week after; the last week is the gate's.
A release serves until the next one, and is judged on every day that it serves, by the true chances of a click: AUC, and
the regret, which is what its calibrated probabilities lose in log loss against the truth. The cost is the rows that its
students are trained on; a control costs as much again. Fast drift brings four usual weeks' drift each week.

The picture, quality against cost, is build/bench/cadence.png.
"""

import argparse
import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, get_args

# One thread a process: NumPy's own would wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks._figures import FOLDER, Figure, report
from benchmarks._simulated import SPEC, simulated_examples
from benchmarks._worlds import found_in_worlds
from lakehouse.dataset import ACTIONS, Cadence
from ranker import Calibrator, Examples, Ranker, calibrate, fit, score
from ranker.metrics import auc
from simulator.world import START, World

DAYS: dict[Cadence, int] = {"daily": 1, "three-daily": 3, "weekly": 7, "bi-weekly": 14, "monthly": 28}
assert tuple(DAYS) == get_args(Cadence)
DRIFTS = {"slow": 1.0, "fast": 4.0}
WEEKLY_EXPOSURES, ALPHA = 10_000, 0.5
CALIBRATION_DAYS = EVALUATION_DAYS = 7
# The first release has two weeks to train on; two months are served.
FIRST_DAY = 14 + CALIBRATION_DAYS + EVALUATION_DAYS
SERVED_DAYS = 56
WEEKS = (FIRST_DAY + SERVED_DAYS) // 7
DEFAULT: Cadence = "weekly"
# What the gate tolerates between two releases.
MARGIN = 0.003


class Release(NamedTuple):
    model: Ranker
    calibrator: Calibrator


class Log(NamedTuple):
    """The rows of a world, B in all, each with its day from 0 and the true chance of a click."""

    examples: Examples
    click_truth_B: NDArray[np.float64]
    day_B: NDArray[np.int64]

    def days(self, since: int, until: int) -> NDArray[np.bool_]:
        mask_B: NDArray[np.bool_] = (self.day_B >= since) & (self.day_B < until)
        return mask_B


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    found = {
        drift: found_in_worlds(f"cadence/{drift}", partial(one_world, drift=drift), seeds=range(arguments.seeds))
        for drift in DRIFTS
    }
    for drift, worlds in found.items():
        show(drift, worlds)
    draw(found)
    report("cadence", [figure for drift, worlds in found.items() for figure in figures(drift, worlds)])


def one_world(seed: int, *, drift: str) -> dict[str, Any]:
    """By cadence what its chain of releases comes to, and costs."""
    world = World.draw(
        exposures=WEEKS * WEEKLY_EXPOSURES, weeks=WEEKS, seed=seed, drift_W=np.full(WEEKS, DRIFTS[drift])
    )
    table = simulated_examples(world)
    examples = Examples.from_arrow(table, spec=SPEC, actions=ACTIONS)
    first = np.datetime64(START, "us").astype(np.int64)
    day_B = (examples.served_at_B - first) // np.timedelta64(1, "D").astype("timedelta64[us]").astype(np.int64)
    log = Log(examples=examples, click_truth_B=table["click_truth"].to_numpy(), day_B=day_B)
    return {cadence: chain(log, every=days) for cadence, days in DAYS.items()}


def chain(log: Log, *, every: int) -> dict[str, float]:
    """Releases every so many days: means over the days served, and the cost a week."""
    last: Release | None = None
    aucs, regrets, rows, began = [], [], 0, time.monotonic()
    for start in range(FIRST_DAY, FIRST_DAY + SERVED_DAYS, every):
        last, num_rows = retrain(log, today=start, teacher=last)
        rows += num_rows
        for day in range(start, min(start + every, FIRST_DAY + SERVED_DAYS)):
            served = log.days(day, day + 1)
            truth, p = log.click_truth_B[served], click_chances(last, log.examples[served])
            aucs.append(auc(truth, p))
            regrets.append(float(np.mean(cross_entropy(truth, p) - cross_entropy(truth, truth))))
    weeks = SERVED_DAYS / 7
    return {
        "auc": float(np.mean(aucs)),
        "regret": float(np.mean(regrets)),
        "rows_a_week": rows / weeks,
        "seconds_a_week": (time.monotonic() - began) / weeks,
    }


def retrain(log: Log, *, today: int, teacher: Release | None) -> tuple[Release, int]:
    """A release from what was served before today, and the rows that it was trained on."""
    trained_until = today - EVALUATION_DAYS - CALIBRATION_DAYS
    train = log.examples[log.days(0, trained_until)]
    logits_BH = None if teacher is None else score(teacher.model, train, position="shown").logits_BH
    model = fit(train, spec=SPEC, seed=20, teacher_logits_BH=logits_BH, alpha=ALPHA).model
    held_out = log.examples[log.days(trained_until, today - EVALUATION_DAYS)]
    calibrator = calibrate(score(model, held_out, position="shown"), held_out)
    return Release(model, calibrator), len(train)


def click_chances(release: Release, rows: Examples) -> NDArray[np.float64]:
    chances_B: NDArray[np.float64] = release.calibrator.apply(score(release.model, rows, position="shown"))["click"]
    return chances_B


def cross_entropy(truth_B: NDArray[np.float64], p_B: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected log loss; a chance of exactly 0 or 1 costs nothing where it is true."""
    p_B = np.clip(p_B, 1e-12, 1 - 1e-12)
    loss_B: NDArray[np.float64] = -truth_B * np.log(p_B) - (1 - truth_B) * np.log1p(-p_B)
    return loss_B


def by_world(worlds: Sequence[dict[str, Any]], cadence: Cadence, what: str) -> NDArray[np.float64]:
    return np.array([world[cadence][what] for world in worlds])


def with_error(values_W: NDArray[np.float64]) -> str:
    """The mean over worlds ± its standard error."""
    error = values_W.std(ddof=1) / len(values_W) ** 0.5 if len(values_W) > 1 else np.nan
    return f"{values_W.mean():+.5f} ± {error:.5f}"


def show(drift: str, worlds: Sequence[dict[str, Any]]) -> None:
    columns = ("cadence", "retrains in 8 weeks", "rows a week", "s a week", "AUC", "AUC − daily's", "regret − daily's")
    table = Table(*columns, title=f"{drift} drift, {len(worlds)} worlds")
    for cadence, days in DAYS.items():
        mean = {what: by_world(worlds, cadence, what).mean() for what in worlds[0][cadence]}
        against = {
            what: with_error(by_world(worlds, cadence, what) - by_world(worlds, "daily", what))
            for what in ("auc", "regret")
        }
        table.add_row(
            cadence,
            str(len(range(0, SERVED_DAYS, days))),
            f"{mean['rows_a_week']:,.0f}",
            f"{mean['seconds_a_week']:.1f}",
            f"{mean['auc']:.5f}",
            against["auc"],
            against["regret"],
        )
    Console(width=130).print(table)


def draw(found: dict[str, list[dict[str, Any]]]) -> None:
    """AUC against cost, a line for each drift, the default marked."""
    figure, axes = pyplot.subplots(1, len(found), figsize=(10, 4), squeeze=False)
    for axis, (drift, worlds) in zip(axes[0], found.items(), strict=True):
        cost = [by_world(worlds, cadence, "rows_a_week").mean() for cadence in DAYS]
        quality = np.array([by_world(worlds, cadence, "auc") for cadence in DAYS])
        # Worlds differ far more than cadences do: each world's own mean is taken out of the error.
        error = (quality - quality.mean(axis=0)).std(axis=1, ddof=min(1, len(worlds) - 1)) / len(worlds) ** 0.5
        axis.errorbar(cost, quality.mean(axis=1), yerr=error, marker="o", capsize=3)
        for cadence, x, y in zip(DAYS, cost, quality.mean(axis=1), strict=True):
            weight = "bold" if cadence == DEFAULT else "normal"
            axis.annotate(cadence, (x, y), textcoords="offset points", xytext=(6, -12), fontweight=weight)
        axis.set(xscale="log", xlabel="rows trained on a week", ylabel="AUC of click", title=f"{drift} drift")
    figure.tight_layout()
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / "cadence.png", dpi=120)
    print(f"drawn in {FOLDER / 'cadence.png'}")


def figures(drift: str, worlds: Sequence[dict[str, Any]]) -> list[Figure]:
    def mean(cadence: Cadence, what: str) -> float:
        return float(by_world(worlds, cadence, what).mean())

    return [
        Figure(
            figure=f"AUC of click, {DEFAULT} retrains, {drift} drift; baseline daily",
            ours=mean(DEFAULT, "auc"),
            baseline=mean("daily", "auc"),
            goal=f"≤ {MARGIN} lost",
            holds=mean("daily", "auc") - mean(DEFAULT, "auc") <= MARGIN,
        ),
        Figure(
            figure=f"rows trained on a week, {DEFAULT} retrains, {drift} drift; baseline daily",
            ours=mean(DEFAULT, "rows_a_week"),
            baseline=mean("daily", "rows_a_week"),
            goal="≤ 1/6 ×",
            holds=mean(DEFAULT, "rows_a_week") <= mean("daily", "rows_a_week") / 6,
        ),
    ]


if __name__ == "__main__":
    main()
