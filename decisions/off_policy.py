"""What a candidate would earn in place of production, by the randomly ordered requests of the log.

The value is that of the actions of a request if the model ordered it. Unlike the AUC it speaks of what no policy chose
to show, and it is far less sure: a request speaks for a ranking only where chance put an item at the very same place.
So three answers are kept apart. Propensities that do not fit the log block: nothing that rests on them is right. A
slice that could show two equal rankings to be equal is asked to do so. A thinner one can only speak against a
candidate, and is asked for that alone: what it leaves open is `not applicable`, and AUC and log loss, on the same days,
decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from decisions.criterion import Criterion, Status, missing, not_applicable
from decisions.interval import Interval
from decisions.rules import compare


@dataclass(frozen=True, kw_only=True)
class OffPolicyLimits:
    """When a value is believed, and what may be lost of it."""

    # Below these an estimate rests on a handful of rows (Kish's effective rows; rows with weight and action).
    min_effective_rows: int = 50
    min_rewarded: int = 5
    # A mean weight so many standard errors from 1 is no chance: one of 16,000 where all is right.
    max_weight_errors: float = 4.0
    # Shares of what production earns. A ranking at random earns a quarter to a half less than a trained one.
    margin: float = 0.05
    harm: float = 0.01


@dataclass(frozen=True, kw_only=True)
class RankingFigures:
    """One ranking: `snips` and `dr` in actions of a request, and what the importance weights say of their support."""

    snips: float
    dr: float
    effective_rows: float
    rewarded: int
    mean_weight: float
    mean_weight_error: float


@dataclass(frozen=True, kw_only=True)
class OffPolicyFigures:
    """The random slice of the evaluation, for one action.

    most_candidates: of one request. `gain` is candidate − production by the doubly robust estimator, as a share of what
    production earns. Rankings are None where nothing could be estimated, production also before there is one.
    """

    requests: int
    most_candidates: int
    candidate: RankingFigures | None = None
    production: RankingFigures | None = None
    gain: Interval | None = None


def check_off_policy(
    action: str,
    found: OffPolicyFigures | None,
    *,
    absent: Sequence[str],
    production: str | None,
    limits: OffPolicyLimits,
) -> list[Criterion]:
    """Can the random slice be believed, and what does it say? `absent`: what it takes and the contract declares absent.

    >>> said = check_off_policy("click", None, absent=[], production=None, limits=OffPolicyLimits())
    >>> [(criterion.name, criterion.status) for criterion in said]
    [('click: off-policy support', 'block'), ('click: off-policy value', 'block')]
    """
    support, value = f"{action}: off-policy support", f"{action}: off-policy value"
    if absent:
        reason = f"the contract declares that the log holds no {' and no '.join(absent)}"
        return [not_applicable(name, reason) for name in (support, value)]
    if found is None or found.requests == 0:
        return [missing(name, "the evaluation holds no candidates of random requests") for name in (support, value)]
    if found.most_candidates == 1:
        reason = "every random request of this log holds one candidate: there is no order to judge"
        return [not_applicable(name, reason) for name in (support, value)]
    rankings = [one for one in (found.candidate, found.production) if one is not None]
    judged = _support(support, rankings, limits)
    if judged.status != "pass":
        return [judged, not_applicable(value, f"nothing to rest it on: {judged.reason}")]
    if production is None:
        return [judged, not_applicable(value, "there is no production release yet")]
    if found.production is None or found.gain is None or not found.gain.defined:
        return [judged, missing(value, f"not compared with {production}")]
    return [judged, _value(value, found.gain, rankings, limits)]


def _support(name: str, rankings: Sequence[RankingFigures], limits: OffPolicyLimits) -> Criterion:
    """The mean weight is 1 where the log knows its propensities and holds every candidate."""
    if not rankings:
        return not_applicable(name, "fewer users than it takes to estimate rewards for each from the others")
    worst = max(rankings, key=lambda one: abs(one.mean_weight - 1) / max(one.mean_weight_error, 1e-12))
    gap = abs(worst.mean_weight - 1)
    effective = min(one.effective_rows for one in rankings)
    rewarded = min(one.rewarded for one in rankings)
    weight = f"the mean weight is {worst.mean_weight:.3f} ± {worst.mean_weight_error:.3f}"
    thin = effective < limits.min_effective_rows or rewarded < limits.min_rewarded
    # Of a handful of weights the standard error is a guess too.
    if not thin and gap > limits.max_weight_errors * worst.mean_weight_error and gap > 1e-9:
        return Criterion(
            name=name,
            status="block",
            figure=worst.mean_weight,
            limit=1.0,
            reason=f"{weight} and should be 1: the propensities are wrong, or candidates did not land",
        )
    said = f"the weights are worth {effective:,.0f} rows, {rewarded:,} of them with the action"
    asked = f"too thin ({limits.min_effective_rows} and {limits.min_rewarded} asked)"
    return Criterion(
        name=name,
        status="not applicable" if thin else "pass",
        figure=effective,
        limit=float(limits.min_effective_rows),
        reason=f"{said}: {asked}" if thin else f"{said}; {weight}",
    )


def _value(name: str, gain: Interval, rankings: Sequence[RankingFigures], limits: OffPolicyLimits) -> Criterion:
    candidate, production = rankings
    beside = f"{candidate.dr:.4g} actions a request beside {production.dr:.4g}"
    reach = gain.figure - gain.lower_99
    if reach <= limits.margin / 2:
        # Two equal rankings would be shown to be equal 99 times in 100.
        judged = compare(
            name,
            difference=gain.figure,
            lower_99=gain.lower_99,
            upper_95=gain.upper_95,
            margin=limits.margin,
            harm=limits.harm,
        )
        return replace(judged, reason=f"{beside}: {judged.reason}")
    # Chance alone would bring a thin slice below −harm one time in 20 at 95 %: here it takes 99 %.
    best = f"{beside}: at best {gain.upper_99:+.1%} (99 %)"
    thin = (
        f"{beside}, {gain.figure:+.1%}: known to {reach:.0%} only, where {limits.margin / 2:.1%} would show two equal "
        "rankings to be equal; AUC and log loss decide"
    )
    status: Status
    if gain.upper_99 < -limits.margin:
        status, reason = "block", f"{best}, and {limits.margin:.0%} less blocks"
    elif gain.upper_99 < -limits.harm:
        status, reason = "needs-a-person", f"{best}: worse, and perhaps by much"
    else:
        status, reason = "not applicable", thin
    return Criterion(
        name=name,
        status=status,
        figure=gain.figure,
        lower=gain.lower_99,
        upper=gain.upper_99,
        limit=-limits.margin,
        reason=reason,
    )
