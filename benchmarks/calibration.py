"""Calibration of a trained ranker in ten simulated worlds: all methods, by segment and position (10 minutes).

A model trains on the first of three weeks. Of the requests of the other two, half fit the calibration (200,000 rows)
and half judge it: so the same users and days stand on both sides, and what is measured is the calibration, not the
drift from one week to the next. Calibrations of 20,000 and 2,000 of these rows, and one fitted on policy traffic but
judged on random traffic, are shown beside. Methods and limits were chosen in worlds 100 and 101, and not in these.
"""

import argparse
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from benchmarks._figures import Figure, report
from benchmarks._simulated import SPEC, simulated_examples
from lakehouse.dataset import ACTIONS
from ranker import Calibrator, Examples, Scores, TrainingConfig, calibrate, fit, score
from ranker.calibrator import AnyMethod
from ranker.metrics import Floats, auc, calibration_error, log_loss, pcoc, pcoc_by_group
from simulator.world import World, week_start

METHODS: tuple[AnyMethod, ...] = ("platt", "beta", "pooled", "isotonic")
SIZES = (2_000, 20_000)
ACTION = "click"
TRAINING = TrainingConfig(epochs=2)
WEEKS, EXPOSURES = 3, 700_000
# Of segments with fewer, the rate is not known well enough to be judged.
MIN_ROWS, MIN_POSITIVES = 2_000, 50

Rows: TypeAlias = np.ndarray


@dataclass
class Found:
    """By method and what was measured, one value per world."""

    values: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, method: str, what: str, value: float) -> None:
        self.values[method, what].append(value)

    def mean(self, method: str, what: str) -> float:
        return float(np.nanmean(self.values[method, what]))

    def standard_error(self, method: str, what: str) -> float:
        known = np.array(self.values[method, what])
        return float(np.nanstd(known, ddof=1) / np.sqrt((~np.isnan(known)).sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    found = Found()
    for seed in range(arguments.seeds):
        one_world(seed, found)
    show(found)
    report("calibration", figures(found))


def one_world(seed: int, found: Found) -> None:
    world = World.draw(exposures=EXPOSURES, weeks=WEEKS, seed=seed)
    table = simulated_examples(world)
    examples = Examples.from_arrow(table, spec=SPEC, actions=ACTIONS)
    is_random_B = table["traffic"].to_numpy() == "random"
    in_first_week_B = examples.served_at_B < np.datetime64(week_start(1).date(), "us").astype(np.int64)
    request_B = examples.request_codes
    fits_B = np.random.default_rng(seed).random(request_B.max() + 1)[request_B] < 0.5
    fit_rows, judge_rows = np.flatnonzero(~in_first_week_B & fits_B), np.flatnonzero(~in_first_week_B & ~fits_B)
    train = examples[in_first_week_B]
    model = fit(train, spec=SPEC, seed=seed, training=TRAINING).model
    judged = examples[judge_rows]
    scores = score(model, judged, position="shown")

    def fitted(rows: Rows, method: AnyMethod | None = None) -> Calibrator:
        fits = examples[rows]
        return calibrate(score(model, fits, position="shown"), fits, method=method)

    before = scores.probability(ACTION)
    judge("none", before, before, judged, scores, found)
    for method in METHODS:
        after = fitted(fit_rows, method).apply(scores)[ACTION]
        judge(method, after, before, judged, scores, found)
    shuffled = np.random.default_rng(seed).permutation(fit_rows)
    for size in SIZES:
        for method in METHODS:
            after = fitted(np.sort(shuffled[:size]), method).apply(scores)[ACTION]
            found.add(method, f"log loss, {size:,} rows", log_loss(judged.label(ACTION), after))
    # Random traffic alone tells what a candidate would do wherever it is shown; the policy shows what it thinks good.
    random_judged = judged[is_random_B[judge_rows]]
    random_scores = score(model, random_judged, position="shown")
    random_rows = fit_rows[is_random_B[fit_rows]]
    policy_rows = fit_rows[~is_random_B[fit_rows]]
    few_policy_rows = np.sort(np.random.default_rng(seed).permutation(policy_rows)[: len(random_rows)])
    for name, rows in (("random", random_rows), ("as much policy", few_policy_rows), ("all policy", policy_rows)):
        after = fitted(rows).apply(random_scores)[ACTION]
        found.add(f"from {name} traffic", "PCOC on random traffic", pcoc(random_judged.label(ACTION), after))
        found.add(f"from {name} traffic", "log loss on random traffic", log_loss(random_judged.label(ACTION), after))
    print(
        f"world {seed}: {len(train):,} rows to train, {len(fit_rows):,} to calibrate with "
        f"{int(examples.label(ACTION)[fit_rows].sum()):,} clicks, {len(judge_rows):,} to judge",
        flush=True,
    )


def judge(method: str, after: Floats, before: Floats, judged: Examples, scores: Scores, found: Found) -> None:
    labels = judged.label(ACTION)
    error = calibration_error(labels, after)
    found.add(method, "excess ECE / CTR", (error.error - error.noise_floor) / labels.mean())
    found.add(method, "log loss", log_loss(labels, after))
    found.add(method, "AUC", auc(labels, after))
    for column, codes in scores.groups.items():
        num = len(codes.names)
        pcoc_G = pcoc_by_group(labels, after, groups=codes.codes, num_groups=num)
        rows_G = np.bincount(codes.codes, minlength=num)
        positives_G = np.bincount(codes.codes, weights=labels, minlength=num)
        enough_G = (rows_G >= MIN_ROWS) & (positives_G >= MIN_POSITIVES)
        for group in np.flatnonzero(enough_G):
            found.add(method, f"PCOC {column}={codes.names[group]}", float(pcoc_G[group]))
    found.add(method, "AUC change within a segment", auc_change(labels, after, before, scores))


def auc_change(labels: Floats, after: Floats, before: Floats, scores: Scores) -> float:
    """The largest, over segments of all groups together (rows that agree in every one) of MIN_POSITIVES or more."""
    cell_B = np.zeros(len(labels), dtype=np.int64)
    for codes in scores.groups.values():
        cell_B = cell_B * len(codes.names) + codes.codes
    cells, cell_B = np.unique(cell_B, return_inverse=True)
    changes = []
    for cell in np.flatnonzero(np.bincount(cell_B, weights=labels, minlength=len(cells)) >= MIN_POSITIVES):
        rows = cell_B == cell
        changes.append(abs(auc(labels[rows], after[rows]) - auc(labels[rows], before[rows])))
    return max(changes)


def worst(found: Found, method: str, *, positions: bool) -> tuple[str, float, float]:
    """The group whose mean PCOC lies furthest from 1 on the scale of what is allowed: its name, distance, limit."""
    groups = [what for of, what in found.values if of == method and what.startswith("PCOC ")]
    groups = [what for what in groups if "=" in what and what.startswith("PCOC position=") == positions]

    def limit(what: str) -> float:
        return max(0.0 if positions else 0.03, 3 * found.standard_error(method, what))

    distances = {what: abs(found.mean(method, what) - 1) for what in groups}
    name = max(groups, key=lambda what: distances[what] / limit(what))
    return name, distances[name], limit(name)


def show(found: Found) -> None:
    columns = ("excess ECE / CTR", "log loss", "AUC", *(f"log loss, {size:,} rows" for size in SIZES))
    for method in ("none", *METHODS):
        known = [what for what in columns if (method, what) in found.values]
        print(f"{method:10} " + ", ".join(f"{what} {found.mean(method, what):.5f}" for what in known))
    for of in ("random", "as much policy", "all policy"):
        method = f"from {of} traffic"
        what = "PCOC on random traffic"
        print(
            f"{method}: {what} {found.mean(method, what):.4f} ± {found.standard_error(method, what):.4f}, "
            f"log loss {found.mean(method, 'log loss on random traffic'):.5f}"
        )


def figures(found: Found) -> list[Figure]:
    """Of the default at this size, beside beta without offsets."""
    excess, plain = (found.mean(method, "excess ECE / CTR") for method in ("pooled", "beta"))
    change = max(found.values["pooled", "AUC change within a segment"])
    return [
        Figure(
            figure="excess ECE / CTR, baseline beta", ours=excess, baseline=plain, goal="≤ .01", holds=excess <= 0.01
        ),
        worst_figure(found, positions=True),
        worst_figure(found, positions=False),
        Figure(
            figure="largest change of the AUC within a segment, baseline isotonic",
            ours=change,
            baseline=max(found.values["isotonic", "AUC change within a segment"]),
            goal="0",
            holds=change < 1e-9,
        ),
    ]


def worst_figure(found: Found, *, positions: bool) -> Figure:
    of, distance, limit = worst(found, "pooled", positions=positions)
    plain, plain_distance, _ = worst(found, "beta", positions=positions)
    what, goal = ("position", "≤ 3 SE") if positions else ("segment", "≤ max(.03, 3 SE)")
    return Figure(
        figure=f"worst {what}, |PCOC − 1|: {of}, baseline beta's {plain}",
        ours=distance,
        baseline=plain_distance,
        goal=f"{goal}, {limit:.4f}",
        holds=distance <= limit,
    )


if __name__ == "__main__":
    main()
