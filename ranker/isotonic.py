"""Isotonic calibration: the monotone steps that fit the rows best (Zadrozny and Elkan 2002).

It bends to whatever the rows show, and ties rows that the model told apart: with few rows too much of both.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from ranker.examples import Codes
from ranker.metrics import Floats


@dataclass(frozen=True, kw_only=True)
class IsotonicCalibration:
    """Straight lines between the ends of steps: probabilities[i] at log_odds[i], level beyond the first and last."""

    log_odds: tuple[float, ...]
    probabilities: tuple[float, ...]
    rows: int
    positives: int

    @property
    def note(self) -> str:
        steps = len(set(self.probabilities))
        return f"{steps} steps from {self.positives} positives: rows on one step are tied"

    def apply(self, log_odds: Floats, *, groups: Mapping[str, Codes] | None = None) -> Floats:
        """Calibrated probabilities of bare log-odds; `groups` change nothing."""
        return np.interp(log_odds, self.log_odds, self.probabilities)


def fit_isotonic(log_odds: Floats, labels: Floats, *, weights: Floats | None = None) -> IsotonicCalibration:
    """Pool adjacent violators. Equal to sklearn.isotonic.IsotonicRegression, but for steps of 0 or 1, which are moved
    inside by half a row: a probability of 0 would be infinitely wrong once.

    Raises ValueError without both outcomes.

    >>> fitted = fit_isotonic(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0.0, 1.0, 0.0, 1.0]))
    >>> fitted.log_odds, fitted.probabilities
    ((-2.0, -1.0, 1.0, 2.0), (0.1, 0.5, 0.5, 0.9))
    """
    if len(log_odds) != len(labels) or not 0 < labels.sum() < len(labels):
        raise ValueError(f"{labels.sum():.0f} of {len(labels)} labels are positive; isotonic needs both outcomes")
    weights = np.ones(len(labels)) if weights is None else weights
    places, rows = np.unique(log_odds, return_inverse=True)
    mass = np.bincount(rows, weights=weights)
    found = isotonic_regression(np.bincount(rows, weights=weights * labels) / mass, weights=mass)
    first, last = found.blocks[:-1], found.blocks[1:] - 1
    ends = np.unique(np.concatenate([first, last]))
    least = 0.5 / (len(labels) + 1)
    return IsotonicCalibration(
        log_odds=tuple(places[ends].tolist()),
        probabilities=tuple(np.clip(found.x[ends], least, 1 - least).tolist()),
        rows=len(labels),
        positives=int(labels.sum()),
    )
