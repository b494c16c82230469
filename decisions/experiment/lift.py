"""A metric's lift between arms, by user, with what is known of the users from before taken out of its variance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decisions.experiment.figures import Compared, Moments


@dataclass(frozen=True, kw_only=True)
class Lift:
    """Treatment's metric over control's, less 1; its standard error; and the share of variance that was taken out."""

    lift: float
    error: float
    treatment: float
    control: float
    variance_removed: float


def lift(compared: Compared) -> Lift | None:
    """The relative lift of a ratio of means, adjusted for the same ratio from before (CUPED).

    With R = Σy / Σn and X = Σx / Σm of each arm, δ = R_t − R_c − θ (X_t − X_c), and the lift is δ / R_c. θ makes the
    variance least, which is taken by the delta method over users, whose requests so count together (Deng, Xu, Kohavi
    and Walker 2013; Deng, Knoblich and Lu 2018). Users who are new have x = m = 0 and are adjusted by nothing.

    None where an arm has fewer than two users, no denominator, or control's metric is 0: the lift is undefined.
    """
    treatment, control = compared.treatment, compared.control
    if min(treatment.users, control.users) < 2 or min(treatment.sums[1], control.sums[1]) <= 0 or not control.sums[0]:
        return None
    gradients = [_gradients(treatment), _gradients(control)]
    covariances = [one.covariance / one.users for one in (treatment, control)]
    shared = sum(now @ matrix @ before for (now, before), matrix in zip(gradients, covariances, strict=True))
    before_variance = sum(before @ matrix @ before for (_, before), matrix in zip(gradients, covariances, strict=True))
    theta = float(shared / before_variance) if before_variance > 0 else 0.0

    rates = [one.sums[0] / one.sums[1] for one in (treatment, control)]
    # Without anybody known from before in either arm there is nothing to adjust by.
    befores = [one.sums[2] / one.sums[3] if one.sums[3] > 0 else 0.0 for one in (treatment, control)]
    found = (rates[0] - rates[1] - theta * (befores[0] - befores[1])) / rates[1]
    (now_t, before_t), (now_c, before_c) = gradients
    variance, plain_variance = (
        _variance(now_t - by * before_t, covariances[0])
        + _variance(now_c * (1 + found) - by * before_c, covariances[1])
        for by in (theta, 0.0)
    )
    return Lift(
        lift=found,
        error=float(np.sqrt(variance)) / rates[1],
        treatment=rates[0],
        control=rates[1],
        variance_removed=1 - variance / plain_variance if plain_variance > 0 else 0.0,
    )


def _gradients(arm: Moments) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of Σy / Σn and of Σx / Σm by the four means."""
    y, n, x, m = arm.means
    now = np.array([1, -y / n, 0, 0]) / n
    before = np.array([0, 0, 1, -x / m]) / m if m > 0 else np.zeros(4)
    return now, before


def _variance(gradient: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    return float(gradient @ covariance @ gradient)
