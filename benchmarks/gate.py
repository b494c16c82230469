"""The gate on retrains that changed nothing and on planted regressions, at an AUC margin of .003 (40 minutes).

A simulated week is judged over and over. Truth is the world's chance of a click of every row; outcomes are drawn from
it anew for each retrain. A model knows the truth but for an error of its own kind, which all retrains share, and a
small one of its seed, and is calibrated by segment on outcomes of its own. Production and candidate differ in their
seeds; a regression has more noise in its scores, so much that it costs .003 of AUC by the true chances, or predicts
10 % more in one segment. So what is judged is scores and not trainings, and the way from them to the decision is that
of a retrain: `action_figures`, `off_policy_figures`, `gate`, every criterion but those on the training set.

How many rows that takes follows from the standard errors of the AUC's gain and of a segment's PCOC, which fall with the
root of the rows; both are measured at several click rates. The segment that is raised is one of the larger ones.
"""

import argparse
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from scipy.optimize import brentq
from scipy.special import expit, logit

from benchmarks._figures import Figure, report
from benchmarks._simulated import SPEC, Totals, examples_of
from benchmarks._worlds import found_in_worlds
from decisions.criterion import Decision
from decisions.gate import GateLimits, gate
from decisions.interval import Z_95
from decisions.serving import ServingFigures
from lakehouse.dataset import ACTIONS
from orchestration.judging import action_figures, off_policy_figures
from ranker import Examples, Slates, fit_calibration
from ranker.metrics import Codes, Floats, auc
from ranker.scoring import position_codes
from simulator.policy import NOISY_RENOWN
from simulator.simulate import DayLog, simulate_day
from simulator.world import CANDIDATES, START, SURFACES, World

ACTION, MARGIN = "click", 0.003
# What a busy log can ask: a third of the default margins, and three fifths of what a segment may worsen by.
LIMITS = GateLimits(auc_margin=MARGIN, log_loss_margin=MARGIN, segment_worse_tolerance=0.02, segment_worse_harm=0.03)
# Segments with a smaller share of the clicks take more rows than are judged here; the table says how many.
LEAST_SHARE = 0.15
EXPOSURES, CLICK_LOG_ODDS = 400_000, -3.0
# Where a click's log-odds begin; the click rate follows.
RATES = {"busy": -3.0, "usual": -3.85, "quiet": -5.0}
EXPOSURES_OF_TABLE = 200_000
# Standard deviations, in log-odds, of what no retrain knows and of what two retrains on the same rows differ in.
SHARED_ERROR, SEED_ERROR = 0.5, 0.05
LOST_AUC, RAISED = 0.003, 1.10
SERVING = ServingFigures(weights_bytes=2_000_000, flops=270_000, pcoc_without={"logged_affinity": 1.1})
IDENTICAL, WORSE_AUC, WORSE_SEGMENT = "identical", "AUC −.003", "+10 % in one segment"
# Bounds that both rules need 95 times in 100, in standard errors: the block's own, and that the estimate reaches it.
TWICE_95 = 2 * Z_95


@dataclass(frozen=True, kw_only=True)
class Week:
    """The shown rows with their true chances, and all candidates of random requests with theirs at the first place."""

    examples: Examples
    truth_B: Floats
    slates: Slates
    first_truth_K: Floats
    fading_K: Floats


@dataclass(frozen=True, kw_only=True)
class Model:
    """Calibrated chances of the shown rows, and what it orders candidates by."""

    p_B: Floats
    scores_K: Floats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--retrains", type=int, default=100, help="identical ones, and as many regressions")
    parser.add_argument("--exposures", type=int, default=EXPOSURES)
    arguments = parser.parse_args()
    seeds, name = range(arguments.retrains), f"gate-{arguments.exposures}"
    found = found_in_worlds(name, Retrains(arguments.exposures), seeds=seeds)
    needed = found_in_worlds("gate-rows", rows_needed, seeds=range(len(RATES)))
    for one in needed:
        print(
            f"click rate {one['rate']:.2%}: {one['auc_rows']:,.0f} evaluation rows for AUC −.003, for +10 % "
            f"{one['segment_rows']:,.0f} in {one['segment']} and {one['smallest_rows']:,.0f} in {one['smallest']}"
        )
    report("gate", figures(found))


@dataclass(frozen=True)
class Retrains:
    """An identical retrain and a regression by seed, as what the gate says of both; a function for processes."""

    exposures: int

    def __call__(self, seed: int) -> dict[str, Any]:
        week = simulated_week(exposures=self.exposures, click_log_odds=CLICK_LOG_ODDS, seed=0)
        planted = WORSE_AUC if seed % 2 else WORSE_SEGMENT
        decisions = {name: judged(week, name, seed=seed) for name in (IDENTICAL, planted)}
        for name, decision in decisions.items():
            print(f"retrain {seed}, {name}: {decision.verdict}, {decision.reason[:160]}", flush=True)
        return {
            name: {
                "verdict": decision.verdict,
                "because": [one.name for one in decision.criteria if one.status in ("block", "needs-a-person")],
            }
            for name, decision in decisions.items()
        }


def judged(week: Week, name: str, *, seed: int) -> Decision:
    """What the gate says of a candidate beside production, by outcomes of this seed."""
    chance = np.random.default_rng([seed, 7])
    before, after = retrained(week, name, seed=seed, chance=chance)
    slates = with_slate_outcomes(week, chance)
    off_policy, _ = off_policy_figures(
        slates,
        {"candidate": after.scores_K, "production": before.scores_K},
        log_odds=lambda positions_K: logit(expit(after.scores_K) * faded(week, positions_K)),
        seed=seed,
    )
    examples = with_outcomes(week, chance)
    found = action_figures(ACTION, examples, candidate=after.p_B, production=before.p_B, seed=seed)
    return gate(
        {ACTION: found},
        actions=(ACTION,),
        random_slice=True,
        positions=True,
        production="before",
        random_slice_rows=int(slates.placed_B.sum()),
        off_policy=off_policy,
        serving=SERVING,
        limits=LIMITS,
    )


def retrained(week: Week, name: str, *, seed: int, chance: np.random.Generator) -> tuple[Model, Model]:
    """Production and the candidate."""
    shared_B = logit(week.truth_B) + chance.normal(0, SHARED_ERROR, len(week.truth_B))
    shared_K = logit(week.first_truth_K) + chance.normal(0, SHARED_ERROR, len(week.first_truth_K))

    def noisier(log_odds_B: Floats, scores_K: Floats, *, noise: float) -> Model:
        noisy_B = log_odds_B + noise * chance.normal(size=len(log_odds_B))
        return Model(
            p_B=calibrated(noisy_B, week, chance), scores_K=scores_K + noise * chance.normal(size=len(scores_K))
        )

    before, after = (noisier(shared_B, shared_K, noise=SEED_ERROR) for _ in range(2))
    if name == WORSE_AUC:
        known_B, noise_B = logit(after.p_B), chance.normal(size=len(after.p_B))
        aim = auc(week.truth_B, before.p_B) - LOST_AUC
        more = brentq(lambda noise: auc(week.truth_B, known_B + noise * noise_B) - aim, 0.0, 3.0, xtol=1e-4)
        noise_K = chance.normal(size=len(after.scores_K))
        after = Model(p_B=calibrated(known_B + more * noise_B, week, chance), scores_K=after.scores_K + more * noise_K)
    if name == WORSE_SEGMENT:
        large = large_segments(week)
        raised_B = large[seed // 2 % len(large)]
        after = replace(after, p_B=np.where(raised_B, np.minimum(RAISED * after.p_B, 0.999), after.p_B))
    return before, after


def calibrated(log_odds_B: Floats, week: Week, chance: np.random.Generator) -> Floats:
    """By segment and position, on outcomes of their own."""
    labels = (chance.random(len(log_odds_B)) < week.truth_B).astype(np.float64)
    groups = {**week.examples.segments, "position": position_codes(week.examples.position_B)}
    fitted = fit_calibration(log_odds_B, labels, method="pooled", groups=groups)
    return fitted.apply(log_odds_B, groups=groups)


def large_segments(week: Week) -> list[np.ndarray]:
    """Which rows each of the larger segments holds."""
    groups = [codes.codes == code for codes in week.examples.segments.values() for code in range(len(codes.names))]
    return [group_B for group_B in groups if week.truth_B[group_B].sum() >= LEAST_SHARE * week.truth_B.sum()]


def with_outcomes(week: Week, chance: np.random.Generator) -> Examples:
    clicked_B = torch.from_numpy(chance.random(len(week.truth_B)) < week.truth_B).float()
    return replace(week.examples, actions=(ACTION,), labels_BA=clicked_B.unsqueeze(1), acted_B=clicked_B)


def with_slate_outcomes(week: Week, chance: np.random.Generator) -> Slates:
    seen_K = week.slates.placed_B * faded(week, week.slates.positions_B)
    clicked_K = chance.random(len(seen_K)) < seen_K * week.first_truth_K
    return replace(week.slates, rewards_B=clicked_K.astype(np.float64))


def faded(week: Week, positions_K: Codes) -> Floats:
    """What is left of the chance at the first place; at no place (0), all."""
    return np.maximum(positions_K, 1).astype(np.float64) ** -week.fading_K


@cache
def simulated_week(*, exposures: int, click_log_odds: float, seed: int) -> Week:
    world = World.draw(exposures=exposures, weeks=1, seed=seed, click_log_odds=click_log_odds)
    totals, tables, logs = Totals(world=world), [], []
    for day in range(7):
        log = simulate_day(world, START + timedelta(days=day), NOISY_RENOWN)
        tables.append(examples_of(log, totals=totals))
        logs.append(log)
        totals.add(log)
    table = pa.concat_tables(tables).combine_chunks()
    candidates = [candidates_of(log) for log in logs]
    requests_K, users_K, items_K, positions_K, fading_K, truth_K = map(np.concatenate, zip(*candidates, strict=True))
    return Week(
        examples=Examples.from_arrow(table, spec=SPEC, actions=ACTIONS),
        truth_B=np.clip(table[f"{ACTION}_truth"].to_numpy(), 1e-6, 1 - 1e-6),
        slates=Slates(
            rewards_B=np.zeros(len(requests_K)),
            positions_B=positions_K,
            propensity_B=np.full(len(requests_K), 1 / CANDIDATES),
            requests_B=requests_K,
            users_B=users_K,
            ties_B=items_K,
        ),
        first_truth_K=np.clip(truth_K, 1e-6, 1 - 1e-6),
        fading_K=fading_K,
    )


def candidates_of(log: DayLog) -> tuple[np.ndarray, ...]:
    """Request, user, item, place (0: none), fading and chance when seen, of all candidates of random requests."""
    rows = np.flatnonzero(log.requests.random_R[log.request_N])
    request_K = log.request_N[rows]
    return (
        log.requests.number_R[request_K],
        log.requests.user_R[request_K],
        log.item_N[rows],
        np.where(log.shown_N[rows], log.place_N[rows], 0),
        np.array([surface.fading for surface in SURFACES])[log.requests.surface_R[request_K]],
        log.if_seen_N[ACTION][rows],
    )


def rows_needed(index: int) -> dict[str, Any]:
    """At one click rate: rows with which a regression of either kind is blocked 95 times in 100, by their errors."""
    click_log_odds = list(RATES.values())[index]
    week = simulated_week(exposures=EXPOSURES_OF_TABLE, click_log_odds=click_log_odds, seed=1)
    chance = np.random.default_rng(index)
    before, after = retrained(week, WORSE_AUC, seed=index, chance=chance)
    examples = with_outcomes(week, chance)
    found = action_figures(ACTION, examples, candidate=after.p_B, production=before.p_B, seed=index)
    assert found.auc_gain is not None
    assert found.segments is not None
    num_rows = len(week.truth_B)
    error = (found.auc_gain.upper_95 - found.auc_gain.lower_95) / TWICE_95
    # −.003 must lie two such bounds below the harm.
    allowed = (LOST_AUC - LIMITS.harm) / TWICE_95
    bounds = NormalDist().inv_cdf(1 - 0.05 / len(found.segments)) + Z_95
    allowed_segment = np.log(RAISED / (1 + LIMITS.segment_worse_harm)) / bounds
    rows = {}
    for name, one in found.segments.items():
        of_segment = np.log(one.pcoc.upper_95 / one.pcoc.lower_95) / TWICE_95
        rows[one.positives / found.positives, name] = float(num_rows * (of_segment / allowed_segment) ** 2)
    (least_share, least), (share, large) = min(rows), min(key for key in rows if key[0] >= LEAST_SHARE)
    return {
        "rate": found.positives / found.rows,
        "auc_rows": num_rows * (error / allowed) ** 2,
        "segment": f"{large} ({share:.0%} of the clicks)",
        "segment_rows": rows[share, large],
        "smallest": f"{least} ({least_share:.0%})",
        "smallest_rows": rows[least_share, least],
    }


def figures(found: list[dict[str, Any]]) -> list[Figure]:
    """Shares of verdicts; the baseline is what a gate of the AUC's margin alone would have let through or held up."""
    identical = [one[IDENTICAL] for one in found]
    planted = [(name, verdict) for one in found for name, verdict in one.items() if name != IDENTICAL]
    for name in (IDENTICAL, WORSE_AUC, WORSE_SEGMENT):
        given = [one[name] for one in found if name in one]
        because = Counter(criterion for one in given for criterion in one["because"])
        verdicts = Counter(one["verdict"] for one in given)
        print(f"{name}: {dict(verdicts)} of {len(given)}; because of {dict(because)}")
    held = float(np.mean([one["verdict"] != "pass" for one in identical]))
    blocked, passed = (float(np.mean([one["verdict"] == what for _, one in planted])) for what in ("block", "pass"))
    by_auc = float(np.mean([f"{ACTION}: AUC gain" in one["because"] for _, one in planted]))
    return [
        Figure(
            figure=f"share of {len(identical)} identical retrains held up; baseline: of regressions",
            ours=held,
            baseline=1 - passed,
            goal="≤ .05",
            holds=held <= 0.05,
        ),
        Figure(
            figure=f"share of {len(planted)} regressions blocked; baseline: stopped by the AUC's gain alone",
            ours=blocked,
            baseline=by_auc,
            goal="≥ .95",
            holds=blocked >= 0.95,
        ),
        Figure(
            figure=f"share of {len(planted)} regressions passed; baseline: not stopped by the AUC's gain",
            ours=passed,
            baseline=1 - by_auc,
            goal="≤ .01",
            holds=passed <= 0.01,
        ),
    ]


if __name__ == "__main__":
    main()
