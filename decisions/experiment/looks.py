"""How far a statistic may go at each of several looks, so that all looks together err as seldom as one would.

Lan and DeMets (1983): at each look a share of the level is spent, by a function of the time that has passed, so that
neither the number of looks nor their days need be known beforehand. The function is that which gives O'Brien and
Fleming's boundaries: next to nothing early, so that the last look has nearly the whole level. Time is that of the
calendar, the dependence of looks that of their information (Lan and DeMets 1989). The probabilities come from the
recursion of Armitage, McPherson and Rowe (1969), integrated by Gauss and Legendre's rule.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

NODES_N, WEIGHTS_N = np.polynomial.legendre.leggauss(200)
# A look that adds less information than this counts as if it added so much. What is estimated of it wavers by some per
# cent; to think that looks depend less on each other than they do gives wider boundaries, and so errs on the safe side.
LEAST_GAIN = 0.01
# A normal variable lies beyond this with a probability that floats cannot tell from 0.
FARTHEST = 37.0


def spent(fraction: float, *, level: float) -> float:
    """How much of the level is spent by a fraction t of the time: on either side 2 (1 − Φ(Φ⁻¹(1 − level / 4) / √t)).

    >>> [round(spent(fraction, level=0.05), 5) for fraction in (0.25, 0.5, 1.0)]
    [1e-05, 0.00305, 0.05]
    """
    return float(4 * ndtr(ndtri(level / 4) / np.sqrt(fraction)))


def boundaries(fractions: Sequence[float], information: Sequence[float], *, level: float) -> list[float]:
    """How many standard errors from 0 a statistic may lie at each look; infinite as long as nothing is known.

    `fractions` of the planned time, rising to 1 at most; `information` of each look, 1 / standard error².
    Raises ValueError if there are not as many of each, or if fractions do not rise.

    >>> [round(one, 3) for one in boundaries([0.2, 0.4, 0.6, 0.8, 1.0], [1, 2, 3, 4, 5], level=0.05)]
    [4.877, 3.357, 2.68, 2.29, 2.031]
    """
    if len(fractions) != len(information):
        raise ValueError(f"there are {len(fractions)} fractions and {len(information)} of information; one each a look")
    if any(one >= other for one, other in pairwise((0.0, *fractions))) or any(one > 1 for one in fractions):
        raise ValueError(f"fractions are {list(fractions)}; they must rise from above 0 to 1 at most")
    # The sum that a statistic stands for, statistic · √information, before the first look: at 0 for certain.
    places_N, mass_N, reached, gone = np.zeros(1), np.ones(1), 0.0, 0.0
    found = []
    for fraction, known in zip(fractions, information, strict=True):
        if known <= 0 and not reached:
            found.append(np.inf)
            continue
        known = max(known, reached * (1 + LEAST_GAIN))
        step, to_spend = np.sqrt(known - reached), spent(fraction, level=level) - gone
        limit = _limit(places_N, mass_N, step=step, scale=np.sqrt(known), probability=to_spend)
        found.append(limit)
        end = limit * np.sqrt(known)
        next_N = NODES_N * end
        density_N = np.exp(-(((next_N[:, None] - places_N) / step) ** 2) / 2) @ mass_N / (step * np.sqrt(2 * np.pi))
        places_N, mass_N = next_N, density_N * WEIGHTS_N * end
        reached, gone = known, gone + to_spend
    return found


def _limit(
    places_N: NDArray[np.float64], mass_N: NDArray[np.float64], *, step: float, scale: float, probability: float
) -> float:
    """The limit that is passed at this look, and at none before, with the given probability."""

    def too_often(limit: float) -> float:
        end = limit * scale
        return float(mass_N @ (ndtr((places_N - end) / step) + ndtr((-end - places_N) / step))) - probability

    return float(brentq(too_often, 0.0, FARTHEST, xtol=1e-9))
