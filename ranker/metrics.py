"""How well probabilities rank and how true they are: pure functions over numpy arrays.

Shapes: B examples, G groups (users or values of a segment). `weights` are the rows of the full log that each row
stands for; 1 each where they are left out. Undefined cases give NaN, never an error: no rows, one outcome only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_SMALLEST = float(np.finfo(np.float64).eps)


def auc(labels: Floats, scores: Floats, *, weights: Floats | None = None) -> float:
    """P(score of an acted row > score of another) + ½ P(equal), the area under the ROC curve.

    NaN with only one outcome. Equal to sklearn.metrics.roc_auc_score.

    >>> auc(np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.5, 0.5, 0.1]))
    0.875
    """
    wins_G, pairs_G = _wins_and_pairs(labels, scores, np.zeros(len(labels), dtype=np.int64), weights)
    return float(wins_G[0] / pairs_G[0]) if len(pairs_G) and pairs_G[0] > 0 else float("nan")


def gauc(labels: Floats, scores: Floats, *, users: Codes, weights: Floats | None = None) -> float:
    """Mean over users of their own AUC, weighted by their rows (Zhu et al. 2017, arXiv 1703.02091).

    A user with one outcome has no AUC and is left out; NaN if that leaves nobody.

    >>> labels, scores = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.5, 0.1, 0.2])
    >>> gauc(labels, scores, users=np.array([0, 0, 7, 7]))
    0.5
    """
    wins_G, pairs_G = _wins_and_pairs(labels, scores, users, weights)
    _, codes = np.unique(users, return_inverse=True)
    rows_G = np.bincount(codes, weights=_weights(labels, weights), minlength=len(pairs_G))
    both_G = pairs_G > 0
    if not both_G.any():
        return float("nan")
    return float(np.average(wins_G[both_G] / pairs_G[both_G], weights=rows_G[both_G]))


def _wins_and_pairs(labels: Floats, scores: Floats, groups: Codes, weights: Floats | None) -> tuple[Floats, Floats]:
    """Per group in ascending order: weighted (positive, negative) pairs won, ties as half, and all such pairs."""
    if not len(labels):
        return np.zeros(0), np.zeros(0)
    order = np.lexsort((scores, groups))
    groups, scores, labels = groups[order], scores[order], labels[order]
    weights = _weights(labels, None if weights is None else weights[order])
    starts_group = np.r_[True, groups[1:] != groups[:-1]]
    starts_tie = starts_group | np.r_[True, scores[1:] != scores[:-1]]
    ties = np.flatnonzero(starts_tie)
    positive_T = np.add.reduceat(weights * labels, ties)
    negative_T = np.add.reduceat(weights * (1 - labels), ties)
    first_tie_G = np.flatnonzero(starts_group[ties])
    positive_G, negative_G = np.add.reduceat(positive_T, first_tie_G), np.add.reduceat(negative_T, first_tie_G)
    group_T = np.cumsum(starts_group[ties]) - 1
    below_T = np.cumsum(negative_T) - negative_T - (np.cumsum(negative_G) - negative_G)[group_T]
    wins_G = np.add.reduceat(positive_T * (below_T + negative_T / 2), first_tie_G)
    return wins_G, positive_G * negative_G


def log_losses(labels: Floats, probabilities: Floats) -> Floats:
    """−y log p − (1 − y) log(1 − p) of each row, with p held inside (0, 1) by the smallest float64 step."""
    p = np.clip(probabilities, _SMALLEST, 1 - _SMALLEST)
    return -(labels * np.log(p) + (1 - labels) * np.log1p(-p))


def log_loss(labels: Floats, probabilities: Floats, *, weights: Floats | None = None) -> float:
    """Mean log loss in nats. NaN without rows. Equal to sklearn.metrics.log_loss.

    >>> round(log_loss(np.array([1.0, 0.0]), np.array([0.5, 0.5])), 4)
    0.6931
    """
    weights = _weights(labels, weights)
    return _ratio(float(weights @ log_losses(labels, probabilities)), float(weights.sum()))


def normalised_entropy(labels: Floats, probabilities: Floats, *, weights: Floats | None = None) -> float:
    """Log loss over that of always saying the mean rate (He et al. 2014): below 1 beats knowing nothing.

    NaN with only one outcome.
    """
    weights = _weights(labels, weights)
    rate = _ratio(float(weights @ labels), float(weights.sum()))
    if not 0 < rate < 1:
        return float("nan")
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
    return log_loss(labels, probabilities, weights=weights) / float(entropy)


def pcoc(labels: Floats, probabilities: Floats, *, weights: Floats | None = None) -> float:
    """Predicted over observed: Σ p / Σ y. 1 is calibrated on the whole; NaN without a positive.

    >>> pcoc(np.array([1.0, 0.0]), np.array([0.4, 0.4]))
    0.8
    """
    weights = _weights(labels, weights)
    return _ratio(float(weights @ probabilities), float(weights @ labels))


def pcoc_by_group(
    labels: Floats, probabilities: Floats, *, groups: Codes, num_groups: int, weights: Floats | None = None
) -> Floats:
    """PCOC (G) within each group 0 … G−1; NaN for a group without a positive."""
    weights = _weights(labels, weights)
    predicted_G = np.bincount(groups, weights=weights * probabilities, minlength=num_groups)
    observed_G = np.bincount(groups, weights=weights * labels, minlength=num_groups)
    return np.divide(predicted_G, observed_G, out=np.full(num_groups, np.nan), where=observed_G > 0)


def churn(before: Floats, after: Floats) -> float:
    """Prediction difference of two models on the same rows: mean 2 |p − q| / (p + q), in [0, 2].

    NaN without rows; a row where both say 0 differs by 0.

    >>> round(churn(np.array([0.1, 0.3]), np.array([0.3, 0.3])), 6)
    0.5
    """
    if not len(before):
        return float("nan")
    total = before + after
    return float(np.divide(2 * np.abs(before - after), total, out=np.zeros_like(total), where=total > 0).mean())


@dataclass(frozen=True, kw_only=True)
class CalibrationError:
    """An error beside its noise floor: what a perfectly calibrated model would show on as many rows."""

    error: float
    noise_floor: float
    noise_floor_95: float


def expected_calibration_error(
    labels: Floats, probabilities: Floats, *, num_bins: int = 15, weights: Floats | None = None
) -> float:
    """The field error of bins of equally many rows, sorted by p (ECE). NaN without rows.

    >>> float(round(expected_calibration_error(np.array([0.0, 1.0]), np.array([0.2, 0.6]), num_bins=2), 6))
    0.3
    """
    return field_error(labels, probabilities, groups=equal_bins(probabilities, num_bins), weights=weights)


def field_error(labels: Floats, probabilities: Floats, *, groups: Codes, weights: Floats | None = None) -> float:
    """Σ_groups share · |mean y − mean p|: how wrong the level is, group by group (Pan et al. 2020, Field-ECE).

    NaN without rows.

    >>> float(round(field_error(np.array([0.0, 1.0]), np.array([0.2, 0.6]), groups=np.array([7, 7])), 6))
    0.1
    """
    if not len(labels):
        return float("nan")
    weights = _weights(labels, weights)
    return float(np.abs(np.bincount(groups, weights=weights * (labels - probabilities))).sum() / weights.sum())


def calibration_errors(
    labels: Floats,
    probabilities: Floats,
    *,
    groups: Mapping[str, Codes],
    weights: Floats | None = None,
    repetitions: int = 200,
    seed: int = 0,
) -> dict[str, CalibrationError]:
    """The field error of each grouping, and the mean and 95 % quantile of the same of labels drawn from the
    probabilities themselves.

    An error below `noise_floor_95` is no evidence of miscalibration.
    """
    if not len(labels):
        unknown = float("nan")
        return dict.fromkeys(groups, CalibrationError(error=unknown, noise_floor=unknown, noise_floor_95=unknown))
    generator = np.random.default_rng(seed)
    simulated = np.empty((len(groups), repetitions))
    for repetition in range(repetitions):
        drawn = (generator.random(len(labels)) < probabilities).astype(np.float64)
        for place, codes in enumerate(groups.values()):
            simulated[place, repetition] = field_error(drawn, probabilities, groups=codes, weights=weights)
    return {
        name: CalibrationError(
            error=field_error(labels, probabilities, groups=codes, weights=weights),
            noise_floor=float(drawn.mean()),
            noise_floor_95=float(np.quantile(drawn, 0.95)),
        )
        for (name, codes), drawn in zip(groups.items(), simulated, strict=True)
    }


def calibration_error(
    labels: Floats,
    probabilities: Floats,
    *,
    num_bins: int = 15,
    weights: Floats | None = None,
    repetitions: int = 200,
    seed: int = 0,
) -> CalibrationError:
    """The ECE beside its noise floor, see `calibration_errors`."""
    groups = {"ece": equal_bins(probabilities, num_bins)}
    found = calibration_errors(
        labels, probabilities, groups=groups, weights=weights, repetitions=repetitions, seed=seed
    )
    return found["ece"]


def reliability(
    labels: Floats, probabilities: Floats, *, num_bins: int = 15, weights: Floats | None = None
) -> list[dict[str, float]]:
    """Bins of equally many rows by p: mean predicted, mean observed and rows of each, for a reliability diagram."""
    if not len(labels):
        return []
    weights = _weights(labels, weights)
    bins = equal_bins(probabilities, num_bins)
    mass = np.bincount(bins, weights=weights)
    predicted = np.bincount(bins, weights=weights * probabilities) / mass
    observed = np.bincount(bins, weights=weights * labels) / mass
    rows = np.bincount(bins)
    return [
        {"predicted": float(p), "observed": float(o), "rows": float(r)}
        for p, o, r in zip(predicted, observed, rows, strict=True)
    ]


def equal_bins(probabilities: Floats, num_bins: int = 15) -> Codes:
    """Bin of each row by the rank of its probability; no more bins than rows, none empty."""
    if num_bins < 1:
        raise ValueError(f"num_bins is {num_bins}; it must be at least 1")
    num_bins = min(num_bins, len(probabilities))
    rank = np.empty(len(probabilities), dtype=np.int64)
    rank[np.argsort(probabilities, kind="stable")] = np.arange(len(probabilities))
    return rank * num_bins // len(probabilities)


def _weights(labels: Floats, weights: Floats | None) -> Floats:
    return np.ones(len(labels)) if weights is None else weights


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else float("nan")
