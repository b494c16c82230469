"""Drift on simulated days: false alarms on clean ones, and what is noticed of planted shifts. (35 minutes)

The days are those of a service whose users, items and tastes come and go, with 10,000 examples and 51 features each.
Beside it the usual defaults, a PSI or a Jensen–Shannon distance of .1 against the same reference. The limits were
chosen on worlds 100 to 103.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from multiprocessing import get_context

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.spatial.distance import jensenshannon

from benchmarks._anomalies import worlds_with_anomalies
from benchmarks._figures import Figure, report
from benchmarks._service_days import WorldFigures, figures_of_world
from decisions.days import DayFigures, FeatureFigures, cumulative, reference_of
from decisions.drift import Known, distances, drifts
from simulator.chance import generator

FIRST_JUDGED = 56
QUIET_SEEDS = range(10, 13)
DEFAULT_LIMIT = 0.1
# Rows are nearly independent in these; in the others users, or items, bring many rows with one value.
OF_A_ROW = ("logged_affinity", "score")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A day of a world, all of that world's days, and how far each lies from those before it."""

    day: date
    days: Mapping[date, DayFigures]
    known: Known

    def drifted(self, moved: DayFigures | None = None) -> set[str]:
        """What is called drift on the day, or on the day as it was moved."""
        known = self.known
        if moved is not None:
            known = {**known, self.day: {**known[self.day], **distances(moved, self.days)}}
        return {one.name for one in drifts(self.day, known) if one.drifted}


def main() -> None:
    worlds = worlds_with_anomalies()
    # A service with 50,000 examples a day, of which 2 % are clicked.
    make = partial(figures_of_world, rows_a_day=50_000, weeks=16, click_log_odds=-4.75)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        quiet = list(processes.map(make, QUIET_SEEDS))
    judged = [one for world in worlds for one in judged_of(world)]
    alarms = {
        "ours": share(judged, lambda one: bool(one.drifted())),
        "PSI": share(judged, lambda one: by_default(one, psi)),
        "Jensen–Shannon": share(judged, lambda one: by_default(one, jensen_shannon)),
    }
    print(f"days with an alarm, of {len(judged)} clean ones: {alarms}", flush=True)
    power = shifted(judged[::5])
    table = Table("feature", "noticed", "by PSI", "by Jensen–Shannon", title="+0.1 standard deviations on one day")
    for name, found in sorted(power.items(), key=lambda one: -one[1][0]):
        table.add_row(name, *(f"{one:.2f}" for one in found))
    Console().print(table)
    doubled = share(judged[::2], partial(rate_is_noticed, factor=2.0))
    late = [one for world in quiet for one in judged_of(world)]
    up, down = (share(late, partial(rate_is_noticed, factor=factor)) for factor in (1.25, 0.75))
    of_a_row = float(np.mean([power[name][0] for name in OF_A_ROW]))
    by_psi = float(np.mean([power[name][1] for name in OF_A_ROW]))
    clicks = np.mean([one.positives["click"] / one.examples for world in quiet for one in world.days])
    report(
        "drift",
        [
            Figure(
                figure=f"share of {len(judged)} clean days with any alarm, baseline PSI at .1",
                ours=alarms["ours"],
                baseline=alarms["PSI"],
                goal="≤ .017",
                holds=alarms["ours"] <= 0.017 and len(judged) >= 1000,
            ),
            Figure(
                figure=f"+0.1 sd noticed at 10,000 rows, of {', '.join(OF_A_ROW)}, baseline PSI",
                ours=of_a_row,
                baseline=by_psi,
                goal="≥ .99",
                holds=of_a_row >= 0.99,
            ),
            Figure(
                figure="a doubled CTR noticed at 10,000 rows, baseline the goal",
                ours=doubled,
                baseline=0.99,
                goal="≥ .99",
                holds=doubled >= 0.99,
            ),
            Figure(
                figure=f"CTR + 25 % noticed at 50,000 rows of {clicks:.1%} clicks, baseline the goal",
                ours=up,
                baseline=0.9,
                goal="≥ .9",
                holds=up >= 0.9,
            ),
            Figure(
                figure="CTR − 25 % noticed there, baseline the goal",
                ours=down,
                baseline=0.9,
                goal="≥ .9",
                holds=down >= 0.9,
            ),
        ],
    )


def judged_of(world: WorldFigures) -> list[Judged]:
    days = {one.day: one for one in world.days}
    known = {one.day: distances(one, days) for one in world.days}
    return [Judged(day=one.day, days=days, known=known) for one in world.days[FIRST_JUDGED:]]


def share(judged: Sequence[Judged], of: Callable[[Judged], bool]) -> float:
    return float(np.mean([of(one) for one in judged]))


def shifted(judged: Sequence[Judged]) -> dict[str, tuple[float, float, float]]:
    """The share of days on which each numeric feature is noticed that lies 0.1 of its deviations higher that day."""
    found: dict[str, list[tuple[bool, bool, bool]]] = {}
    for one in judged:
        for name, feature in one.days[one.day].features.items():
            if feature.kind == "numeric":
                quantiles_L = feature.quantiles_L + 0.1 * float(feature.quantiles_L.std())
                higher = replace(feature, quantiles_L=quantiles_L)
                moved = replace(one.days[one.day], features={name: higher}, positives={})
                found.setdefault(name, []).append(
                    (
                        name in one.drifted(moved),
                        of_feature(higher, name, one, psi) > DEFAULT_LIMIT,
                        of_feature(higher, name, one, jensen_shannon) > DEFAULT_LIMIT,
                    )
                )
    return {name: tuple(np.mean(one, axis=0).tolist()) for name, one in found.items()}


def rate_is_noticed(one: Judged, *, factor: float) -> bool:
    """Whether more or fewer clicks on that day are called drift."""
    chance = generator(one.day.toordinal(), "clicks", round(100 * factor))
    day = one.days[one.day]
    clicks = day.positives["click"]
    now = clicks + chance.poisson((factor - 1) * clicks) if factor > 1 else chance.binomial(clicks, factor)
    return "action click" in one.drifted(replace(day, features={}, positives={"click": int(now)}))


def by_default(one: Judged, measure: Callable[[np.ndarray, np.ndarray], float]) -> bool:
    features = one.days[one.day].features
    return any(of_feature(feature, name, one, measure) > DEFAULT_LIMIT for name, feature in features.items())


def of_feature(
    feature: FeatureFigures, name: str, one: Judged, measure: Callable[[np.ndarray, np.ndarray], float]
) -> float:
    """A measure of two histograms, over the reference's deciles or the values, each bin with a row at least."""
    reference = [other.features[name] for other in reference_of(one.day, one.days)]
    if feature.kind == "categorical":
        values = sorted({value for other in (feature, *reference) for value in other.values})
        here, there = _counts([feature], values), _counts(reference, values)
    else:
        edges = np.unique(np.median([other.quantiles_L for other in reference], axis=0)[20:200:20])
        here, there = _bins([feature], edges), _bins(reference, edges)
    return measure(here, there)


def _counts(features: Sequence[FeatureFigures], values: Sequence[str]) -> np.ndarray:
    counts = [sum(one.values[value].examples for one in features if value in one.values) for value in values]
    return np.maximum(counts, 1) / max(sum(counts), 1)


def _bins(features: Sequence[FeatureFigures], edges: np.ndarray) -> np.ndarray:
    up_to = np.mean([cumulative(one.quantiles_L, edges)[1] for one in features], axis=0)
    return np.maximum(np.diff([0.0, *up_to, 1.0]), 1e-4)


def psi(here: np.ndarray, there: np.ndarray) -> float:
    """Σ (p − q) log(p / q)."""
    return float(((here - there) * np.log(here / there)).sum())


def jensen_shannon(here: np.ndarray, there: np.ndarray) -> float:
    """The root of the divergence, in bits."""
    return float(jensenshannon(here, there, base=2))


if __name__ == "__main__":
    main()
