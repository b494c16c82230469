"""Off-policy estimates against planted truth, and against obp on Open Bandit (45 minutes).

The planted world is that of `_random_traffic.py`: one item of K shown at random, or a slate of three, and a policy that
shows what a model puts first. Errors are held against what the planted probabilities say of Horvitz and Thompson's
estimator (IPS), and of the doubly robust one with the true chances; its own reward estimates here are the model's
log-odds, cross-fitted. Intervals stand for users, whose rows are drawn together.
"""

import argparse
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

# One thread a process: NumPy's own would wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from rich.progress import track

from benchmarks._figures import FOLDER, Figure, report
from benchmarks._peers import peer_python, run_peer
from benchmarks._random_traffic import World
from lakehouse.home import Home
from ranker.off_policy import (
    Estimate,
    cross_fit,
    doubly_robust,
    importance_weights,
    ips,
    replay,
    slate_weights,
    snips,
)
from simulator.downloads import fetch_wheel
from simulator.open_bandit import CAMPAIGNS, TRAFFIC, WHEEL, rows_as_logged

CANDIDATES = (10, 20, 100)
# Slates of 100,000 rows say nothing new and would double the time.
ROWS = {"item": (20_000, 100_000), "slate": (20_000,)}
ESTIMATORS = ("ips", "snips", "dr")
AT_ONCE = 50
PEERS = ("obp==0.4.1", "torch==2.13.0")


class Case(NamedTuple):
    shown: str
    num_candidates: int
    num_rows: int

    def __str__(self) -> str:
        return f"{self.shown} of {self.num_candidates}, {self.num_rows:,} rows"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=2000)
    arguments = parser.parse_args()
    figures = against_obp()
    for shown, sizes in ROWS.items():
        for num_candidates in CANDIDATES:
            for num_rows in sizes:
                figures += against_truth(Case(shown, num_candidates, num_rows), repetitions=arguments.repetitions)
    report("off_policy", figures)


def against_truth(case: Case, *, repetitions: int) -> list[Figure]:
    """Error and coverage of each estimator; repetitions that an earlier run made are not made again."""
    world = World(case.shown, case.num_candidates)
    known = world.known_errors(num_rows=case.num_rows)
    found_RE3 = np.concatenate(list(repeat(case, repetitions=repetitions)))
    figures = []
    for place, name in enumerate(ESTIMATORS):
        value_R, low_R, high_R = found_RE3[:, place].T
        error = float(np.abs(value_R - world.value).mean())
        has_interval_R = ~np.isnan(low_R)
        coverage = float(((low_R <= world.value) & (world.value <= high_R))[has_interval_R].mean())
        refused = repetitions - int(has_interval_R.sum())
        baseline = known["dr" if name == "dr" else "ips"]
        print(f"{case}, {name}: error {error:.5f} of {world.value:.4f}, {coverage:.4f} covered, {refused} refused")
        figures += [
            Figure(
                figure=f"mean error of {name}, {case}",
                ours=error,
                baseline=baseline,
                goal="≤ 1.1 ×",
                holds=error <= 1.1 * baseline,
            ),
            Figure(
                figure=f"coverage of {name}, {case}",
                ours=coverage,
                baseline=0.95,
                goal=".93–.97",
                holds=0.93 <= coverage <= 0.97,
            ),
        ]
    return figures


def repeat(case: Case, *, repetitions: int) -> Iterator[np.ndarray]:
    """Value and interval of each estimator (repetition, estimator, 3), in pieces that are kept for the next run."""
    folder = FOLDER / "off-policy" / f"{case.shown}-{case.num_candidates}-{case.num_rows}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{first}-{min(first + AT_ONCE, repetitions)}.npy" for first in range(0, repetitions, AT_ONCE)]
    missing = [path for path in paths if not path.exists()]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        pieces = [processes.submit(write_estimates, case, path) for path in missing]
        for piece in track(as_completed(pieces), total=len(pieces), description=str(case), disable=not pieces):
            piece.result()
    for path in paths:
        yield np.load(path)


def write_estimates(case: Case, path: Path) -> None:
    """The repetitions that the file's name says, by their seeds."""
    first, last = map(int, path.stem.split("-"))
    world = World(case.shown, case.num_candidates)
    found = [estimates(world, num_rows=case.num_rows, seed=[*case[1:], seed]) for seed in range(first, last)]
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, np.array(found))
    part.replace(path)


def estimates(world: World, *, num_rows: int, seed: list[int]) -> list[tuple[float, float, float]]:
    log = world.log(num_rows=num_rows, seed=seed)
    propensity_B = np.full(len(log.rewards_B), 1 / world.num_candidates)
    weights_B = slate_weights(log.ranks_B, positions_B=log.positions_B, propensity_B=propensity_B)
    chances = cross_fit(log.scores_B, log.rewards_B, users=log.users_B)
    found: list[Estimate] = [
        ips(log.rewards_B, weights_B=weights_B, users=log.users_B),
        snips(log.rewards_B, weights_B=weights_B, users=log.users_B),
        doubly_robust(
            log.rewards_B,
            weights_B=weights_B,
            logged_estimates_B=chances.rewards(log.scores_B),
            policy_estimates_B=chances.rewards(log.policy_scores_B),
            users=log.users_B,
        ),
    ]
    return [(one.value, one.low, one.high) for one in found]


def against_obp() -> list[Figure]:
    """Both policies' logs of all campaigns: the same values as obp's, to the ninth digit.

    The random policy is judged from the log of Thompson sampling, and a fixed one from the log of the random policy: at
    each place the item that was clicked most often there. Reward estimates are smoothed click rates by item and place.
    """
    wheel = fetch_wheel(WHEEL, Home(FOLDER / "off-policy"), progress=print)
    arrays: dict[str, np.ndarray] = {}
    ours: dict[str, dict[str, Estimate]] = {}
    for policy in TRAFFIC:
        for campaign in CAMPAIGNS:
            case = f"{policy}-{campaign}"
            given, ours[case] = judged(
                rows_as_logged(wheel, policy=policy, campaign=campaign), is_random=policy == "random"
            )
            arrays |= {f"{case}/{name}": values for name, values in given.items()}
    folder = FOLDER / "off-policy"
    np.savez(folder / "open-bandit.npz", allow_pickle=False, **arrays)
    run_peer(peer_python("obp", requirements=PEERS), "open_bandit.py", folder / "open-bandit.npz", folder / "obp.json")
    theirs = json.loads((folder / "obp.json").read_text())
    figures = []
    for case, found in ours.items():
        for name, one in found.items():
            interval = f"[{one.low:.5f}, {one.high:.5f}]" if not one.refusal else f"refused: {one.refusal}"
            print(f"{case}, {name}: {one.value:.5f} {interval}")
            figures.append(
                Figure(
                    figure=f"{name} of Open Bandit, {case}",
                    ours=one.value,
                    baseline=theirs[case][name],
                    goal="within 1e-9",
                    holds=abs(one.value - theirs[case][name]) <= 1e-9,
                )
            )
    return figures


def judged(rows: list[dict[str, str]], *, is_random: bool) -> tuple[dict[str, np.ndarray], dict[str, Estimate]]:
    """What obp is given, and our estimates from the same."""
    actions_B = np.array([int(row["item_id"]) for row in rows])
    places_B = np.array([int(row["position"]) - 1 for row in rows])
    rewards_B = np.array([float(row["click"]) for row in rows])
    propensity_B = np.array([float(row["propensity_score"]) for row in rows])
    num_items, num_places = actions_B.max() + 1, places_B.max() + 1
    clicks_AP, shown_AP = np.zeros((num_items, num_places)), np.zeros((num_items, num_places))
    np.add.at(clicks_AP, (actions_B, places_B), rewards_B)
    np.add.at(shown_AP, (actions_B, places_B), 1)
    rates_AP = (clicks_AP + rewards_B.mean() * 10) / (shown_AP + 10)
    policy_AP = (
        (rates_AP == rates_AP.max(axis=0)).astype(float) if is_random else np.full(rates_AP.shape, 1 / num_items)
    )
    given = {
        "reward": rewards_B,
        "action": actions_B,
        "position": places_B,
        "pscore": propensity_B,
        "action_dist": np.broadcast_to(policy_AP, (len(rows), *policy_AP.shape)),
        "estimated_rewards_by_reg_model": np.broadcast_to(rates_AP, (len(rows), *rates_AP.shape)),
    }
    weights_B = importance_weights(policy_AP[actions_B, places_B], propensity_B=propensity_B)
    found = {
        "ips": ips(rewards_B, weights_B=weights_B),
        "snips": snips(rewards_B, weights_B=weights_B),
        "dr": doubly_robust(
            rewards_B,
            weights_B=weights_B,
            logged_estimates_B=rates_AP[actions_B, places_B],
            policy_estimates_B=(policy_AP * rates_AP).sum(axis=0)[places_B],
        ),
    }
    if is_random:
        found["replay"] = replay(rewards_B, agrees_B=policy_AP[actions_B, places_B])
    return given, found


if __name__ == "__main__":
    main()
