"""Rules on the numbers that a feature holds, and on how many rows have it."""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import combinations
from math import log

import numpy as np

from decisions.anomalies.seen import GROSS_DISTANCE, GROSS_SHARE, Seen
from decisions.days import LEVELS_L, DayFigures, FeatureFigures, Floats, ks_distance

# Quantiles that differ, from which on a number is not a small set of values.
FINE = 50
MIDDLE = (LEVELS_L >= 0.1) & (LEVELS_L <= 0.9)


def nulls(seen: Seen) -> Iterator[str]:
    for kind in ("numeric", "categorical", "sequence"):
        for name, feature, past in seen.features(kind):
            share = feature.missing / seen.day.examples
            usual = np.array([one.missing / day.examples for day, one in past])
            middle, width = float(np.median(usual)), max(GROSS_SHARE, 3 * float(np.ptp(usual)))
            if abs(share - middle) > width:
                yield f"{name} is missing in {share:.0%} of the rows ({middle:.0%} is usual)"
            elif share == 0 and usual.min() * seen.day.examples > 50:
                yield f"{name} is never missing, where {usual.min():.1%} of rows at least lacked it: was it filled?"


def numbers(seen: Seen) -> Iterator[str]:
    """Numbers that cannot be: not finite, of a sign or a size that there never was."""
    for name, feature, past in seen.features("numeric"):
        usual = [one.quantiles_L for _, one in past if len(one.quantiles_L)]
        if feature.not_finite and not any(one.not_finite for _, one in past):
            yield f"{name} is NaN or infinite in {feature.not_finite:,} rows"
        if not len(feature.quantiles_L) or not usual:
            continue
        lowest, highest = min(one[0] for one in usual), max(one[-1] for one in usual)
        if feature.quantiles_L[0] < 0 <= lowest:
            yield f"{name} goes down to {feature.quantiles_L[0]:g}, and was never negative"
        if feature.quantiles_L[-1] > 10 * max(abs(lowest), abs(highest)) > 0:
            yield f"{name} goes up to {feature.quantiles_L[-1]:g}, and never beyond {highest:g}"


def constant(seen: Seen) -> Iterator[str]:
    for kind in ("numeric", "sequence"):
        for name, feature, past in seen.features(kind):
            if _knots(feature) == 1 and all(_knots(one) > 1 for _, one in past):
                yield f"{name} is {feature.quantiles_L[0]:g} in every row"
    for name, feature, past in seen.features("categorical"):
        if feature.distinct_values == 1 and all(one.distinct_values > 1 for _, one in past):
            yield f"{name} is {next(iter(feature.values))!r} in every row"


def units(seen: Seen) -> Iterator[str]:
    """A distribution that is the usual one times a factor."""
    for name, feature, past in seen.features("numeric"):
        usual_L = _usual_quantiles(past)
        if not len(feature.quantiles_L) or usual_L is None:
            continue
        same_sign = MIDDLE & (feature.quantiles_L * usual_L > 0)
        if same_sign.sum() < 0.5 * MIDDLE.sum():
            continue
        factors = np.log(feature.quantiles_L[same_sign] / usual_L[same_sign])
        factor = float(np.median(factors))
        if abs(factor) > log(5) and np.median(np.abs(factors - factor)) < 0.2 * abs(factor):
            yield f"{name} is about {np.exp(factor):.3g} times what it was: another unit?"


def distributions(seen: Seen) -> Iterator[str]:
    """Distributions that became strangers; two that were exchanged."""
    strangers: dict[str, tuple[Floats, Floats]] = {}
    for name, feature, past in seen.features("numeric"):
        usual_L = _usual_quantiles(past)
        if not len(feature.quantiles_L) or usual_L is None:
            continue
        distance = _distance(feature.quantiles_L, usual_L)
        usual = max(_distance(one.quantiles_L, usual_L) for _, one in past if len(one.quantiles_L))
        if distance > max(3 * usual, 0.2):
            strangers[name] = (feature.quantiles_L, usual_L)
        if distance > max(2 * usual, GROSS_DISTANCE):
            yield f"{name} is distributed as never before: KS distance {distance:.2f} (at most {usual:.2f} before)"
    for (one, (here, here_usual)), (other, (there, there_usual)) in combinations(strangers.items(), 2):
        near = max(_distance(here, there_usual), _distance(there, here_usual))
        if near < 0.5 * min(_distance(here, here_usual), _distance(there, there_usual)):
            yield f"{one} is distributed as {other} was, and {other} as {one} was: were they exchanged?"


def stale(seen: Seen) -> Iterator[str]:
    """Numbers that are those of a day before, or coarser than they were."""
    same: list[str] = []
    of: set[date] = set()
    fine = 0
    for name, feature, past in seen.features("numeric"):
        usual = min(_knots(one) for _, one in past)
        if usual < FINE:
            continue
        fine += 1
        twins = [day.day for day, one in past if np.array_equal(one.quantiles_L, feature.quantiles_L)]
        if twins:
            same.append(name)
            of.update(twins)
        elif 1 < _knots(feature) < usual / 4:
            yield f"{name} has {_knots(feature)} different quantiles of {usual} at least before: was it rounded?"
    if same and len(same) == fine:
        yield f"every number is distributed exactly as on {max(of)}: was that day sent again?"
    elif same:
        yield f"{', '.join(same)}: exactly as on {max(of)}, not brought up to date"


def _knots(feature: FeatureFigures) -> int:
    return len(np.unique(feature.quantiles_L))


def _usual_quantiles(past: Sequence[tuple[DayFigures, FeatureFigures]]) -> Floats | None:
    found = [one.quantiles_L for _, one in past if len(one.quantiles_L)]
    return np.median(found, axis=0) if found else None


def _distance(one_L: Floats, other_L: Floats) -> float:
    return ks_distance(one_L, [(other_L, 1)])
