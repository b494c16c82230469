"""The evaluation report: every figure of a ranker on later rows, as plain JSON data."""

from dataclasses import asdict
from typing import Any

import numpy as np

from ranker.bootstrap import auc_statistic, bootstrap, field_error_statistic, log_loss_statistic, pcoc_statistic
from ranker.examples import Codes, Examples
from ranker.metrics import (
    CalibrationError,
    Floats,
    auc,
    calibration_errors,
    churn,
    equal_bins,
    gauc,
    log_loss,
    normalised_entropy,
    pcoc,
    pcoc_by_group,
    reliability,
)
from ranker.scoring import position_codes
from ranker.slates import hit_rate_at, ndcg_at, top_change_at


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
        "intervals": {"auc", "log_loss", "pcoc", "ece": [low, high]},   95 %, bootstrap by user
        "ece": error, "field_error": {segment: error}, "reliability": [{"predicted", "observed", "rows"}],
        "ndcg_at_10", "hit_at_3": by request, "churn", "top_3_change": against `before`,
        "segments": {segment: {value: group}}, "positions": {position: group} }}}
    with error = {"error", "noise_floor", "noise_floor_95"} and group = {"rows", "positives", "auc", "log_loss", "pcoc",
    "pcoc_standard_error"}. Figures that are undefined (one outcome only, no rows, requests that sampling left rows out
    of) are None. Rows are weighted by what they stand for.
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
    fields = {name: codes.codes for name, codes in examples.segments.items()}
    bins = equal_bins(p)
    errors = calibration_errors(labels, p, groups={"(ece)": bins} | fields, weights=weights, seed=seed)
    intervals: dict[str, Any] = {}
    if len(labels):
        samples = bootstrap(
            {
                "auc": auc_statistic(labels, p),
                "log_loss": log_loss_statistic(labels, p),
                "pcoc": pcoc_statistic(labels, p),
                "ece": field_error_statistic(labels, p, groups=bins),
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
        "ece": _error(errors.pop("(ece)")),
        "field_error": {name: _error(one) for name, one in errors.items()},
        "reliability": reliability(labels, p, weights=weights),
        "segments": {name: _groups(labels, p, weights, codes) for name, codes in examples.segments.items()},
        "positions": _groups(labels, p, weights, at),
        **_by_request(labels, p, examples, previous),
        "churn": None if previous is None else _number(churn(previous, p)),
    }


def _by_request(labels: Floats, p: Floats, examples: Examples, previous: Floats | None) -> dict[str, float | None]:
    """What stands first in each request. Where rows were sampled away, nobody knows what stood there."""
    if (examples.weights != 1).any():
        return {"ndcg_at_10": None, "hit_at_3": None, "top_3_change": None}
    requests, ties = examples.request_codes, np.arange(len(p))
    return {
        "ndcg_at_10": _number(ndcg_at(10, labels, p, requests=requests)),
        "hit_at_3": _number(hit_rate_at(3, labels, p, requests=requests)),
        "top_3_change": None
        if previous is None
        else _number(top_change_at(3, previous, p, requests=requests, ties=ties)),
    }


def _error(found: CalibrationError) -> dict[str, float | None]:
    return {name: _number(value) for name, value in asdict(found).items()}


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
