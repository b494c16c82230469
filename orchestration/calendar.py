"""The calendar of retraining: weekly partitions, and which days each one trains, calibrates and evaluates on."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from lakehouse.dataset import Dataset
from lakehouse.home import Home

# Before any logs have landed there is still a UI to open: it then shows weeks from here on.
FIRST_WEEK_WITHOUT_DATA = date(2026, 1, 5)


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Half-open windows in time order: train [.., train_until), calibrate [train_until, calibrate_until),
    evaluate [calibrate_until, evaluate_until).

    No row served at or after `evaluate_until`, the end of the partition, is read.
    """

    train_until: datetime
    calibrate_until: datetime
    evaluate_until: datetime


def weekly_partitions(home: Home) -> dg.WeeklyPartitionsDefinition:
    """Weeks from Monday to Monday, from the log's first day to its last; without end for a log that goes on."""
    try:
        dataset = Dataset.load(home.landing)
    except FileNotFoundError:
        return dg.WeeklyPartitionsDefinition(start_date=FIRST_WEEK_WITHOUT_DATA.isoformat(), day_offset=1)
    start = monday_of(dataset.first_day)
    end = dataset.last_day and monday_of(dataset.last_day) + timedelta(days=7)
    return dg.WeeklyPartitionsDefinition(
        start_date=start.isoformat(), end_date=end.isoformat() if end else None, day_offset=1, timezone="UTC"
    )


def windows(partition: str, dataset: Dataset) -> Windows:
    """The windows of the week that begins on `partition`: they end with it.

    >>> from datetime import date
    >>> log = Dataset(name="shop", actions=("click",), random_slice=True, positions=True, first_day=date(2026, 1, 5),
    ...               last_day=None, calibration_days=7, evaluation_days=14, source="")
    >>> spans = windows("2026-02-02", log)
    >>> str(spans.train_until.date()), str(spans.calibrate_until.date()), str(spans.evaluate_until.date())
    ('2026-01-19', '2026-01-26', '2026-02-09')
    """
    evaluate_until = midnight(week_end(partition))
    calibrate_until = evaluate_until - timedelta(days=dataset.evaluation_days)
    return Windows(
        train_until=calibrate_until - timedelta(days=dataset.calibration_days),
        calibrate_until=calibrate_until,
        evaluate_until=evaluate_until,
    )


def week_end(partition: str) -> date:
    """The first day after the week that begins on `partition`."""
    return date.fromisoformat(partition) + timedelta(days=7)


def monday_of(day: date) -> date:
    return day - timedelta(days=day.weekday())


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
