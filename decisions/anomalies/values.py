"""Rules on the words that a categorical feature holds."""

from collections.abc import Iterator, Mapping

import numpy as np

from decisions.anomalies.seen import GROSS_DISTANCE, GROSS_SHARE, Seen
from decisions.days import FeatureFigures, total_values

# Of a feature with more different values, new ones are no news.
FEW_VALUES = 100


def values(seen: Seen) -> Iterator[str]:
    """Values that nobody knows, that are gone, and that no action follows any more."""
    for name, feature, past in seen.features("categorical"):
        total = total_values(one for _, one in past)
        if max(one.distinct_values for _, one in past) <= FEW_VALUES:
            unknown = {value: counts.examples for value, counts in feature.values.items() if value not in total}
            share = sum(unknown.values()) / seen.day.examples
            if share > GROSS_SHARE / 2:
                worst = max(unknown, key=lambda value: unknown[value])
                yield f"{name} has values never seen before in {share:.0%} of the rows, such as {worst!r}"
        for value in total:
            shares = [_share(one, value, day.examples) for day, one in past]
            if min(shares) >= GROSS_SHARE / 2 and _share(feature, value, seen.day.examples) < min(shares) / 20:
                yield f"{name} {value!r} is gone (never in less than {min(shares):.0%} of the rows before)"
        for value, counts in feature.values.items():
            if total.get(value):
                acted = sum(one.values[value].acted for _, one in past if value in one.values)
                expected = counts.examples * acted / total[value]
                if expected > 30 and counts.acted < 0.1 * expected:
                    yield f"no action where {name} is {value!r}: {counts.acted} of {expected:.0f} to be expected"


def word_distributions(seen: Seen) -> Iterator[str]:
    """Distributions that became strangers; hours that were shifted."""
    for name, feature, past in seen.features("categorical"):
        total = total_values(one for _, one in past)
        distance = _variation(feature, total)
        usual = max(_variation(one, total) for _, one in past)
        if name == "hour_of_day" and distance > max(1.5 * usual, 0.15):
            shift = _shift(feature, total)
            if shift:
                yield f"the hours of the day are shifted by {shift:+d}: a clock or time zone is wrong"
        if distance > max(2 * usual, GROSS_DISTANCE):
            yield f"{name} is distributed as never before: total variation {distance:.2f} (at most {usual:.2f} before)"


def _share(feature: FeatureFigures, value: str, examples: int) -> float:
    return feature.values[value].examples / examples if value in feature.values else 0.0


def _variation(feature: FeatureFigures, total: Mapping[str, int]) -> float:
    """Total variation distance of a feature's values from the counts of others."""
    here, there = sum(one.examples for one in feature.values.values()), sum(total.values())
    if not here or not there:
        return 0.0
    values = {*feature.values, *total}
    return sum(abs(_share(feature, value, here) - total.get(value, 0) / there) for value in values) / 2


def _shift(feature: FeatureFigures, total: Mapping[str, int]) -> int:
    """By how many hours the day's curve lies behind the usual one, in −11 … 12; 0 unless that explains it well."""
    here_H = np.array([_share(feature, str(hour), 1) for hour in range(24)])
    there_H = np.array([total.get(str(hour), 0) for hour in range(24)], dtype=np.float64)
    fits = [float(np.corrcoef(np.roll(there_H, shift), here_H)[0, 1]) for shift in range(-11, 13)]
    best = int(np.argmax(fits))
    return best - 11 if fits[best] > 0.8 and fits[best] > fits[11] + 0.1 else 0
