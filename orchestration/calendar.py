"""The calendar of retraining: its partitions, which of them are due, and which days each one trains and judges on.

A partition is a day or a week, named by its first day. A cadence of several days or weeks retrains every so many of
them, so that another cadence of the same grain finds the partitions that there are.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from lakehouse.dataset import Cadence, Dataset
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


def partitions(home: Home) -> dg.TimeWindowPartitionsDefinition:
    """The days, or the weeks from Monday to Monday, that the log touches; without end for a log that goes on."""
    try:
        dataset = Dataset.load(home.landing)
    except FileNotFoundError:
        return dg.WeeklyPartitionsDefinition(start_date=FIRST_WEEK_WITHOUT_DATA.isoformat(), day_offset=1)
    last = dataset.last_day
    if period_days(dataset.cadence) == 1:
        end = last and last + timedelta(days=1)
        return dg.DailyPartitionsDefinition(
            start_date=dataset.first_day.isoformat(), end_date=end.isoformat() if end else None, timezone="UTC"
        )
    end = last and monday_of(last) + timedelta(days=7)
    return dg.WeeklyPartitionsDefinition(
        start_date=monday_of(dataset.first_day).isoformat(),
        end_date=end.isoformat() if end else None,
        day_offset=1,
        timezone="UTC",
    )


def is_due(partition: str, dataset: Dataset) -> bool:
    """Whether the cadence retrains this partition; any other one can be retrained by hand.

    Every third day and every second week count from the Monday on or before the log's first day; a month is retrained
    with the week that its end falls into.
    """
    days = (date.fromisoformat(partition) - monday_of(dataset.first_day)).days
    match dataset.cadence:
        case "three-daily":
            return days % 3 == 2
        case "bi-weekly":
            return days // 7 % 2 == 1
        case "monthly":
            return period_end(partition, "monthly").day <= 7
    return True


def due_partitions(home: Home, *, now: datetime) -> list[str]:
    """The partitions that have ended and are due, oldest first; none before any logs have landed."""
    try:
        dataset = Dataset.load(home.landing)
    except FileNotFoundError:
        return []
    ended = partitions(home).get_partition_keys(current_time=now)
    return [partition for partition in ended if is_due(partition, dataset)]


def windows(partition: str, dataset: Dataset) -> Windows:
    """The windows of the period that begins on `partition`: they end with it.

    >>> from datetime import date
    >>> log = Dataset(name="shop", actions=("click",), random_slice=True, positions=True, first_day=date(2026, 1, 5),
    ...               last_day=None, calibration_days=7, evaluation_days=14, source="")
    >>> spans = windows("2026-02-02", log)
    >>> str(spans.train_until.date()), str(spans.calibrate_until.date()), str(spans.evaluate_until.date())
    ('2026-01-19', '2026-01-26', '2026-02-09')
    """
    evaluate_until = midnight(period_end(partition, dataset.cadence))
    calibrate_until = evaluate_until - timedelta(days=dataset.evaluation_days)
    return Windows(
        train_until=calibrate_until - timedelta(days=dataset.calibration_days),
        calibrate_until=calibrate_until,
        evaluate_until=evaluate_until,
    )


def period_end(partition: str, cadence: Cadence) -> date:
    """The first day after the day or week that begins on `partition`.

    >>> str(period_end("2026-02-02", "bi-weekly")), str(period_end("2026-02-02", "three-daily"))
    ('2026-02-09', '2026-02-03')
    """
    return date.fromisoformat(partition) + timedelta(days=period_days(cadence))


def period_days(cadence: Cadence) -> int:
    """How many days a partition has."""
    return 1 if cadence in ("daily", "three-daily") else 7


def monday_of(day: date) -> date:
    return day - timedelta(days=day.weekday())


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
