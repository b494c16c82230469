"""What is known of a day's examples: the figures that monitoring.* keeps of it, as the data checks read them.

Shapes: L levels of a distribution.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import nan

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Every half per cent; what monitoring.feature_statistics keeps of a number's distribution.
LEVELS_L = np.linspace(0, 1, 201)
# What is usual is told by so many days before, and by no fewer than so many.
PAST_DAYS = 28
FEWEST_DAYS = 14
# What a handful of users did on a day says nothing of the next one: they bring many rows each, and others come.
FEWEST_USERS = 100
# Days are compared with the same weekdays of so many weeks before: no service is on Sunday what it is on Monday.
WEEKS = 4


@dataclass(frozen=True, kw_only=True)
class ValueFigures:
    """How many of a day's examples have a value, and how many of those an action followed."""

    examples: int
    acted: int


@dataclass(frozen=True, kw_only=True)
class FeatureFigures:
    """A feature on a day: the distribution of its numbers (of a sequence: lengths) or the counts of its values.

    `quantiles_L` at LEVELS_L, empty where no row has a number. `values` are the commonest ones of a categorical
    feature, or inside a sequence. The correlations are with `acted`; NaN where one of the two is constant.
    """

    kind: str
    missing: int = 0
    not_finite: int = 0
    distinct_values: int = 0
    quantiles_L: Floats = field(default_factory=lambda: np.empty(0))
    acted_correlation: float = nan
    missing_acted_correlation: float = nan
    values: Mapping[str, ValueFigures] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RandomFigures:
    """The random slice on a day: its requests, and whether their order and propensities are those of chance.

    `alignment` by score: the z-value of the covariance of place and score within requests, 0 ± 1 under a uniform order.
    """

    requests: int
    candidates: int
    examples: int
    without_propensity: int
    propensity_sum: float  # mean over requests of the sum over candidates; 1 for propensities that integrate
    smallest_propensity: float
    largest_propensity: float
    alignment: Mapping[str, float]
    calibrate_share: float
    evaluate_share: float


@dataclass(frozen=True, kw_only=True)
class DayFigures:
    """A day of marts.examples.

    `first_places`: requests of which position 1 is among the examples; `repeated_items`, `repeated_places`: examples
    whose request shows that item, or that position, already; `of_new_users`, `of_new_items`: examples whose user, or
    item, was never shown before. `positives` by action, on all traffic.
    """

    day: date
    examples: int
    requests: int
    users: int
    items: int
    hours: int
    first_places: int
    repeated_items: int
    repeated_places: int
    most_of_a_user: int
    of_new_users: int
    of_new_items: int
    mean_draw: float
    acted: int
    positives: Mapping[str, int]
    features: Mapping[str, FeatureFigures]
    random: RandomFigures | None = None


def days_before(day: date, number: int) -> list[date]:
    """The oldest first."""
    return [day - timedelta(days=back) for back in range(number, 0, -1)]


def reference_of(day: date, days: Mapping[date, DayFigures]) -> list[DayFigures]:
    """The days of which `days` knows, out of the same weekdays of the weeks before."""
    before = (day - timedelta(weeks=week) for week in range(1, WEEKS + 1))
    return [days[one] for one in before if one in days]


def cumulative(quantiles_L: Floats, at: Floats) -> tuple[Floats, Floats]:
    """P(x < at) and P(x ≤ at) of a distribution that is known by its quantiles, linear between those.

    >>> below, up_to = cumulative(np.where(LEVELS_L < 0.6, 0.0, 2.0), np.array([0.0, 1.0, 2.0]))
    >>> below.round(2).tolist(), up_to.round(2).tolist()
    ([0.0, 0.6, 0.6], [0.6, 0.6, 1.0])
    """
    knots, first, count = np.unique(quantiles_L, return_index=True, return_counts=True)
    lowest, highest = LEVELS_L[first], LEVELS_L[first + count - 1]
    right = np.clip(np.searchsorted(knots, at, side="left"), 0, len(knots) - 1)
    left = np.clip(right - 1, 0, len(knots) - 1)
    width = np.where(knots[right] > knots[left], knots[right] - knots[left], 1.0)
    share = np.clip((at - knots[left]) / width, 0, 1)
    between = highest[left] + share * (lowest[right] - highest[left])
    is_knot = knots[right] == at
    below = np.where(is_knot, lowest[right], np.where(at < knots[0], 0.0, np.where(at > knots[-1], 1.0, between)))
    up_to = np.where(is_knot, highest[right], below)
    return below, up_to


def pooled_numbers(parts: Sequence[tuple[Floats, int]], at: Floats) -> tuple[Floats, Floats]:
    """`cumulative` of several days together, each with its number of rows."""
    rows = sum(count for _, count in parts)
    found = [(*cumulative(quantiles_L, at), count) for quantiles_L, count in parts]
    below = sum((low * count for low, _, count in found), np.zeros(len(at)))
    up_to = sum((high * count for _, high, count in found), np.zeros(len(at)))
    return below / rows, up_to / rows


def ks_distance(quantiles_L: Floats, parts: Sequence[tuple[Floats, int]]) -> float:
    """sup |F − G| of a distribution and that of several days together, each with its number of rows."""
    at = np.unique(np.concatenate([quantiles_L, *(other_L for other_L, _ in parts)]))
    (below, up_to), (others_below, others_up_to) = cumulative(quantiles_L, at), pooled_numbers(parts, at)
    return float(max(np.abs(below - others_below).max(), np.abs(up_to - others_up_to).max()))


def total_values(features: Iterable[FeatureFigures]) -> dict[str, int]:
    """How many examples have each value, over several days."""
    totals: Counter[str] = Counter()
    for feature in features:
        totals.update({value: counts.examples for value, counts in feature.values.items()})
    return totals
