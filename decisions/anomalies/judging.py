"""What is broken in a day's rows: rules over its figures, each beside the days before it.

A rule compares with what this log has shown to be usual, and asks for a change so great that no clean day brings it: a
false alarm costs a week's release. What is smaller and still unusual is drift (`decisions.drift`), and warns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from decisions.anomalies import features, outcomes, random_traffic, traffic, values
from decisions.anomalies.seen import Promise, Rule, Seen
from decisions.days import FEWEST_DAYS, FEWEST_USERS, PAST_DAYS, DayFigures, days_before

# By the name that a criterion has.
RULES: Mapping[str, Sequence[Rule]] = {
    "days": [traffic.hours],
    "volume": [traffic.volume],
    "requests": [traffic.requests],
    "users and items": [traffic.users_and_items],
    "draws": [traffic.draws],
    "nulls": [features.nulls],
    "numbers": [features.numbers],
    "constant": [features.constant],
    "units": [features.units],
    "distributions": [features.distributions, values.word_distributions],
    "stale": [features.stale],
    "values": [values.values],
    "relations": [outcomes.relations],
    "actions": [outcomes.actions],
    "random slice": [random_traffic.random_slice],
    "propensities": [random_traffic.propensities],
    "random order": [random_traffic.random_order],
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A rule that found something on a day, and what, in words."""

    rule: str
    day: date
    reason: str


def anomalies(
    days: Mapping[date, DayFigures], *, since: date, until: date, first_day: date, promise: Promise
) -> list[Finding]:
    """What is broken on the days of [since, until), in their order; a log begins on `first_day`.

    A day with a finding is nothing that later ones are compared with.
    """
    broken: set[date] = set()
    found: list[Finding] = []
    for number in range((until - since).days):
        day = since + timedelta(days=number)
        past = [one for one in past_of(day, days) if one.day not in broken]
        if not is_enough(past):
            continue
        if day not in days:
            # A log that is quiet now and then has days without a row.
            if len(past_of(day, days)) == min(PAST_DAYS, (day - first_day).days):
                found.append(
                    Finding(rule="days", day=day, reason=f"no row, and each of {len(past)} days before has some")
                )
            broken.add(day)
            continue
        seen = Seen(day=days[day], past=past, promise=promise)
        new = [
            Finding(rule=name, day=day, reason=reason)
            for name, rules in RULES.items()
            for rule in rules
            for reason in rule(seen)
        ]
        found += new
        if new:
            broken.add(day)
    return found


def past_of(day: date, days: Mapping[date, DayFigures]) -> list[DayFigures]:
    return [days[one] for one in days_before(day, PAST_DAYS) if one in days]


def is_judged(day: date, days: Mapping[date, DayFigures]) -> bool:
    """Whether the days before it can say what is usual."""
    return is_enough(past_of(day, days))


def is_enough(past: Sequence[DayFigures]) -> bool:
    return len(past) >= FEWEST_DAYS and float(np.median([one.users for one in past])) >= FEWEST_USERS
