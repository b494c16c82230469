from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.sources import fetch, simulate
from simulator.world import START


@pytest.fixture(autouse=True)
def home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))


def test_weeks_are_counted_from_one_and_land_with_their_last_day(tmp_path: Path) -> None:
    size = ["--exposures", "6000", "--weeks", "3", "--seed", "3"]
    result = CliRunner().invoke(simulate, [*size, "--from-week", "2", "--until-week", "2"])
    assert result.exit_code == 0
    assert "Next: stillhouse ingest" in result.output
    days = [START + timedelta(days=number) for number in range(7, 14)]
    assert sorted(path.name for path in (tmp_path / "landing" / "exposures").iterdir()) == [
        f"simulated-{day}-000.jsonl" for day in days
    ]
    users = sorted(path.name for path in (tmp_path / "landing" / "users").iterdir())
    assert users == ["simulated-2024-01-01-000.jsonl", "simulated-2024-01-08-000.jsonl"]


def test_weeks_that_the_world_does_not_have_are_refused() -> None:
    result = CliRunner().invoke(simulate, ["--exposures", "6000", "--weeks", "3", "--until-week", "4"])
    assert result.exit_code == 2
    assert "the world has the weeks 1 to 3" in result.output


def test_an_unknown_log_is_refused_with_the_known_ones() -> None:
    result = CliRunner().invoke(fetch, ["netflix"])
    assert result.exit_code == 2
    assert "'movielens'" in result.output
    assert "'open-bandit'" in result.output
