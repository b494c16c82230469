"""From scores on the evaluation rows to the figures that the gate judges, each with its interval over users."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from decisions.calibration import SegmentFigures
from decisions.data_checks import TrainingFigures
from decisions.gate import ActionFigures
from decisions.interval import Interval
from decisions.off_policy import OffPolicyFigures, RankingFigures
from decisions.teacher import TeacherFigures
from lakehouse.dataset import Dataset
from orchestration.plan import Rows
from ranker import (
    Difference,
    Examples,
    FeatureSpec,
    RankingValue,
    Slates,
    bootstrap,
    ranking_values,
    relative_gain,
)
from ranker.bootstrap import Statistic, auc_statistic, log_loss_statistic, pcoc_statistic
from ranker.examples import Codes
from ranker.metrics import calibration_error
from ranker.off_policy import Estimate, snips
from ranker.ranking_value import FOLDS

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]
REPETITIONS = 500


def action_figures(
    action: str, examples: Examples, *, candidate: Floats, production: Floats | None, seed: int
) -> ActionFigures:
    """The figures of one action: by itself, by segment and position, and beside production on the same rows."""
    labels, weights = examples.label(action), examples.weights
    groups = {
        f"{segment}={name}": codes.codes == code
        for segment, codes in examples.segments.items()
        for code, name in enumerate(codes.names)
    } | {f"position={place}": examples.position_B.numpy() == place for place in np.unique(examples.position_B.numpy())}
    groups = {name: mask for name, mask in groups.items() if mask.any()}
    statistics: dict[str, Statistic] = {
        "auc": auc_statistic(labels, candidate),
        "normalised_entropy": _normalised_entropy(labels, candidate),
        "pcoc": pcoc_statistic(labels, candidate),
    }
    statistics |= {name: _within(mask, labels, candidate) for name, mask in groups.items()}
    if production is not None:
        statistics["auc_gain"] = _minus(auc_statistic, labels, candidate, production)
        statistics["log_loss_gain"] = _minus(log_loss_statistic, labels, production, candidate)
        change = 2 * np.abs(candidate - production) / (candidate + production)
        statistics["churn"] = lambda weights_B: float(weights_B @ change / weights_B.sum())
    found = bootstrap(statistics, users=examples.user.codes, weights=weights, repetitions=REPETITIONS, seed=seed)
    interval = {name: _interval(one) for name, one in found.items()}
    error = calibration_error(labels, candidate, weights=weights, seed=seed)
    by_group = {
        name: SegmentFigures(
            pcoc=interval[name],
            positives=int(labels[mask].sum()),
            users=len(np.unique(examples.user.codes[mask])),
            production_pcoc=nan if production is None else _within(mask, labels, production)(weights),
        )
        for name, mask in groups.items()
    }
    return ActionFigures(
        rows=len(labels),
        positives=int(labels.sum()),
        auc=interval["auc"],
        normalised_entropy=interval["normalised_entropy"],
        pcoc=interval["pcoc"],
        ece=error.error,
        ece_noise_floor=error.noise_floor,
        segments={name: one for name, one in by_group.items() if not name.startswith("position=")},
        positions={name: one for name, one in by_group.items() if name.startswith("position=")},
        auc_gain=interval.get("auc_gain"),
        log_loss_gain=interval.get("log_loss_gain"),
        churn=interval.get("churn"),
    )


def teacher_figures(
    action: str,
    examples: Examples,
    *,
    student: Floats,
    control: Floats,
    bare_student: Floats,
    bare_control: Floats,
    seed: int,
) -> TeacherFigures:
    """What the teacher did to its student, held against the control on the same rows; `bare`: before calibration."""
    labels, weights = examples.label(action), examples.weights
    found = bootstrap(
        {
            "auc_gain": _minus(auc_statistic, labels, student, control),
            "log_loss_gain": _minus(log_loss_statistic, labels, control, student),
            "bare_log_loss_gain": _minus(log_loss_statistic, labels, bare_control, bare_student),
        },
        users=examples.user.codes,
        weights=weights,
        repetitions=REPETITIONS,
        seed=seed,
    )
    return TeacherFigures(
        rate=float(weights @ labels / weights.sum()),
        **{name: _interval(one) for name, one in found.items()},
    )


def slates_of(action: str, rows: Rows, *, spec: FeatureSpec) -> Slates:
    """Rows of marts.random_slice as slates; equal scores are ordered by item, which no position follows."""
    return Slates(
        rewards_B=rows.examples.label(action),
        positions_B=rows.examples.position_B.numpy(),
        propensity_B=rows.table["propensity"].to_numpy().astype(np.float64),
        requests_B=rows.examples.request_codes,
        users_B=rows.examples.user.codes,
        ties_B=Codes.of(rows.table[spec.item]).codes,
    )


def off_policy_figures(
    slates: Slates,
    scores_B: Mapping[str, Floats],
    *,
    log_odds: Callable[[Positions], Floats],
    seed: int,
) -> tuple[OffPolicyFigures, dict[str, Any]]:
    """The figures for the gate, and all estimates of a request's actions for the report.

    scores_B: by which `candidate` and, where there is one, `production` order each request; log_odds as for
    `ranking_values`. With fewer users than folds, or candidates that are alone in their request, nothing is estimated.
    """
    known = OffPolicyFigures(requests=slates.num_requests, most_candidates=slates.most_candidates)
    report: dict[str, Any] = {"requests": slates.num_requests, "most_candidates": slates.most_candidates}
    if slates.num_users < FOLDS or slates.most_candidates < 2 or not slates.placed_B.any():
        return known, report
    found = ranking_values(slates, scores_B, log_odds=log_odds, seed=seed)
    gain = None
    if "production" in found:
        drawn = relative_gain(found["candidate"], found["production"], repetitions=REPETITIONS, seed=seed)
        gain = Interval.from_draws(drawn.estimate, drawn.samples_R)
    figures = replace(
        known,
        candidate=_ranking_figures(found["candidate"]),
        production=_ranking_figures(found["production"]) if "production" in found else None,
        gain=gain,
    )
    as_logged = snips(slates.rewards_B, weights_B=slates.placed_B, users=slates.users_B, is_decision_B=slates.placed_B)
    rankings = {name: _estimates(value) for name, value in found.items()}
    per_request = found["candidate"].per_request
    report["rankings"] = rankings | {"random order": {"snips": _estimate(as_logged, per_request)}}
    report["gain"] = None if gain is None else gain.to_json()
    return figures, report


def training_figures(table: pa.Table, *, spec: FeatureSpec, dataset: Dataset, window_days: int) -> TrainingFigures:
    """What the training set holds: rows, actions, days, empty features, and its random traffic."""
    days = pc.count_distinct(table["day"]).as_py()
    random = table.filter(pc.equal(table["traffic"], "random"))
    spread = pc.min_max(random["propensity"])
    return TrainingFigures(
        rows=table.num_rows,
        positives={action: pc.sum(table[spec.label_of(action)]).as_py() or 0 for action in dataset.actions},
        days=days,
        window_days=window_days,
        null_share={feature.name: table[feature.name].null_count / max(table.num_rows, 1) for feature in spec.features},
        random_rows=random.num_rows,
        random_rows_without_propensity=random["propensity"].null_count,
        smallest_propensity=spread["min"].as_py(),
        largest_propensity=spread["max"].as_py(),
    )


def summary(report: Mapping[str, Any], *, action: str) -> dict[str, float | None]:
    """The four figures of an evaluation that a table of releases shows."""
    return {name: report["actions"][action][name] for name in ("auc", "log_loss", "pcoc", "churn")}


def _ranking_figures(value: RankingValue) -> RankingFigures:
    support = value.snips.support
    return RankingFigures(
        snips=value.snips.value * value.per_request,
        dr=value.dr.value * value.per_request,
        effective_rows=support.effective_rows,
        rewarded=support.rewarded,
        mean_weight=support.mean,
        mean_weight_error=support.mean_standard_error,
    )


def _estimates(value: RankingValue) -> dict[str, Any]:
    """All estimates of one ranking in actions of a request, with the support that they share."""
    support = {name: _number(number) for name, number in asdict(value.snips.support).items()}
    by_name = {"ips": value.ips, "snips": value.snips, "dr": value.dr}
    return {name: _estimate(one, value.per_request) for name, one in by_name.items()} | {"support": support}


def _estimate(found: Estimate, per_request: float) -> dict[str, Any]:
    numbers = {"value": found.value, "low": found.low, "high": found.high}
    return {name: _number(number * per_request) for name, number in numbers.items()} | {"refusal": found.refusal}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _interval(found: Difference) -> Interval:
    """Bounds from the resamples that hold the figure: a small segment's users are not in all of them."""
    return Interval.from_draws(found.estimate, found.samples_R[~np.isnan(found.samples_R)])


def _normalised_entropy(labels: Floats, probabilities: Floats) -> Statistic:
    """Log loss over the entropy of the mean rate, as a function of row weights."""
    log_loss = log_loss_statistic(labels, probabilities)

    def entropy_of(weights_B: Floats) -> float:
        rate = float(weights_B @ labels / weights_B.sum())
        if not 0 < rate < 1:
            return float("nan")
        return log_loss(weights_B) / -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))

    return entropy_of


def _within(mask: npt.NDArray[np.bool_], labels: Floats, probabilities: Floats) -> Statistic:
    """PCOC of the rows of a group, as a function of the weights of all rows."""
    rows = np.flatnonzero(mask)
    pcoc = pcoc_statistic(labels[rows], probabilities[rows])
    return lambda weights_B: pcoc(weights_B[rows])


def _minus(of: Callable[[Floats, Floats], Statistic], labels: Floats, ours: Floats, theirs: Floats) -> Statistic:
    one, other = of(labels, ours), of(labels, theirs)
    return lambda weights_B: one(weights_B) - other(weights_B)
