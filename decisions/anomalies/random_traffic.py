"""Rules on random traffic: is it there, whole, and random?"""

from collections.abc import Callable, Iterator
from math import isfinite

import numpy as np

from decisions.anomalies.seen import GROSS_SHARE, Seen, moved
from decisions.days import DayFigures, RandomFigures


def random_slice(seen: Seen) -> Iterator[str]:
    usual = seen.usual(lambda one: one.random.examples / one.examples if one.random else 0.0)
    if not seen.promise.random_slice or not usual.any():
        return
    if seen.day.random is None:
        yield "no random traffic, which the contract declares"
        return
    share = seen.day.random.examples / seen.day.examples
    if moved(share, usual[usual > 0]):
        yield f"{share:.1%} of the examples are random traffic, and {np.median(usual):.1%} on a usual day"
    a_request = _of_random(lambda one: one.candidates / one.requests)
    usual = seen.usual(a_request)
    middle = float(np.median(usual))
    if abs(a_request(seen.day) - middle) > max(GROSS_SHARE * middle, 2 * float(np.abs(usual - middle).max())):
        yield f"{a_request(seen.day):.3g} candidates a random request, and {middle:.3g} on a usual day"
    for purpose, of_users in (("calibration", "calibrate_share"), ("evaluation", "evaluate_share")):
        usual = seen.usual(_of_random(lambda one, of_users=of_users: getattr(one, of_users)))  # type: ignore[misc]
        if getattr(seen.day.random, of_users) == 0 and usual.min() > GROSS_SHARE / 2:
            yield f"no random traffic of users set aside for {purpose}, and {np.median(usual):.0%} of it on a usual day"


def propensities(seen: Seen) -> Iterator[str]:
    random = seen.day.random
    if random is None or not seen.promise.random_slice:
        return
    if random.without_propensity:
        yield f"{random.without_propensity:,} of {random.candidates:,} random candidates have no propensity"
    if not 0 < random.smallest_propensity <= random.largest_propensity <= 1:
        span = f"{random.smallest_propensity:g} to {random.largest_propensity:g}"
        yield f"propensities run from {span}, and must lie in (0, 1]"
    usual = seen.usual(_of_random(lambda one: one.propensity_sum))
    if len(usual) and abs(random.propensity_sum - np.median(usual)) > max(0.02, 3 * np.ptp(usual)):
        total = f"{random.propensity_sum:.3f} ({np.median(usual):.3f} is usual)"
        yield f"the propensities of a request's candidates sum to {total}"


def random_order(seen: Seen) -> Iterator[str]:
    """Is the order of random traffic that of chance?"""
    random = seen.day.random
    for number, z in random.alignment.items() if random is not None and seen.promise.positions else ():
        usual = seen.usual(_of_random(lambda one, number=number: one.alignment.get(number, np.nan)))  # type: ignore[misc]
        if isfinite(z) and abs(z) > max(6.0, 2 * float(np.abs(usual).max(initial=0))):
            yield f"random traffic is ordered by {number}: z = {z:.1f}, and 0 ± 1 if its order were drawn"


def _of_random(figure: Callable[[RandomFigures], float]) -> Callable[[DayFigures], float]:
    return lambda one: figure(one.random) if one.random is not None else np.nan
