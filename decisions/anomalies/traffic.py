"""Rules on rows, requests, users and items."""

from collections.abc import Iterator
from math import sqrt

import numpy as np

from decisions.anomalies.seen import GROSS_SHARE, Seen, moved

# Standard errors beyond which chance is no explanation.
NO_CHANCE = 8.0


def volume(seen: Seen) -> Iterator[str]:
    usual = seen.usual(lambda one: float(one.examples))
    if moved(float(seen.day.examples), usual):
        yield f"{seen.day.examples:,} examples, and {np.median(usual):,.0f} on a usual day"


def hours(seen: Seen) -> Iterator[str]:
    usual = seen.usual(lambda one: float(one.hours))
    if seen.day.hours < usual.min() and seen.day.hours <= 0.85 * np.median(usual):
        yield f"{seen.day.hours} hours have rows (never below {usual.min():.0f} before): a part of the day is missing"


def requests(seen: Seen) -> Iterator[str]:
    day = seen.day
    for what, share in (
        (
            "show an item that their request shows already: rows came twice",
            lambda one: one.repeated_items / one.examples,
        ),
        ("stand at a position that their request has filled", lambda one: one.repeated_places / one.examples),
    ):
        usual = seen.usual(share)
        if share(day) > max(0.02, 2 * usual.max() + 0.01) and (seen.promise.positions or "item" in what):
            yield f"{share(day):.1%} of the rows {what} (at most {usual.max():.1%} before)"
    if seen.promise.positions:
        usual = seen.usual(lambda one: one.first_places / one.requests)
        if day.first_places / day.requests < 0.5 * usual.min():
            first = f"{day.first_places / day.requests:.0%}"
            yield f"{first} of the requests have a position 1 (never below {usual.min():.0%} before)"


def users_and_items(seen: Seen) -> Iterator[str]:
    """Users and items: one that floods the log, ids that fell together, ids that nobody has seen."""
    day = seen.day
    usual = seen.usual(lambda one: one.most_of_a_user / one.examples)
    if day.most_of_a_user / day.examples > max(GROSS_SHARE, 3 * usual.max()):
        yield f"one user has {day.most_of_a_user / day.examples:.0%} of the rows (at most {usual.max():.1%} before)"
    for what, count in (("users", lambda one: one.users), ("items", lambda one: one.items)):
        usual = seen.usual(lambda one, count=count: count(one) / one.examples)  # type: ignore[misc]
        if moved(count(day) / day.examples, usual):
            yield f"{count(day):,} {what}, where {np.median(usual) * day.examples:,.0f} are usual for as many rows"
    for what, share in (
        ("users", lambda one: one.of_new_users / one.examples),
        ("items", lambda one: one.of_new_items / one.examples),
    ):
        usual = seen.usual(share)
        if share(day) > usual.max() + 2 * GROSS_SHARE:
            yield f"{share(day):.0%} of the rows are of {what} never seen before (at most {usual.max():.0%}): new ids?"


def draws(seen: Seen) -> Iterator[str]:
    error = 1 / sqrt(12 * seen.day.examples)
    if not abs(seen.day.mean_draw - 0.5) < NO_CHANCE * error:
        yield f"the sampler's draws have a mean of {seen.day.mean_draw:.3f}, and uniform ones of 0.5 ± {error:.3f}"
