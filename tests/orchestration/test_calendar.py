"""The windows of a week, and the weeks of a log."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from lakehouse.home import Home
from orchestration.calendar import monday_of, weekly_partitions, windows
from tests.orchestration.small_releases import DATASET

LOG = replace(DATASET, first_day=date(2026, 1, 7), last_day=date(2026, 2, 3), evaluation_days=14)


def test_windows_follow_each_other_and_end_with_the_week() -> None:
    span = windows("2026-02-02", LOG)
    assert span.evaluate_until == datetime(2026, 2, 9, tzinfo=UTC)
    assert span.evaluate_until - span.calibrate_until == timedelta(days=14)
    assert span.calibrate_until - span.train_until == timedelta(days=7)


def test_a_later_week_never_evaluates_on_what_an_earlier_one_calibrated_on() -> None:
    earlier, later = windows("2026-01-26", LOG), windows("2026-02-02", LOG)
    assert later.calibrate_until > earlier.calibrate_until


def test_a_closed_log_has_the_weeks_that_it_touches(tmp_path: Path) -> None:
    LOG.save(tmp_path / "landing")
    keys = weekly_partitions(Home(tmp_path)).get_partition_keys(current_time=datetime(2026, 6, 1, tzinfo=UTC))
    assert keys == ["2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26", "2026-02-02"]


def test_an_open_log_has_the_weeks_that_have_ended(tmp_path: Path) -> None:
    replace(LOG, last_day=None).save(tmp_path / "landing")
    keys = weekly_partitions(Home(tmp_path)).get_partition_keys(current_time=datetime(2026, 1, 20, tzinfo=UTC))
    assert keys == ["2026-01-05", "2026-01-12"]


def test_without_a_log_there_is_still_a_calendar_to_look_at(tmp_path: Path) -> None:
    assert weekly_partitions(Home(tmp_path)).get_partition_keys()


@pytest.mark.parametrize("day", [date(2026, 1, 5), date(2026, 1, 7), date(2026, 1, 11)])
def test_a_week_begins_on_monday(day: date) -> None:
    assert monday_of(day) == date(2026, 1, 5)
