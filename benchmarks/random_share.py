"""How much random traffic to train on: AUC and levels at 0, 1, 2 and 5 % of the rows, simulated (40 minutes).

Two weeks are ranked by renown with noise, the next four by the release trained on the two weeks before: what that
thinks little of is seen on random traffic alone, one request in twenty. Models of each share train on the fourth and
fifth week and are judged on the sixth, by the true chances of a click where each row stood.

Every share has as many rows: policy traffic makes room, whole requests at a time. So what random rows bring is not that
they are more, and what they cost on policy traffic holds the rows that went. Random traffic is the stratum that a
recipe makes of it: all rows with an action, the others thinned to the share, each told how likely it was to be kept. So
one per cent already holds every click on random traffic. Settings were chosen in world 100, and not in these.
"""

import argparse
from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from scipy import stats

from benchmarks._figures import Figure, report
from benchmarks._simulated import SPEC, Totals, released, week_of_examples
from benchmarks._worlds import found_in_worlds
from lakehouse.dataset import ACTIONS
from ranker import Examples, TrainingConfig, fit, score
from ranker.metrics import Floats, auc, expected_calibration_error, pcoc
from simulator.chance import draw
from simulator.policy import NOISY_RENOWN
from simulator.world import World

EXPOSURES, WEEKS = 1_500_000, 6
NOISY_WEEKS, TRAINING_WEEKS = 2, 2
# Share of random rows, and what such a row weighs in the loss.
NONE, MOST = "0 %", "5 %"
SETTINGS = {NONE: (0.0, 1.0), "1 %": (0.01, 1.0), "2 %": (0.02, 1.0), MOST: (0.05, 1.0), "5 %, weight 4": (0.05, 4.0)}
# Models of a share and world, whose figures are averaged: one alone moves by more than what is to be seen.
MODELS = 2
ACTION = "click"
MOST_COST = 0.0005
# As in models/marts/sampling_rates.sql: a row stands for a hundred at most.
LEAST_KEEP = 0.01
TRAFFIC = ("random", "policy")
# Of one world: by setting, traffic and figure.
Found = dict[str, dict[str, dict[str, float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    found = found_in_worlds(f"random-share-{EXPOSURES}", one_world, seeds=range(arguments.seeds))
    report("random_share", figures(found))


def one_world(seed: int) -> Found:
    table = pa.concat_tables(logged_weeks(seed)[-TRAINING_WEEKS - 1 :]).combine_chunks()
    examples = Examples.from_arrow(table, spec=SPEC, actions=ACTIONS)
    is_random_B = table["traffic"].to_numpy() == "random"
    judges_B = table["week"].to_numpy() == WEEKS - 1
    train, train_is_random_B = examples[~judges_B], is_random_B[~judges_B]
    parts = {}
    for traffic, part_B in zip(TRAFFIC, (judges_B & is_random_B, judges_B & ~is_random_B), strict=True):
        parts[traffic] = (examples[part_B], table[f"{ACTION}_truth"].to_numpy()[part_B])
    found: Found = {}
    for name, (share, weight) in SETTINGS.items():
        rows = at_share(train, is_random_B=train_is_random_B, share=share, seed=seed)
        training = TrainingConfig(random_weight=weight)
        models = [
            fit(rows, spec=SPEC, seed=MODELS * seed + number, training=training).model for number in range(MODELS)
        ]
        found[name] = {
            traffic: judged([score(model, part, position="shown").probability(ACTION) for model in models], truth)
            for traffic, (part, truth) in parts.items()
        }
        on = ", ".join(f"{found[name][traffic]['AUC']:.5f} on {traffic} traffic" for traffic in TRAFFIC)
        print(f"world {seed}, {name} random of {len(rows):,} rows: AUC {on}", flush=True)
    return found


def logged_weeks(seed: int) -> list[pa.Table]:
    """Each week's shown rows, with `week`: ranked by renown, then by the release of the weeks before."""
    world = World.draw(exposures=EXPOSURES, weeks=WEEKS, seed=seed)
    totals, weeks = Totals(world=world), list[pa.Table]()
    for week in range(WEEKS):
        policy = NOISY_RENOWN
        if week >= NOISY_WEEKS:
            before = pa.concat_tables(weeks[-TRAINING_WEEKS:]).combine_chunks()
            release = fit(Examples.from_arrow(before, spec=SPEC, actions=ACTIONS), spec=SPEC, seed=seed).model
            policy = released(release, totals=totals)
        rows = week_of_examples(week, policy=policy, totals=totals)
        weeks.append(rows.append_column("week", pa.array(np.full(len(rows), week))))
        clicks = {traffic: click_rate(rows, traffic) for traffic in TRAFFIC}
        print(f"world {seed}, week {week}: {len(rows):,} rows, click rates {clicks}", flush=True)
    return weeks


def click_rate(rows: pa.Table, traffic: str) -> float:
    return round(float(rows[ACTION].to_numpy()[rows["traffic"].to_numpy() == traffic].mean()), 4)


def at_share(train: Examples, *, is_random_B: NDArray[np.bool_], share: float, seed: int) -> Examples:
    """As many rows as policy traffic has, `share` of them random; see the top."""
    stays_B = ~is_random_B & (draw(train.request_codes, salt="makes room", seed=seed) < 1 - share)
    if not share:
        return train[stays_B]
    acted_B = train.acted_B.numpy() > 0
    num_random = share / (1 - share) * stays_B.sum()
    keep = (num_random - (is_random_B & acted_B).sum()) / (is_random_B & ~acted_B).sum()
    # Random traffic alone can fall a little short of the highest share, as it may for a recipe.
    keep = float(np.clip(keep, LEAST_KEEP, 1.0))
    enters_B = is_random_B & (acted_B | (draw(np.arange(len(train)), salt="sampling", seed=seed) < keep))
    rows = np.flatnonzero(stays_B | enters_B)
    keep_B = np.where(is_random_B, keep, 1.0)[rows]
    return replace(train[rows], negative_keep_probability_B=torch.from_numpy(keep_B))


def judged(chances: list[Floats], truth: Floats) -> dict[str, float]:
    """Means over models; the true chances stand for the labels, which so have no error of their own."""
    by_model = {
        "AUC": [auc(truth, one) for one in chances],
        "PCOC": [pcoc(truth, one) for one in chances],
        "ECE": [expected_calibration_error(truth, one) for one in chances],
    }
    return {name: float(np.mean(values)) for name, values in by_model.items()}


def figures(found: list[Found]) -> list[Figure]:
    """Means over worlds, with 95 % intervals over worlds (Student's t)."""

    def values(name: str, traffic: str, what: str) -> Floats:
        return np.array([one[name][traffic][what] for one in found])

    for traffic in TRAFFIC:
        for name in SETTINGS:
            shown = [f"{what} {interval(values(name, traffic, what))}" for what in ("AUC", "PCOC", "ECE")]
            lift = interval(values(name, traffic, "AUC") - values(NONE, traffic, "AUC"))
            print(f"{traffic} traffic, {name} random rows: {', '.join(shown)}, AUC lift {lift}")
    lifts = {traffic: values(MOST, traffic, "AUC") - values(NONE, traffic, "AUC") for traffic in TRAFFIC}
    goals = {
        "random": ("lift above 0", bounds(lifts["random"])[0] > 0),
        "policy": (f"cost ≤ {MOST_COST}", bool(-lifts["policy"].mean() <= MOST_COST)),
    }
    return [
        Figure(
            figure=f"AUC on {traffic} traffic, {MOST} random rows, baseline none: lift {interval(lifts[traffic])}",
            ours=float(values(MOST, traffic, "AUC").mean()),
            baseline=float(values(NONE, traffic, "AUC").mean()),
            goal=goal,
            holds=holds,
        )
        for traffic, (goal, holds) in goals.items()
    ]


def bounds(values: Floats) -> tuple[float, float]:
    """The 95 % interval of a mean over worlds; unbounded with one."""
    if len(values) < 2:
        return -np.inf, np.inf
    reach = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - reach), float(values.mean() + reach)


def interval(values: Floats) -> str:
    low, high = bounds(values)
    return f"{values.mean():.5f} [{low:.5f}, {high:.5f}]"


if __name__ == "__main__":
    main()
