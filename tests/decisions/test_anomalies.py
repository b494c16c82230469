"""Every kind of anomaly planted into a simulated day, and clean days: `make bench NAME=anomalies` in small."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

import pytest

from benchmarks._anomalies import COLUMNS, ROWS, Kind
from benchmarks._day_figures import figures_of
from benchmarks._service_days import IDS, KINDS, ServiceDay, service_days
from benchmarks.anomalies import is_found, is_refused
from decisions.anomalies import Promise, anomalies
from decisions.data_checks import check_days, check_drift
from decisions.days import DayFigures
from decisions.drift import Drift
from simulator.chance import generator
from simulator.world import START, World

# A correlation is known well enough to miss it from 10,000 examples a day on.
IN_SMALL = [kind for kind in ROWS if kind.what != "a wrong join"]
PROMISE = Promise(kinds=KINDS, ids=IDS, random_slice=True, positions=True)


@pytest.fixture(scope="module")
def service() -> tuple[dict[date, DayFigures], ServiceDay]:
    """Six weeks of 6,000 examples a day, and the rows of the last day."""
    world = World.draw(exposures=6 * 7 * 7_500, weeks=6, seed=105)
    days = {}
    for last in service_days(world):
        days[last.day] = figures_of(last.examples, random_slice=last.random_slice, kinds=KINDS)
    return days, last


@pytest.mark.parametrize("kind", IN_SMALL, ids=lambda kind: kind.what)
def test_an_anomaly_is_found_for_the_right_reason(
    service: tuple[dict[date, DayFigures], ServiceDay], kind: Kind
) -> None:
    days, last = service
    broken = kind.inject(last, generator(3, "anomalies"))
    rows = broken.examples.num_rows
    figures = figures_of(broken.examples, random_slice=broken.random_slice, kinds=KINDS) if rows else None
    assert is_found(kind, days, last.day, figures)


@pytest.mark.parametrize("what", COLUMNS)
def test_a_column_that_is_gone_or_of_another_type_is_named(what: str) -> None:
    assert is_refused(COLUMNS[what], 3)


def test_clean_days_are_let_through(service: tuple[Mapping[date, DayFigures], ServiceDay]) -> None:
    days, last = service
    since = START + timedelta(days=28)
    found = anomalies(days, since=since, until=last.day + timedelta(days=1), first_day=START, promise=PROMISE)
    assert found == []
    assert {one.status for one in check_days(found, days=14, judged=14)} == {"pass"}


def test_a_broken_day_is_nothing_that_the_next_one_is_compared_with(
    service: tuple[Mapping[date, DayFigures], ServiceDay],
) -> None:
    """Twice the same surge: had the first counted as usual, the second would be no surprise."""
    days, last = service
    surge = next(kind for kind in ROWS if kind.what == "a surge").inject(last, generator(1, "anomalies"))
    twice = dict(days)
    for number in (-1, 0):
        day = last.day + timedelta(days=number)
        figures = figures_of(surge.examples, random_slice=surge.random_slice, kinds=KINDS)
        twice[day] = replace(figures, day=day)
    found = anomalies(
        twice,
        since=last.day - timedelta(days=1),
        until=last.day + timedelta(days=1),
        first_day=START,
        promise=PROMISE,
    )
    assert [one.day for one in found if one.rule == "volume"] == [last.day - timedelta(days=1), last.day]


def test_a_log_that_has_just_begun_is_not_judged(service: tuple[Mapping[date, DayFigures], ServiceDay]) -> None:
    days, last = service
    few = {day: figures for day, figures in days.items() if day > last.day - timedelta(days=10)}
    until = last.day + timedelta(days=1)
    assert anomalies(few, since=last.day, until=until, first_day=min(few), promise=PROMISE) == []
    assert [one.status for one in check_days([], days=1, judged=0)] == ["not applicable"]


def test_days_of_a_handful_of_users_are_not_judged(service: tuple[Mapping[date, DayFigures], ServiceDay]) -> None:
    """On MovieLens ten people come on a day, and rate a hundred films each: every day is unlike the others."""
    days, last = service
    few = {day: replace(figures, users=10) for day, figures in days.items()}
    few[last.day] = replace(few[last.day], examples=1)
    until = last.day + timedelta(days=1)
    assert anomalies(few, since=last.day, until=until, first_day=START, promise=PROMISE) == []


def test_drift_warns_with_the_feature_its_day_and_what_is_usual() -> None:
    moved = Drift(
        day=date(2026, 1, 5),
        name="user_age",
        measure="KS distance",
        effect=0.2,
        floor=0.05,
        p_value=1e-6,
        drifted=True,
    )
    criterion = check_drift([moved])
    assert criterion.status == "warn"
    assert criterion.reason == "2026-01-05 user_age: KS distance +0.20 (up to 0.05 is usual), p = 1e-06"
    assert check_drift([]).status == "not applicable"
