"""What on-call types: production, history, revert, verify."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.releases import history, production, revert, verify
from registry import Registry
from tests.registry.conftest import build_release


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return Registry(tmp_path / "releases")


@pytest.fixture
def two(registry: Registry) -> list[str]:
    releases = []
    for day in ("1998-01-05", "1998-01-12"):
        files, lineage = build_release(day)
        saved = registry.save(files, lineage=lineage)
        registry.record_gate(saved.id, verdict="pass", reason="all 9 criteria pass")
        registry.promote(saved.id, expected_version=registry.pointer().version, reason=f"week of {day}")
        releases.append(saved.id)
    return releases


def run(command: object, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)  # type: ignore[arg-type]


def test_before_the_first_release_it_says_what_to_do(registry: Registry) -> None:
    assert "make demo" in run(production).output
    assert "make demo" in run(history).output
    assert json.loads(run(production, "--json").output) == {"production": None}
    assert json.loads(run(history, "--json").output) == []


def test_production_says_since_when_why_and_from_which_table_versions(registry: Registry, two: list[str]) -> None:
    shown = run(production).output
    for part in (two[1], "week of 1998-01-12", "pass: all 9 criteria pass", "marts.training_examples", "4f5e@3"):
        assert part in shown
    found = json.loads(run(production, "--json").output)
    assert found["production"] == two[1]
    assert found["previous"] == two[0]
    assert found["inputs"][0]["version"] == 3


def test_revert_restores_the_one_before_with_the_reason(registry: Registry, two: list[str]) -> None:
    result = run(revert, "--because", "clicks fell")
    assert result.exit_code == 0
    assert registry.production() == two[0]
    last = json.loads(run(history, "--json").output)[-1]
    assert (last["event"], last["release"], last["reason"]) == ("reverted", two[0], "clicks fell")


def test_revert_to_restores_the_named_one(registry: Registry, two: list[str]) -> None:
    assert run(revert, "--to", two[0]).exit_code == 0
    assert registry.production() == two[0]


def test_a_refusal_is_one_line_and_an_exit_code(registry: Registry, two: list[str]) -> None:
    assert run(verify, two[0]).exit_code == 0
    (registry.root / two[0] / "spec.json").write_bytes(b"[]")
    for result in (run(verify, two[0]), run(revert)):
        assert result.exit_code == 1
        assert result.output == f"Error: release {two[0]} is refused: spec.json was changed after it was saved\n"
    assert registry.production() == two[1]
    assert "is not a release id" in run(verify, "../../etc").output
