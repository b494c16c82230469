"""From scores on the evaluation rows to the figures that the gate judges, each with its interval over users."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from decisions.calibration import SegmentFigures
from decisions.data_checks import TrainingFigures
from decisions.gate import ActionFigures
from decisions.interval import Interval
from lakehouse.dataset import Dataset
from ranker import Difference, Examples, FeatureSpec, bootstrap
from ranker.bootstrap import Statistic, auc_statistic, log_loss_statistic, pcoc_statistic
from ranker.metrics import calibration_error

Floats = npt.NDArray[np.float64]
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
