"""The windows of a week, and the weeks of a log."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from lakehouse.dataset import Cadence, Dataset
from lakehouse.home import Home
from orchestration.calendar import due_partitions, monday_of, partitions, windows
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
    keys = partitions(Home(tmp_path)).get_partition_keys(current_time=datetime(2026, 6, 1, tzinfo=UTC))
    assert keys == ["2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26", "2026-02-02"]


def test_an_open_log_has_the_weeks_that_have_ended(tmp_path: Path) -> None:
    replace(LOG, last_day=None).save(tmp_path / "landing")
    keys = partitions(Home(tmp_path)).get_partition_keys(current_time=datetime(2026, 1, 20, tzinfo=UTC))
    assert keys == ["2026-01-05", "2026-01-12"]


def test_without_a_log_there_is_still_a_calendar_to_look_at(tmp_path: Path) -> None:
    assert partitions(Home(tmp_path)).get_partition_keys()


@pytest.mark.parametrize("day", [date(2026, 1, 5), date(2026, 1, 7), date(2026, 1, 11)])
def test_a_week_begins_on_monday(day: date) -> None:
    assert monday_of(day) == date(2026, 1, 5)


@pytest.mark.parametrize(
    ("cadence", "due"),
    [
        ("daily", [f"2026-02-{day:02}" for day in range(1, 13)]),
        ("three-daily", ["2026-02-03", "2026-02-06", "2026-02-09", "2026-02-12"]),
        ("weekly", ["2026-02-02"]),
        ("bi-weekly", ["2026-01-12", "2026-01-26"]),
        ("monthly", ["2026-01-26"]),
    ],
)
def test_each_cadence_retrains_so_many_of_the_days_or_weeks_that_have_ended(
    cadence: Cadence, due: list[str], tmp_path: Path
) -> None:
    replace(LOG, last_day=None, cadence=cadence).save(tmp_path / "landing")
    found = due_partitions(Home(tmp_path), now=datetime(2026, 2, 13, 6, tzinfo=UTC))
    assert found[-len(due) :] == due
    assert all(date.fromisoformat(earlier) < date.fromisoformat(due[0]) for earlier in found[: -len(due)])


def test_a_month_is_retrained_once_with_the_week_that_its_end_falls_into(tmp_path: Path) -> None:
    replace(LOG, last_day=None, cadence="monthly").save(tmp_path / "landing")
    found = due_partitions(Home(tmp_path), now=datetime(2026, 12, 31, tzinfo=UTC))
    ends = [date.fromisoformat(start) + timedelta(days=7) for start in found]
    assert [end.month for end in ends] == list(range(2, 13))


def test_a_day_s_windows_end_with_the_day() -> None:
    span = windows("2026-02-03", replace(LOG, cadence="daily"))
    assert span.evaluate_until == datetime(2026, 2, 4, tzinfo=UTC)


def test_a_later_day_never_evaluates_on_what_an_earlier_one_calibrated_on() -> None:
    daily = replace(LOG, cadence="daily")
    earlier, later = windows("2026-02-02", daily), windows("2026-02-03", daily)
    assert later.calibrate_until > earlier.calibrate_until


def test_a_contract_without_a_cadence_is_weekly_and_any_other_word_is_refused() -> None:
    content = LOG.to_json()
    del content["cadence"]
    assert Dataset.from_json(content) == replace(LOG, cadence="weekly")
    with pytest.raises(ValueError, match="cadence is 'hourly'"):
        Dataset.from_json({**content, "cadence": "hourly"})
