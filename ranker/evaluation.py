"""The evaluation report: every figure of a ranker on later rows, as plain JSON data."""

from typing import Any

import numpy as np

from ranker.bootstrap import auc_statistic, bootstrap, log_loss_statistic, pcoc_statistic
from ranker.examples import Codes, Examples
from ranker.metrics import (
    Floats,
    auc,
    calibration_error,
    churn,
    gauc,
    log_loss,
    normalised_entropy,
    pcoc,
    pcoc_by_group,
    reliability,
)
from ranker.scoring import position_codes


def evaluate(
    probabilities: dict[str, Floats],
    examples: Examples,
    *,
    before: dict[str, Floats] | None = None,
    repetitions: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """Figures per action of probabilities at the position shown, in the row order of `examples`.

    {"rows", "users", "actions": {action: {
        "rows", "positives", "rate", "auc", "log_loss", "normalised_entropy", "gauc", "pcoc",
        "intervals": {"auc", "log_loss", "pcoc": [low, high]},   95 %, bootstrap by user
        "ece": {"ece", "noise_floor", "noise_floor_95"}, "reliability": [{"predicted", "observed", "rows"}],
        "segments": {segment: {value: group}}, "positions": {position: group}, "churn": against `before` }}}
    with group = {"rows", "positives", "auc", "log_loss", "pcoc", "pcoc_standard_error"}. Figures that are
    undefined (one outcome only, no rows) are None. Rows are weighted by what they stand for.
    pcoc_standard_error: √Σ w² p (1 − p) / Σ w y, the spread of a perfectly calibrated model.
    """
    report: dict[str, Any] = {"rows": len(examples), "users": len(np.unique(examples.user.codes)), "actions": {}}
    for action, p in probabilities.items():
        if len(p) != len(examples):
            raise ValueError(f"{len(p)} probabilities of {action!r} for {len(examples)} examples")
        previous = None if before is None else before.get(action)
        report["actions"][action] = _action(action, p, examples, previous, repetitions, seed)
    return report


def _action(
    action: str, p: Floats, examples: Examples, previous: Floats | None, repetitions: int, seed: int
) -> dict[str, Any]:
    labels, weights, users = examples.label(action), examples.weights, examples.user.codes
    error = calibration_error(labels, p, weights=weights, seed=seed)
    intervals: dict[str, Any] = {}
    if len(labels):
        samples = bootstrap(
            {
                "auc": auc_statistic(labels, p),
                "log_loss": log_loss_statistic(labels, p),
                "pcoc": pcoc_statistic(labels, p),
            },
            users=users,
            weights=weights,
            repetitions=repetitions,
            seed=seed,
        )
        intervals = {name: [_number(end) for end in one.interval()] for name, one in samples.items()}
    at = position_codes(examples.position_B)
    return {
        "rows": len(labels),
        "positives": int(labels.sum()),
        "rate": _number(float(weights @ labels / weights.sum()) if len(labels) else float("nan")),
        "auc": _number(auc(labels, p, weights=weights)),
        "log_loss": _number(log_loss(labels, p, weights=weights)),
        "normalised_entropy": _number(normalised_entropy(labels, p, weights=weights)),
        "gauc": _number(gauc(labels, p, users=users, weights=weights)),
        "pcoc": _number(pcoc(labels, p, weights=weights)),
        "intervals": intervals,
        "ece": {
            "ece": _number(error.ece),
            "noise_floor": _number(error.noise_floor),
            "noise_floor_95": _number(error.noise_floor_95),
        },
        "reliability": reliability(labels, p, weights=weights),
        "segments": {name: _groups(labels, p, weights, codes) for name, codes in examples.segments.items()},
        "positions": _groups(labels, p, weights, at),
        "churn": None if previous is None else _number(churn(previous, p)),
    }


def _groups(labels: Floats, p: Floats, weights: Floats, groups: Codes) -> dict[str, dict[str, Any]]:
    """Figures within each value that occurs, by name."""
    num = len(groups.names)
    pcoc_G = pcoc_by_group(labels, p, groups=groups.codes, num_groups=num, weights=weights)
    variance_G = np.bincount(groups.codes, weights=weights**2 * p * (1 - p), minlength=num)
    observed_G = np.bincount(groups.codes, weights=weights * labels, minlength=num)
    order = np.argsort(groups.codes, kind="stable")
    ends = np.cumsum(np.bincount(groups.codes, minlength=num))
    report = {}
    for group, name in enumerate(groups.names):
        rows = order[(ends[group - 1] if group else 0) : ends[group]]
        if not len(rows):
            continue
        known = observed_G[group] > 0
        report[name] = {
            "rows": len(rows),
            "positives": int(labels[rows].sum()),
            "auc": _number(auc(labels[rows], p[rows], weights=weights[rows])),
            "log_loss": _number(log_loss(labels[rows], p[rows], weights=weights[rows])),
            "pcoc": _number(float(pcoc_G[group])),
            "pcoc_standard_error": float(np.sqrt(variance_G[group]) / observed_G[group]) if known else None,
        }
    return report


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
