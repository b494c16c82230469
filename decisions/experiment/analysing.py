"""The analysis of an experiment at every look so far, and the verdict where the rule allows one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import pairwise
from math import inf, isfinite
from typing import Any, Literal

from decisions.experiment.figures import ALL_USERS, Compared, ExperimentPlan, Look
from decisions.experiment.lift import Lift, lift
from decisions.experiment.looks import boundaries
from decisions.experiment.sample_ratio import SampleRatio, check_sample_ratio

Verdict = Literal["better", "worse", "no difference seen"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A metric in a segment at a look. The interval holds at every look together with those of the other looks, and of
    the other segments of the metric; lift, bounds and standard error are relative to control. None is undefined."""

    day: date
    metric: str
    segment: str
    treatment: float | None
    control: float | None
    lift: float | None
    error: float | None
    lower: float | None
    upper: float | None
    variance_removed: float | None

    @property
    def seen(self) -> Verdict | None:
        """What the interval says by itself: on which side of 0 it lies, if on one."""
        if self.lower is not None and self.lower > 0:
            return "better"
        return "worse" if self.upper is not None and self.upper < 0 else None


@dataclass(frozen=True, kw_only=True)
class ExperimentResult:
    """`verdict` is None while the rule allows none; `reason` says why, or what the verdict rests on."""

    verdict: Verdict | None
    reason: str
    sample_ratio: SampleRatio
    comparisons: tuple[Comparison, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON: a number that is not finite becomes null."""
        sample_ratio = {
            name: None if isinstance(value, float) and not isfinite(value) else value
            for name, value in asdict(self.sample_ratio).items()
        }
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "sample_ratio": sample_ratio,
            "comparisons": [{**asdict(one), "day": one.day.isoformat()} for one in self.comparisons],
        }


def analyse(looks: Sequence[Look], *, plan: ExperimentPlan) -> ExperimentResult:
    """All comparisons at all looks, and the verdict on the plan's primary metric over all users.

    The first look at which the interval leaves 0 out gives the verdict; the last of the plan gives one in any case. If
    at any look the arms did not have the users that they should, there is none. Of other metrics and of segments there
    are intervals and no verdict: the plan's level stands for one question.

    Raises ValueError without a look or the primary metric, and if looks do not rise by day or lie outside the plan.
    """
    if not looks or any(one.day >= other.day for one, other in pairwise(looks)):
        raise ValueError(
            f"looks are at {[str(look.day) for look in looks]}; at least one, each later than the one before"
        )
    if missing := [str(look.day) for look in looks if ALL_USERS not in look.metrics.get(plan.primary, {})]:
        raise ValueError(f"the plan's metric {plan.primary!r} has no figures of {ALL_USERS!r} at {', '.join(missing)}")
    comparisons = tuple(
        comparison
        for metric in looks[-1].metrics
        for segment in looks[-1].metrics[metric]
        for comparison in _compare(looks, metric=metric, segment=segment, plan=plan)
    )
    ratios = [
        check_sample_ratio(
            look.treatment_users, look.control_users, share=plan.treatment_share, level=plan.sample_ratio_level
        )
        for look in looks
    ]
    worst = max(ratios, key=lambda one: one.odds)
    verdict, reason = _verdict(
        [one for one in comparisons if (one.metric, one.segment) == (plan.primary, ALL_USERS)], plan=plan
    )
    if worst.alarm:
        verdict, reason = None, f"sample ratio: {worst.reason}"
    return ExperimentResult(
        verdict=verdict,
        reason=reason,
        sample_ratio=worst if worst.alarm else ratios[-1],
        comparisons=comparisons,
    )


def _verdict(primary: Sequence[Comparison], *, plan: ExperimentPlan) -> tuple[Verdict | None, str]:
    for one in primary:
        if one.seen:
            return one.seen, f"{one.metric} on {one.day}: {_interval(one)}"
    last = primary[-1]
    if plan.fraction(last.day) < 1:
        return None, f"{last.metric} on {last.day}: {_interval(last)}; the plan has {plan.days} days"
    if last.lift is None:
        return None, f"{last.metric} is undefined at the end of the plan"
    return "no difference seen", f"{last.metric} at the end of the plan: {_interval(last)}"


def _interval(one: Comparison) -> str:
    if one.lift is None:
        return "undefined"
    if one.lower is None or one.upper is None:
        return f"lift {one.lift:+.1%}"
    return f"lift {one.lift:+.1%} ({one.lower:+.1%} to {one.upper:+.1%})"


def _compare(looks: Sequence[Look], *, metric: str, segment: str, plan: ExperimentPlan) -> list[Comparison]:
    """A metric of a segment at each look that has it; segments share the level that everybody has to himself."""
    segments = len([one for one in looks[-1].metrics[metric] if one != ALL_USERS])
    level = plan.level if segment == ALL_USERS else plan.level / segments
    compared: list[tuple[date, Compared]] = [
        (look.day, look.metrics[metric][segment]) for look in looks if segment in look.metrics.get(metric, {})
    ]
    lifts = [lift(one) for _, one in compared]
    # A look with nothing to say adds no information; neither does one without any spread.
    information = [1 / one.error**2 if one and one.error > 0 else 0.0 for one in lifts]
    limits = boundaries([plan.fraction(day) for day, _ in compared], information, level=level)
    return [
        _comparison(day, metric, segment, found=found, limit=limit)
        for (day, _), found, limit in zip(compared, lifts, limits, strict=True)
    ]


def _comparison(day: date, metric: str, segment: str, *, found: Lift | None, limit: float) -> Comparison:
    width = limit * found.error if found and limit < inf else None
    return Comparison(
        day=day,
        metric=metric,
        segment=segment,
        treatment=found.treatment if found else None,
        control=found.control if found else None,
        lift=found.lift if found else None,
        error=found.error if found else None,
        lower=found.lift - width if found and width is not None else None,
        upper=found.lift + width if found and width is not None else None,
        variance_removed=found.variance_removed if found else None,
    )
