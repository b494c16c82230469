"""Has a day's distribution of a feature, or rate of an action, moved further than this log's days move by themselves?

Rows of a day are no independent draws: a user brings many, items come and go, weeks have a rhythm. The textbook's
p-value of a Kolmogorov–Smirnov or a chi-square test would reject on most days. So a day is compared with the same
weekdays before it, and its distance with the distances of the days before it, each from its own same weekdays: how far
apart clean days lie is learnt, not assumed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from scipy.stats import f, false_discovery_control

from decisions.days import (
    FEWEST_DAYS,
    FEWEST_USERS,
    LEVELS_L,
    PAST_DAYS,
    WEEKS,
    DayFigures,
    FeatureFigures,
    days_before,
    ks_distance,
    reference_of,
    total_values,
)

# A past distance beyond so many medians was itself no usual day, and does not count.
UNUSUAL = 40.0
# How much greater than the greatest usual effect a drift must be.
CLEAR = 1.25
# E[K²] of the Kolmogorov distribution.
KOLMOGOROV = np.pi**2 / 12
# Of so few numbers a distribution says nothing.
FEWEST_ROWS = 200
# Share of clean days on which any feature is called drift, and the same of any action, by Benjamini and Hochberg's
# procedure in each family. A handful of actions must not drown in the features' number: they are what is predicted.
FALSE_DISCOVERY_RATE = 0.005
TOP_VALUES = 20
# Measures with a direction are judged by the days' way so far: what the median of so many days led to expect.
LEVEL_DAYS = 7
# How far back the judgement of a day reaches.
REACH_DAYS = PAST_DAYS + LEVEL_DAYS + 7 * WEEKS
# Smaller effects are not worth a person's look, however sure.
KS, SHIFT, VARIATION, CHANGE = "KS distance", "shift in standard deviations", "total variation", "relative change"
DIRECTED = (SHIFT, CHANGE)
LEAST_EFFECT = {KS: 0.02, SHIFT: 0.05, VARIATION: 0.02, CHANGE: 0.1}
# Means are taken between the first and the last percentile: the tails of counts are heavy.
TRIMMED = (LEVELS_L >= 0.01) & (LEVELS_L <= 0.99)


@dataclass(frozen=True, kw_only=True)
class Distance:
    """How far a day lies from its reference by a measure.

    `effect` is in units that a person can read, and has a sign where the measure has a direction. `score` grows with
    its square and with the rows: of independent rows it would have a chi-square distribution with `freedom` degrees of
    freedom, or by the KS distance that of a squared Kolmogorov variable.
    """

    measure: str
    effect: float
    score: float
    freedom: int = 1

    def beyond(self, level: float) -> "Distance":
        """What is left of it where a level was to be expected; the variance of its score's unit stays."""
        left = self.effect - level
        score = self.score * (left / self.effect) ** 2 if self.effect else 0.0
        return replace(self, effect=left, score=score)


# By day, feature or action, and measure.
Known = Mapping[date, Mapping[str, Mapping[str, Distance]]]


@dataclass(frozen=True, kw_only=True)
class Drift:
    """A feature or action on a day: its most telling distance, the effect that it must pass, p-value and verdict."""

    day: date
    name: str
    measure: str
    effect: float
    floor: float
    p_value: float
    drifted: bool


def drifts(day: date, known: Known, *, leave_out: frozenset[str] = frozenset()) -> list[Drift]:
    """Each feature and action of a day that has enough past to judge it by, those that drifted first.

    `known`: the `distances` of the day, and of those before it; `leave_out`: features that come and go by nature, such
    as ids. Drifted is what passes Benjamini and Hochberg's procedure among the features or among the actions, and whose
    effect is clearly greater than any usual one of the past days, and than is worth a look. Of several measures the
    most telling counts, its p-value times their number.
    """
    judged = []
    for name, measured in known.get(day, {}).items():
        if name in leave_out:
            continue
        found = []
        for measure in measured:
            surprise = {one: _surprise(one, name, measure, known) for one in (*days_before(day, PAST_DAYS), day)}
            usual = usual_of([one for when, one in surprise.items() if when != day and one is not None])
            distance = surprise[day]
            if distance is not None and len(usual) >= FEWEST_DAYS:
                floor = max(LEAST_EFFECT[measure], *(CLEAR * abs(one.effect) for one in usual))
                found.append((p_value(distance, usual), floor, distance))
        if found:
            p, floor, distance = min(found, key=lambda one: one[0])
            judged.append((name, distance, floor, min(1.0, len(found) * p)))
    features, actions = ([one for one in judged if (one[1].measure == CHANGE) == is_rate] for is_rate in (False, True))
    verdicts = [
        Drift(
            day=day,
            name=name,
            measure=distance.measure,
            effect=distance.effect,
            floor=floor,
            p_value=p,
            drifted=bool(adjusted_p <= FALSE_DISCOVERY_RATE and abs(distance.effect) > floor),
        )
        for family in (features, actions)
        for (name, distance, floor, p), adjusted_p in zip(family, _adjusted(family), strict=True)
    ]
    return sorted(verdicts, key=lambda one: (not one.drifted, one.p_value, one.name))


def _adjusted(family: Sequence[tuple[str, Distance, float, float]]) -> Sequence[float]:
    """The p-values, raised so that those which stay below a level have it as their false discovery rate."""
    return false_discovery_control([p for *_, p in family]).tolist() if family else []


def _surprise(day: date, name: str, measure: str, known: Known) -> Distance | None:
    """A day's distance; of a measure with a direction, beyond what the week before led to expect: logs have trends."""
    distance = known.get(day, {}).get(name, {}).get(measure)
    if distance is None or measure not in DIRECTED:
        return distance
    before = (known.get(one, {}).get(name, {}).get(measure) for one in days_before(day, LEVEL_DAYS))
    effects = [one.effect for one in before if one is not None]
    return distance.beyond(float(np.median(effects))) if effects else distance


def usual_of(past: Sequence[Distance]) -> list[Distance]:
    """The past distances without those that lie far beyond the others."""
    if not past:
        return []
    middle = float(np.median([one.score for one in past]))
    return [one for one in past if one.score <= UNUSUAL * middle]


def p_value(distance: Distance, usual: Sequence[Distance]) -> float:
    """The probability of such a distance on a day like the usual ones, whose mean score is known from so few of them.

    With v = score / mean(usual scores), of K past days: F(ν, νK) beyond v for a chi-square of ν degrees of
    freedom, 2 (1 + 2 v E[K²] / K)^−K for a Kolmogorov variable, its exponential tail with the scale estimated.
    """
    mean = float(np.mean([one.score for one in usual]))
    if mean == 0:
        return 1.0 if distance.score == 0 else 0.0
    ratio, days = distance.score / mean, len(usual)
    if distance.measure == KS:
        return float(min(1.0, 2 * (1 + 2 * KOLMOGOROV * ratio / days) ** -days))
    return float(f.sf(ratio, distance.freedom, distance.freedom * days))


def distances(day: DayFigures, days: Mapping[date, DayFigures]) -> dict[str, dict[str, Distance]]:
    """How far each feature and action (`action click`) lies from the same weekdays before; {} without two of them."""
    reference = [one for one in reference_of(day.day, days) if one.users >= FEWEST_USERS]
    if len(reference) < 2 or day.users < FEWEST_USERS:
        return {}
    found = {}
    for name, feature in day.features.items():
        past = [(one.features[name], one.examples) for one in reference if name in one.features]
        of_feature = _of_values if feature.kind == "categorical" else _of_numbers
        if past and (measured := of_feature(feature, day.examples, past)):
            found[name] = {one.measure: one for one in measured}
    others = sum(one.examples for one in reference)
    for action, positives in day.positives.items():
        past_positives = sum(one.positives.get(action, 0) for one in reference)
        rate = _of_rate(positives, day.examples, past_positives, others)
        found[f"action {action}"] = {rate.measure: rate}
    return found


def _of_numbers(
    feature: FeatureFigures, examples: int, reference: Sequence[tuple[FeatureFigures, int]]
) -> tuple[Distance, ...]:
    """D = sup |F − G| (Kolmogorov 1933: of n and m independent rows, P(D² nm / (n + m) > y) ≈ 2 exp(−2y)), and the
    distance of the trimmed means in standard deviations of the reference."""
    rows = examples - feature.missing - feature.not_finite
    known = [(one.quantiles_L, count - one.missing - one.not_finite) for one, count in reference]
    known = [(quantiles_L, count) for quantiles_L, count in known if len(quantiles_L) and count > 0]
    if not len(feature.quantiles_L) or not known or rows < FEWEST_ROWS:
        return ()
    others = sum(count for _, count in known)
    distance = ks_distance(feature.quantiles_L, known)
    effective_rows = rows * others / (rows + others)
    pooled = np.array([quantiles_L[TRIMMED] for quantiles_L, _ in known])
    weights = np.array([count for _, count in known]) / others
    mean = float(weights @ pooled.mean(axis=1))
    deviation = float(np.sqrt(weights @ ((pooled - mean) ** 2).mean(axis=1)))
    found = Distance(measure=KS, effect=distance, score=effective_rows * distance**2)
    if deviation == 0:
        return (found,)
    shift = (float(feature.quantiles_L[TRIMMED].mean()) - mean) / deviation
    return found, Distance(measure=SHIFT, effect=shift, score=effective_rows * shift**2)


def _of_values(
    feature: FeatureFigures, examples: int, reference: Sequence[tuple[FeatureFigures, int]]
) -> tuple[Distance, ...]:
    """Total variation and Pearson's chi-square over the reference's commonest values, all others, and missing ones."""
    totals = total_values(one for one, _ in reference)
    top = sorted(totals, key=lambda value: (-totals[value], value))[:TOP_VALUES]
    others = sum(rows for _, rows in reference)
    expected = [*(totals[value] for value in top), sum(one.missing for one, _ in reference)]
    found = [*(feature.values[value].examples if value in feature.values else 0 for value in top), feature.missing]
    p = np.array([*found, examples - sum(found)]) / examples
    q = np.array([*expected, others - sum(expected)]) / others
    some = (p + q) > 0
    p, q = p[some], q[some]
    if len(p) < 2:
        return ()
    pooled = (p * examples + q * others) / (examples + others)
    score = examples * others / (examples + others) * float((((p - q) ** 2) / pooled).sum())
    return (Distance(measure=VARIATION, effect=float(np.abs(p - q).sum() / 2), score=score, freedom=len(p) - 1),)


def _of_rate(positives: int, rows: int, past_positives: int, past_rows: int) -> Distance:
    """By what share a rate lies above the one before, half a positive added to each, and its square over its variance.

    Not the log of their ratio: a rate that falls by a quarter would count for more than one that rises by a quarter.
    """
    one, other = positives + 0.5, past_positives + 0.5
    change = one / (rows + 1) / (other / (past_rows + 1)) - 1
    return Distance(measure=CHANGE, effect=change, score=change**2 / (1 / one + 1 / other))
