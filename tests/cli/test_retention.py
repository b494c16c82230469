"""`stillhouse versions | freeze`; `vacuum`, which asks the catalogue, is in tests/lakehouse/test_repair.py."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import stillhouse
from lakehouse.home import Home
from lakehouse.vacuum import vacuum
from tests.orchestration.small_releases import build, save


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "250")
    return Home(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(stillhouse, list(arguments), catch_exceptions=False)


def test_before_the_first_release_nothing_is_needed(home: Home) -> None:
    assert "No release was saved yet" in run("versions").output
    assert json.loads(run("versions", "--json").output) == []


def test_versions_shows_what_is_readable_frozen_and_gone(home: Home) -> None:
    first = save(home, build(home, seed=1))
    assert f"{first} is frozen in {home.lake / 'frozen' / first}" in run("freeze", first).output
    second = save(home, build(home, seed=2))
    third = save(home, build(home, seed=3))
    vacuum(home, keep=[], older_than_days=0)

    found = json.loads(run("versions", "--json").output)
    states = {(row["release"], row["standing"], row["readable"], row["kept"], bool(row["frozen"])) for row in found}
    assert states == {
        (first, "rollback", False, False, True),
        (second, "rollback", False, True, False),
        (third, "production", True, True, False),
    }
    lines = run("versions").output.splitlines()
    assert sum(line.rstrip().endswith("frozen copy only") for line in lines) == 3
    assert sum("NO: version 1 of" in line for line in lines) == 3
    assert sum(line.rstrip().endswith("yes") for line in lines) == 3
