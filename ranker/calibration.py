"""Calibration: a monotone map from a model's log-odds to probabilities that held-out rows bear out.

Platt (1999): logit = a · log(p / (1 − p)) + c. Beta (Kull et al. 2017): logit = a · log p − b · log(1 − p) + c.
Both start at the identity (a = b = 1, c = 0) and move from it only as far as the rows are evidence.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ranker.examples import Examples
from ranker.metrics import Floats
from ranker.scoring import Scores

Method = Literal["platt", "beta"]

# How far from the identity a calibration is believed to lie before any row is seen (standard deviations).
SLOPE_SD = 0.3
SHIFT_SD = 1.0
# A slope of 0 would forget the model's order; this is the least that a fit may reach.
LEAST_SLOPE = 0.05
# Below this share of the shift's prior spread explained by rows, the fit is called thin.
THIN = 0.5


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The map of one action: logit = slope_p · log p − slope_q · log(1 − p) + shift.

    `rows` and `positives` it was fitted on; `shrinkage` in [0, 1] is the share of the prior's spread that is left
    in the least certain parameter: near 0 the rows decide, near 1 it is the identity for want of evidence.
    """

    slope_p: float
    slope_q: float
    shift: float
    rows: int
    positives: int
    shrinkage: float

    @property
    def note(self) -> str:
        """What a reader should know about the evidence; empty if there is enough."""
        if self.shrinkage < THIN:
            return ""
        return f"held near the identity: {self.positives} positives in {self.rows} rows are thin evidence"

    def apply(self, log_odds: Floats) -> Floats:
        """Calibrated probabilities of bare log-odds. Monotone: the order of the rows stays."""
        return 1 / (1 + np.exp(-(_basis(log_odds) @ np.array([self.slope_p, self.slope_q]) + self.shift)))


IDENTITY = Calibration(slope_p=1.0, slope_q=1.0, shift=0.0, rows=0, positives=0, shrinkage=1.0)


def _basis(log_odds: Floats) -> npt.NDArray[np.float64]:
    """Columns log p and −log(1 − p), stable for any log-odds."""
    return np.stack([-np.logaddexp(0, -log_odds), np.logaddexp(0, log_odds)], axis=1)


def fit_calibration(
    log_odds: Floats, labels: Floats, *, method: Method = "beta", weights: Floats | None = None
) -> Calibration:
    """The most probable map given the rows, under a normal prior around the identity; Newton's method.

    weights: rows of the full log that each row stands for. Works on few rows, or with one outcome only: the
    prior then decides, and `shrinkage` and `note` say so.

    >>> generator = np.random.default_rng(0); truth = generator.normal(-2, 1, 20_000)
    >>> labels = (generator.random(20_000) < 1 / (1 + np.exp(-truth))).astype(float)
    >>> fitted = fit_calibration(truth + 0.5, labels, method="platt")  # a model half a logit too high
    >>> round(fitted.slope_p, 1), round(fitted.shift, 1)
    (1.0, -0.5)
    """
    if method not in ("platt", "beta"):
        raise ValueError(f"method is {method!r}; it must be 'platt' or 'beta'")
    if len(log_odds) != len(labels) or not np.isfinite(log_odds).all():
        raise ValueError(f"{len(log_odds)} log-odds for {len(labels)} labels; as many finite ones were expected")
    basis = _basis(log_odds)
    slopes = basis.sum(axis=1, keepdims=True) if method == "platt" else basis
    num_slopes = slopes.shape[1]
    design = np.concatenate([slopes, np.ones((len(labels), 1))], axis=1)
    weights = np.ones(len(labels)) if weights is None else weights
    identity = np.array([1.0] * num_slopes + [0.0])
    precision = np.array([SLOPE_SD**-2] * num_slopes + [SHIFT_SD**-2])

    free = np.ones(num_slopes + 1, dtype=bool)
    start = identity.copy()
    while True:
        parameters, information = _newton(design, labels, weights, start, identity, precision, free)
        low = free[:-1] & (parameters[:-1] < LEAST_SLOPE)
        if not low.any():
            break
        start[:-1][low] = LEAST_SLOPE
        free[:-1][low] = False
    spread = np.sqrt(np.diag(np.linalg.inv(information)) * precision[free])
    return Calibration(
        slope_p=float(parameters[0]),
        slope_q=float(parameters[num_slopes - 1]),
        shift=float(parameters[-1]),
        rows=len(labels),
        positives=int(labels.sum()),
        shrinkage=float(min(1.0, spread.max())),
    )


def _newton(
    design: Floats,
    labels: Floats,
    weights: Floats,
    start: Floats,
    identity: Floats,
    precision: Floats,
    free: npt.NDArray[np.bool_],
) -> tuple[Floats, Floats]:
    """Damped Newton steps on the convex penalised loss over the free parameters: their optimum and its Hessian."""

    def loss(at: Floats) -> float:
        logits = design @ at
        fit = weights @ (np.logaddexp(0, logits) - labels * logits)
        return float(fit + 0.5 * precision @ (at - identity) ** 2)

    parameters, value = start.copy(), loss(start)
    while True:
        p = 1 / (1 + np.exp(-(design @ parameters)))
        gradient = design.T @ (weights * (p - labels)) + precision * (parameters - identity)
        curvature = weights * p * (1 - p)
        information = (design * curvature[:, None]).T @ design + np.diag(precision)
        information = information[np.ix_(free, free)]
        step = np.zeros_like(parameters)
        step[free] = np.linalg.solve(information, gradient[free])
        scale = 1.0
        while loss(parameters - scale * step) > value and scale > 1e-6:
            scale /= 2
        parameters = parameters - scale * step
        before, value = value, loss(parameters)
        if before - value < 1e-10 * (1 + abs(value)):
            return parameters, information


@dataclass(frozen=True, kw_only=True)
class Calibrator:
    """A calibration per action; part of a release."""

    method: Method
    actions: dict[str, Calibration]

    def apply(self, scores: Scores) -> dict[str, Floats]:
        """Calibrated p(action) of every action. Raises ValueError for an action without a calibration."""
        unknown = sorted(set(scores.actions) - set(self.actions))
        if unknown:
            raise ValueError(f"there is no calibration for {unknown}, only for {sorted(self.actions)}")
        return {action: self.actions[action].apply(scores.log_odds(action)) for action in scores.actions}

    def to_json(self) -> dict[str, Any]:
        return {"method": self.method, "actions": {name: asdict(one) for name, one in self.actions.items()}}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Calibrator":
        """Raises ValueError where keys are missing or unknown."""
        try:
            return cls(
                method=content["method"],
                actions={name: Calibration(**one) for name, one in content["actions"].items()},
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is not a calibrator: {error}") from error


def calibrate(scores: Scores, examples: Examples, *, method: Method = "beta") -> Calibrator:
    """Fit each action on held-out examples, scored at the position shown, weighted by what each row stands for."""
    return Calibrator(
        method=method,
        actions={
            action: fit_calibration(
                scores.log_odds(action), examples.label(action), method=method, weights=examples.weights
            )
            for action in scores.actions
        },
    )
