"""Sequential evidence that a canary's rate of some event differs from that of the traffic beside it.

Given that a request with the event came, it is one of the canary's with probability π r / (π r + 1 − π), where π is the
canary's share of requests and r the ratio of the two rates, whatever the rates themselves are at the hour. So control
traffic of the same time is the baseline, however rare the event, and the likelihood ratio of r against the tolerated r₀
is a martingale where r₀ is true (a supermartingale where r is still more harmless). It passes 1/α with probability α at
most, at any look, however often one looks (Ville 1939): nothing need be remembered between looks. Lindon, Sanden and
Shirikian (KDD 2022) and Lindon and Malek (NeurIPS 2022) watch releases so; Kulldorff et al. (2011) vaccines.

The martingale is exact for independent rare events. Users bring several requests, so the log of the ratio is divided by
the dispersion of counts by user (McCullagh and Nelder 1989, quasi-likelihood), which makes the level approximate.
"""

from collections.abc import Sequence
from math import copysign, exp, inf, log, sqrt

from scipy.special import gammaincinv, ndtri

from decisions.rollout.figures import ArmCounts, Measured, Spread, StepCounts

# Beyond this a float overflows, and nobody cares.
LARGEST_LOG = 700.0


def dispersion(measured: Measured) -> float:
    """Σ (y − p n)² / Σ y over the users of both arms, p being the rate of their arm: 1 for independent rare events.

    Never below 1 − p, which independent requests with at most one event have. 1 where there is no event.
    """
    squares, events, requests = 0.0, 0, 0
    for counts, spread in (
        (_total([step.canary for step in measured.steps]), measured.canary_spread),
        (_total([step.control for step in measured.steps]), measured.control_spread),
    ):
        if counts.requests:
            rate = counts.events / counts.requests
            squares += _squares(spread, rate)
            events += counts.events
            requests += counts.requests
    return max(1 - events / requests, squares / events) if events else 1.0


def log_likelihood_ratio(steps: Sequence[StepCounts], *, ratio: float, against: float, dispersion: float) -> float:
    """log of how much likelier the events' arms are if canary rate / control rate is `ratio` than if it is `against`.

    Summed over steps, since the canary's share of requests differs between them.

    >>> steps = [StepCounts(share=0.5, canary=ArmCounts(users=100, requests=100, events=6),
    ...                     control=ArmCounts(users=100, requests=100, events=2))]
    >>> round(log_likelihood_ratio(steps, ratio=3, against=1, dispersion=1), 3)  # 6 log 1.5 + 2 log .5
    1.046
    """
    total = 0.0
    for step in steps:
        requests = step.canary.requests + step.control.requests
        if not requests:
            continue
        share, events = step.canary.requests / requests, step.canary.events + step.control.events
        total += step.canary.events * log(ratio / against)
        total -= events * log((share * ratio + 1 - share) / (share * against + 1 - share))
    return total / dispersion


def odds(steps: Sequence[StepCounts], *, ratios: Sequence[tuple[float, float]], against: float, spread: float) -> float:
    """The likelihood ratio averaged over `ratios` with their weights; `spread` is the dispersion."""
    logs = [
        log(weight) + log_likelihood_ratio(steps, ratio=ratio, against=against, dispersion=spread)
        for ratio, weight in ratios
    ]
    largest = max(logs)
    found = largest + log(sum(exp(one - largest) for one in logs))
    return exp(found) if found < LARGEST_LOG else inf


def deviation(steps: Sequence[StepCounts], *, against: float, dispersion: float) -> float:
    """The signed root of the likelihood ratio, √(2 log LR(r̂ against r₀)), negative where r̂ < r₀: about standard normal.

    r̂ is the ratio of rates by Mantel and Haenszel, a weighted mean over steps that needs no iteration.

    >>> arms = [ArmCounts(users=1000, requests=1000, events=events) for events in (36, 64)]
    >>> round(deviation([StepCounts(share=0.5, canary=arms[0], control=arms[1])], against=1, dispersion=1), 2)
    -2.82
    """
    some = [step for step in steps if step.canary.requests and step.control.requests]
    sizes = [step.canary.requests + step.control.requests for step in some]
    above = sum(one.canary.events * one.control.requests / size for one, size in zip(some, sizes, strict=True))
    below = sum(one.control.events * one.canary.requests / size for one, size in zip(some, sizes, strict=True))
    if not above and not below:
        return 0.0
    # Half an event keeps the ratio finite where an arm has none.
    ratio = above / below if above and below else (above + 0.5) / (below + 0.5)
    found = log_likelihood_ratio(some, ratio=ratio, against=against, dispersion=dispersion)
    return copysign(sqrt(2 * max(found, 0.0)), ratio - against)


def planned_limit(steps: Sequence[StepCounts], *, level: float, requests: int) -> float:
    """How far `deviation` may go while less than `requests` of the canary are known; infinite from then on.

    z / √f at the fraction f of the information that so many give beside enough control, the boundary of O'Brien and
    Fleming (1979) in continuous time: a Wiener process passes z before time 1 with probability 2 (1 − Φ(z)).
    """
    known = sum(
        step.canary.requests * step.control.requests / (step.canary.requests + step.control.requests)
        for step in steps
        if step.canary.requests
    )
    if not level or not 0 < known <= requests:
        return inf
    return float(-ndtri(level / 2)) / sqrt(known / requests)


def highest_rate(steps: Sequence[StepCounts], *, missed: float) -> float:
    """The rate that the canary's exceeds with probability `missed` at most, by its events alone (Garwood 1936).

    >>> none = ArmCounts(users=3_000, requests=3_000, events=0)
    >>> round(highest_rate([StepCounts(share=0.5, canary=none, control=none)], missed=0.05), 5)  # about 3 in so many
    0.001
    """
    canary = _total([step.canary for step in steps])
    return float(gammaincinv(canary.events + 1, 1 - missed)) / canary.requests if canary.requests else inf


def _squares(spread: Spread, rate: float) -> float:
    return spread.events_squared - 2 * rate * spread.requests_events + rate**2 * spread.requests_squared


def _total(counts: Sequence[ArmCounts]) -> ArmCounts:
    return ArmCounts(
        users=sum(one.users for one in counts),
        requests=sum(one.requests for one in counts),
        events=sum(one.events for one in counts),
    )
