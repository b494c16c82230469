"""Paired bootstrap by user: how much two models' figures differ, and how sure that is.

Users, not rows, are drawn with replacement: rows of one user are alike, and resampling rows would make intervals
too narrow. Both models see the same draw. Shapes: R repetitions, U users, B rows.
"""

from collections.abc import Callable, Sized
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranker.metrics import Codes, Floats, log_losses

Statistic = Callable[[Floats], float]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """`estimate` on the rows as they are, and `samples_R` of the same figure on resampled users."""

    estimate: float
    samples_R: Floats

    def quantile(self, level: float) -> float:
        """The bootstrap quantile; samples without a value (one outcome only) are left out, NaN if all are."""
        known = self.samples_R[~np.isnan(self.samples_R)]
        return float(np.quantile(known, level)) if len(known) else float("nan")

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The central percentile interval."""
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)


def auc_statistic(labels: Floats, scores: Floats) -> Statistic:
    """AUC as a function of row weights; the rows are sorted once. NaN where the weights leave one outcome."""
    order = np.argsort(scores, kind="stable")
    sorted_labels, sorted_scores = labels[order], scores[order]
    ties = np.flatnonzero(np.r_[True, sorted_scores[1:] != sorted_scores[:-1]])

    def auc_of(weights_B: Floats) -> float:
        weights = weights_B[order]
        positive_T = np.add.reduceat(weights * sorted_labels, ties)
        negative_T = np.add.reduceat(weights * (1 - sorted_labels), ties)
        pairs = positive_T.sum() * negative_T.sum()
        wins = float(positive_T @ (np.cumsum(negative_T) - negative_T / 2))
        return wins / float(pairs) if pairs > 0 else float("nan")

    return auc_of


def log_loss_statistic(labels: Floats, probabilities: Floats) -> Statistic:
    """Mean log loss as a function of row weights."""
    losses = log_losses(labels, probabilities)
    return lambda weights_B: float(weights_B @ losses / weights_B.sum())


def pcoc_statistic(labels: Floats, probabilities: Floats) -> Statistic:
    """Predicted over observed as a function of row weights; NaN where they leave no positive."""

    def pcoc_of(weights_B: Floats) -> float:
        observed = float(weights_B @ labels)
        return float(weights_B @ probabilities) / observed if observed > 0 else float("nan")

    return pcoc_of


def field_error_statistic(labels: Floats, probabilities: Floats, *, groups: Codes) -> Statistic:
    """`metrics.field_error` as a function of row weights; with `metrics.equal_bins` of p as groups it is the ECE."""
    gaps, num = labels - probabilities, int(groups.max(initial=0)) + 1
    return lambda weights_B: float(
        np.abs(np.bincount(groups, weights=weights_B * gaps, minlength=num)).sum() / weights_B.sum()
    )


def bootstrap(
    statistics: dict[str, Statistic],
    *,
    users: Codes,
    weights: Floats | None = None,
    repetitions: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Resample users and evaluate every statistic on the same draws.

    A statistic is a function of row weights; a difference is one that subtracts two. `weights` are the rows'
    own weights (1 each if left out), multiplied by how often their user was drawn.
    Raises ValueError without rows or with fewer than 1 repetition.

    >>> mean = lambda weights: float(weights @ np.array([1.0, 1.0]) / weights.sum())
    >>> bootstrap({"mean": mean}, users=np.array([3, 4]), repetitions=10)["mean"].interval()
    (1.0, 1.0)
    """
    if not len(users) or repetitions < 1:
        raise ValueError(f"{len(users)} rows and {repetitions} repetitions; a bootstrap needs at least one of each")
    own_B = np.ones(len(users)) if weights is None else weights
    _, user_B = np.unique(users, return_inverse=True)
    num_users = int(user_B.max()) + 1
    generator = np.random.default_rng(seed)
    samples = {name: np.empty(repetitions) for name in statistics}
    for repetition in range(repetitions):
        drawn_U = np.bincount(generator.integers(0, num_users, num_users), minlength=num_users)
        drawn_B = own_B * drawn_U[user_B]
        for name, statistic in statistics.items():
            samples[name][repetition] = statistic(drawn_B)
    return {
        name: Difference(estimate=statistic(own_B), samples_R=samples[name]) for name, statistic in statistics.items()
    }


def paired_bootstrap(
    labels: Floats,
    *,
    candidate: Floats,
    baseline: Floats,
    users: npt.NDArray[np.int64],
    weights: Floats | None = None,
    repetitions: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Differences candidate − baseline of "auc", "log_loss" and "pcoc_distance", |PCOC − 1|.

    `candidate` and `baseline` are probabilities of the same rows. For auc above 0 is better, for the others below.

    >>> labels, p = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.8, 0.3, 0.6, 0.4])
    >>> same = paired_bootstrap(labels, candidate=p, baseline=p, users=np.array([1, 1, 2, 2]), repetitions=20)
    >>> same["auc"].estimate, same["log_loss"].interval()
    (0.0, (0.0, 0.0))
    """
    check_same_rows(labels, candidate=candidate, baseline=baseline, users=users)

    def difference(of: Callable[[Floats, Floats], Statistic]) -> Statistic:
        ours, theirs = of(labels, candidate), of(labels, baseline)
        return lambda weights_B: ours(weights_B) - theirs(weights_B)

    def distance(labels: Floats, probabilities: Floats) -> Statistic:
        pcoc_of = pcoc_statistic(labels, probabilities)
        return lambda weights_B: abs(pcoc_of(weights_B) - 1)

    statistics = {
        "auc": difference(auc_statistic),
        "log_loss": difference(log_loss_statistic),
        "pcoc_distance": difference(distance),
    }
    return bootstrap(statistics, users=users, weights=weights, repetitions=repetitions, seed=seed)


def check_same_rows(labels: Sized, *, candidate: Sized, baseline: Sized, users: Sized) -> None:
    """Raises ValueError where two models are not given for the same rows."""
    if not len(labels) == len(candidate) == len(baseline) == len(users):
        raise ValueError(
            f"labels, candidate, baseline and users have {len(labels)}, {len(candidate)}, {len(baseline)} and "
            f"{len(users)} rows; they must be the same rows"
        )
