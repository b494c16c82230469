"""Where experiments stand, in a terminal; the tables are small ones that delta-rs writes."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import write_deltalake

from cli.experiments import experiments
from lakehouse.home import Home

RUNNING = {
    "experiment": "holdout-7",
    "treatment_release": "b",
    "control_release": "a",
    "control_share": 0.05,
    "began_at": datetime(2026, 3, 2, 9, tzinfo=UTC),
    "ended_at": None,
    "planned_days": 7,
}
LONG = RUNNING | {"experiment": "long-holdout-7", "treatment_release": None}
ENDED = RUNNING | {"experiment": "holdout-3", "ended_at": datetime(2026, 3, 2, 9, tzinfo=UTC)}


def result(day: int, **changes: Any) -> dict[str, Any]:
    return {
        "experiment": "holdout-7",
        "day": date(2026, 3, day),
        "metric": "clicked",
        "segment": "all",
        "treatment": 0.21,
        "control": 0.2,
        "lift": 0.05,
        "lower": -0.01,
        "upper": 0.11,
        "treatment_users": 9_500,
        "control_users": 500,
        "sample_ratio_alarm": False,
        "verdict": None,
        "reason": "clicked on 2026-03-03: lift +5.0%; the plan has 7 days",
    } | changes


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return Home(tmp_path)


def write(home: Home, results: list[dict[str, Any]], *, running: list[dict[str, Any]]) -> None:
    types = {"began_at": pa.timestamp("us", "UTC"), "ended_at": pa.timestamp("us", "UTC")}
    texts = ("treatment_release", "verdict")
    for name, rows in (("experiments", [*running, ENDED]), ("experiment_results", results)):
        fields = [
            (key, types.get(key) or (pa.string() if key in texts else pa.scalar(value).type))
            for key, value in rows[0].items()
        ]
        path = home.warehouse / "ops.db" / name
        path.mkdir(parents=True)
        write_deltalake(path, pa.Table.from_pylist(rows, schema=pa.schema(fields)))


def test_before_anything_was_released_none_runs(home: Home) -> None:
    assert "No experiment runs" in CliRunner().invoke(experiments).output
    assert json.loads(CliRunner().invoke(experiments, ["--json"]).output) == []


def test_the_last_look_of_each_running_one_is_shown(home: Home) -> None:
    write(home, [result(2, lift=0.3), result(3), result(3, segment="young", lift=0.4)], running=[RUNNING, LONG])
    shown = CliRunner().invoke(experiments)
    assert shown.exit_code == 0
    assert "holdout-7: b against a, on which 5.0% of the users stay" in shown.output
    assert "+5.0%" in shown.output
    assert "-1.0%" in shown.output
    assert "30.0%" not in shown.output
    assert "40.0%" not in shown.output
    assert "look of 2026-03-03, 2 of at most 7; 9,500 and 500 users" in shown.output
    assert "no verdict yet: clicked on 2026-03-03" in shown.output
    assert "long-holdout-7: whatever is in production against a" in shown.output
    assert "no look yet" in shown.output
    assert "holdout-3" not in shown.output
    told = json.loads(CliRunner().invoke(experiments, ["--json"]).output)
    assert [len(one["results"]) for one in told] == [3, 0]


def test_an_experiment_with_a_wrong_sample_ratio_is_void(home: Home) -> None:
    write(home, [result(3, sample_ratio_alarm=True, reason="sample ratio: 9 of 10")], running=[RUNNING])
    assert "void: sample ratio: 9 of 10" in CliRunner().invoke(experiments).output
