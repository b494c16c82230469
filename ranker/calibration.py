"""Calibration: a monotone map from a model's log-odds to probabilities that held-out rows bear out.

Platt (1999): logit = a · log(p / (1 − p)) + c. Beta (Kull et al. 2017): logit = a · log p − b · log(1 − p) + c.
Pooled: beta, and an offset for each value of each segment column, δ ~ N(0, τ²) with a τ per column that the rows tell
(empirical Bayes; Gelman and Hill 2006, ch. 14): a value with many rows gets its own offset, one with few next to none.
All start at the identity (a = b = 1, c = 0) and move from it only as far as the rows are evidence.

Shapes: B rows, P parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranker.examples import Codes
from ranker.metrics import Floats

Method = Literal["platt", "beta", "pooled"]
# The rows of parameters: of a dense array where there are a handful, of a sparse one with a column for each offset.
Design: TypeAlias = Floats | sparse.csr_array

# How far from the identity a calibration is believed to lie before any row is seen (standard deviations).
SLOPE_SD = 0.3
SHIFT_SD = 1.0
# The same of offsets: as if each column had two more values, whose offsets are of this size.
OFFSET_SD = 0.1
VALUES_BEFORE = 2.0
# Steps until no column's spread changes by more than this share.
MAX_STEPS = 50
STEADY = 0.02
# A slope of 0 would forget the model's order; this is the least that a fit may reach.
LEAST_SLOPE = 0.05
# Below this share of the shift's prior spread explained by rows, the fit is called thin.
THIN = 0.5


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The map of one action: logit = slope_p · log p − slope_q · log(1 − p) + shift + Σ offsets of the row's values.

    offsets: {column: {value: offset}}; a value that was not met has none. `rows` and `positives` it was fitted on;
    `shrinkage` in [0, 1] is the share of the prior's spread that is left in the least certain of the first three
    parameters: near 0 the rows decide, near 1 it is the identity for want of evidence.
    """

    slope_p: float
    slope_q: float
    shift: float
    rows: int
    positives: int
    shrinkage: float
    offsets: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """What a reader should know about the evidence; empty if there is enough."""
        if self.shrinkage < THIN:
            return ""
        return f"held near the identity: {self.positives} positives in {self.rows} rows are thin evidence"

    def apply(self, log_odds: Floats, *, groups: Mapping[str, Codes] | None = None) -> Floats:
        """Calibrated probabilities of bare log-odds. Monotone: the order of rows with the same values stays.

        Raises ValueError if a column with offsets is not among the `groups`.
        """
        logits = _basis(log_odds) @ np.array([self.slope_p, self.slope_q]) + self.shift
        for column, offsets in self.offsets.items():
            if groups is None or column not in groups:
                raise ValueError(f"this calibration has offsets by {column!r}; give `groups` with that column")
            codes = groups[column]
            logits = logits + np.array([offsets.get(name, 0.0) for name in codes.names])[codes.codes]
        return 1 / (1 + np.exp(-logits))


def fit_calibration(
    log_odds: Floats,
    labels: Floats,
    *,
    method: Method = "beta",
    weights: Floats | None = None,
    groups: Mapping[str, Codes] | None = None,
) -> Calibration:
    """The most probable map given the rows, under a normal prior around the identity; Newton's method.

    weights: rows of the full log that each row stands for. groups: of `pooled`, the columns with offsets. Works on few
    rows, or with one outcome only: the prior then decides, and `shrinkage` and `note` say so.

    >>> generator = np.random.default_rng(0); truth = generator.normal(-2, 1, 20_000)
    >>> labels = (generator.random(20_000) < 1 / (1 + np.exp(-truth))).astype(float)
    >>> fitted = fit_calibration(truth + 0.5, labels, method="platt")  # a model half a logit too high
    >>> round(fitted.slope_p, 1), round(fitted.shift, 1)
    (1.0, -0.5)
    """
    if method not in get_args(Method):
        raise ValueError(f"method is {method!r}; it must be one of {get_args(Method)}")
    if len(log_odds) != len(labels) or not np.isfinite(log_odds).all():
        raise ValueError(f"{len(log_odds)} log-odds for {len(labels)} labels; as many finite ones were expected")
    if (method == "pooled") != bool(groups):
        raise ValueError(f"method {method!r} was given {len(groups or {})} groups; 'pooled' needs some, others none")
    basis = _basis(log_odds)
    slopes = basis.sum(axis=1, keepdims=True) if method == "platt" else basis
    weights = np.ones(len(labels)) if weights is None else weights
    num_slopes, columns = slopes.shape[1], groups or {}
    sizes = np.array([len(codes.names) for codes in columns.values()], dtype=np.int64)
    identity = np.r_[np.ones(num_slopes), np.zeros(1 + sizes.sum())]
    evidence = _Evidence(_design(slopes, columns), labels, weights, identity)
    of_common = np.array([SLOPE_SD**-2] * num_slopes + [SHIFT_SD**-2])

    parameters, variance_S = identity, np.full(len(sizes), OFFSET_SD**2)
    for _ in range(MAX_STEPS):
        precision = np.r_[of_common, np.repeat(1 / variance_S, sizes)]
        parameters, covariance = _most_probable(evidence, precision, start=parameters, num_slopes=num_slopes)
        squares = (parameters**2 + np.diag(covariance))[num_slopes + 1 :]
        before_S, variance_S = variance_S, _expected_squares(squares, sizes)
        if (np.abs(np.sqrt(variance_S / before_S) - 1) <= STEADY).all():
            break
    spread = np.sqrt(np.diag(covariance)[: num_slopes + 1] * of_common)
    offsets = np.split(parameters[num_slopes + 1 :], np.cumsum(sizes)[:-1])
    return Calibration(
        slope_p=float(parameters[0]),
        slope_q=float(parameters[num_slopes - 1]),
        shift=float(parameters[num_slopes]),
        rows=len(labels),
        positives=int(labels.sum()),
        shrinkage=float(min(1.0, spread.max())),
        offsets={
            name: dict(zip(codes.names, values.tolist(), strict=True))
            for (name, codes), values in zip(columns.items(), offsets, strict=False)
        },
    )


def _basis(log_odds: Floats) -> npt.NDArray[np.float64]:
    """Columns log p and −log(1 − p), stable for any log-odds."""
    return np.stack([-np.logaddexp(0, -log_odds), np.logaddexp(0, log_odds)], axis=1)


def _design(slopes: Floats, columns: Mapping[str, Codes]) -> Design:
    """Of each row what its slopes, the shift and its values' offsets are multiplied with."""
    common = np.concatenate([slopes, np.ones((len(slopes), 1))], axis=1)
    if not columns:
        return common
    return sparse.hstack([common, *(_indicators(codes) for codes in columns.values())], format="csr")


def _expected_squares(squares: Floats, sizes: npt.NDArray[np.int64]) -> Floats:
    """Mean square of each column's offsets, and of the values that stand for the prior (a step of EM)."""
    column = np.repeat(np.arange(len(sizes)), sizes)
    total_S = np.bincount(column, weights=squares, minlength=len(sizes))
    return (total_S + VALUES_BEFORE * OFFSET_SD**2) / (sizes + VALUES_BEFORE)


def _indicators(codes: Codes) -> sparse.csr_array:
    """(B, values): 1 in the column of each row's value."""
    num = len(codes.codes)
    return sparse.csr_array((np.ones(num), codes.codes, np.arange(num + 1)), shape=(num, len(codes.names)))


class _Evidence(NamedTuple):
    """Rows and their outcomes, and the parameters that are believed before any is seen."""

    design: Design
    labels: Floats
    weights: Floats
    identity: Floats

    def loss(self, at: Floats, precision: Floats) -> float:
        """Minus the log of the posterior, up to a constant."""
        logits = self.design @ at
        fit = self.weights @ (np.logaddexp(0, logits) - self.labels * logits)
        return float(fit + 0.5 * precision @ (at - self.identity) ** 2)


def _most_probable(evidence: _Evidence, precision: Floats, *, start: Floats, num_slopes: int) -> tuple[Floats, Floats]:
    """The optimum with no slope below LEAST_SLOPE, and the covariance around it (0 for a slope that is held there)."""
    free = np.ones(len(start), dtype=bool)
    start = start.copy()
    while True:
        parameters, information = _newton(evidence, precision, start=start, free=free)
        low = free[:num_slopes] & (parameters[:num_slopes] < LEAST_SLOPE)
        if not low.any():
            break
        start[:num_slopes][low] = LEAST_SLOPE
        free[:num_slopes][low] = False
    covariance = np.zeros((len(start), len(start)))
    covariance[np.ix_(free, free)] = np.linalg.inv(information)
    return parameters, covariance


def _newton(
    evidence: _Evidence, precision: Floats, *, start: Floats, free: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Damped Newton steps on the convex penalised loss over the free parameters: their optimum and its Hessian."""
    design, labels, weights, identity = evidence
    parameters, value = start.copy(), evidence.loss(start, precision)
    while True:
        p = 1 / (1 + np.exp(-(design @ parameters)))
        gradient = design.T @ (weights * (p - labels)) + precision * (parameters - identity)
        curvature = weights * p * (1 - p)
        information = _gram(design, curvature) + np.diag(precision)
        information = information[np.ix_(free, free)]
        step = np.zeros_like(parameters)
        step[free] = np.linalg.solve(information, gradient[free])
        scale = 1.0
        while evidence.loss(parameters - scale * step, precision) > value and scale > 1e-6:
            scale /= 2
        parameters = parameters - scale * step
        before, value = value, evidence.loss(parameters, precision)
        if before - value < 1e-10 * (1 + abs(value)):
            return parameters, information


def _gram(design: Design, weights: Floats) -> Floats:
    """Σ weight · row rowᵀ (P, P)."""
    if isinstance(design, sparse.csr_array):
        return (design.T @ sparse.diags_array(weights) @ design).toarray()
    return (design * weights[:, None]).T @ design
