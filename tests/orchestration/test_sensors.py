"""What the daemon does by itself."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from lakehouse.dataset import Cadence
from lakehouse.home import Home
from orchestration.runs import prepare_instance
from orchestration.sensors import WATCHDOG_S, alerts_sensor, schedule_of, watchdog
from tests.orchestration.small_releases import DATASET


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    prepare_instance(Home(tmp_path))
    return Home(tmp_path)


@pytest.fixture
def instance(home: Home) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as opened:
        yield opened


def started(cadence: Cadence, *, at: str, home: Home, last_day: date | None = None) -> str | None:
    """The partition that the schedule of a log from Monday 2026-01-05 on starts at a moment."""
    replace(DATASET, last_day=last_day, cadence=cadence).save(home.landing)
    schedule = schedule_of("retrain")
    assert schedule.name == cadence.replace("-", "_")
    context = dg.build_schedule_context(scheduled_execution_time=datetime.fromisoformat(at).replace(tzinfo=UTC))
    asked = schedule(context)
    return asked.partition_key if isinstance(asked, dg.RunRequest) else None


@pytest.mark.parametrize(
    ("cadence", "at", "partition"),
    [
        ("weekly", "2026-01-19T06:00", "2026-01-12"),
        ("daily", "2026-01-20T06:00", "2026-01-19"),
        ("three-daily", "2026-01-21T06:00", None),
        ("three-daily", "2026-01-23T06:00", "2026-01-22"),
        ("bi-weekly", "2026-01-19T06:00", "2026-01-12"),
        ("bi-weekly", "2026-01-26T06:00", None),
        ("monthly", "2026-01-26T06:00", None),
        ("monthly", "2026-02-02T06:00", "2026-01-26"),
        ("weekly", "2026-01-05T06:00", None),
    ],
)
def test_the_schedule_starts_the_newest_partition_if_it_is_due(
    cadence: Cadence, at: str, partition: str | None, home: Home
) -> None:
    assert started(cadence, at=at, home=home) == partition


def test_the_schedule_leaves_a_log_alone_that_has_ended(home: Home) -> None:
    assert started("weekly", at="2026-01-26T06:00", home=home, last_day=date(2026, 1, 18)) is None


def test_watchdog_and_alerts_tick_on_a_home_where_nothing_has_run(home: Home, instance: dg.DagsterInstance) -> None:
    assert watchdog.minimum_interval_seconds == WATCHDOG_S <= 30
    for sensor, words in ((watchdog, "no run was killed"), (alerts_sensor, "nothing new to tell")):
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
        with dg.build_sensor_context(instance=instance) as context:
            skipped = sensor.evaluate_tick(context).skip_message
        assert skipped == words
