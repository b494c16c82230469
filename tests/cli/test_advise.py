"""`stillhouse advise` on marts of a known size: what it prints, and what it refuses."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import stillhouse
from lakehouse.home import Home
from lakehouse.recipes import recipes
from tests.delta_marts import write_marts


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("advise"))
    write_marts(home, list(recipes().values()))
    return home


@pytest.mark.parametrize("recipe", sorted(recipes()))
def test_both_ways_are_shown_with_a_verdict(recipe: str, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLHOUSE_HOME", str(home.root))
    result = CliRunner().invoke(
        stillhouse, ["advise", recipe, "--runs-per-month", "2"], catch_exceptions=False, env={"COLUMNS": "120"}
    )
    assert result.exit_code == 0
    assert f"{recipe} keeps about " in result.stdout
    assert "of 240,000 examples of 2 days." in result.stdout
    assert "At 2 runs a month: materialised: " in result.stdout
    for run, figures in (
        ("sample on the fly, a run", 4),
        ("read the table, a run", 4 if recipes()[recipe].materialised else 2),
    ):
        [line] = [line.strip() for line in result.stdout.splitlines() if run in line]
        assert len(line.removeprefix(run).split()) == figures


def test_an_unknown_recipe_is_refused_with_the_known_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=r"recipe is 'gone'; `recipes` in dbt_project\.yml has \['lean', 'standard'\]"):
        CliRunner().invoke(stillhouse, ["advise", "gone"], catch_exceptions=False)
