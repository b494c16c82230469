"""`stillhouse gate`: reading a decision, and overruling it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.gate import gate
from registry import Registry
from tests.registry.conftest import build_release

CRITERIA: list[dict[str, Any]] = [
    {"name": "click: PCOC", "status": "pass", "figure": 1.02, "lower": 0.98, "upper": 1.06, "limit": 1.05},
    {"name": "random slice", "status": "not applicable", "figure": None, "lower": None, "upper": None, "limit": None},
    {"name": "click: AUC", "status": "block", "figure": 0.5, "lower": 0.49, "upper": 0.51, "limit": 0.52},
]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return Registry(tmp_path / "releases")


def refused(registry: Registry) -> str:
    criteria = [{**one, "reason": f"[why] {one['name']}"} for one in CRITERIA]
    decision = {"verdict": "block", "reason": "click: AUC: at best .51", "criteria": criteria}
    files, lineage = build_release("1998-01-05", 1, **{"gate.json": json.dumps(decision).encode()})
    saved = registry.save(files, lineage=lineage)
    registry.record_gate(saved.id, verdict="block", reason="click: AUC: at best .51")
    return saved.id


def run(*arguments: str) -> Result:
    return CliRunner().invoke(gate, arguments)


def test_it_shows_what_speaks_against_a_release_first_and_what_a_person_can_do(registry: Registry) -> None:
    release = refused(registry)
    shown = run("show").output
    assert shown == run("show", release).output
    places = [shown.index(f"[why] {name}") for name in ("click: AUC", "click: PCOC", "random slice")]
    assert places == sorted(places)
    for part in ("not applicable", f"{release}: block", f"stillhouse gate override {release}"):
        assert part in shown
    found = json.loads(run("show", "--json").output)
    assert (found["release"], found["verdict"], found["override"]) == (release, "block", None)
    assert {one["name"]: one["upper"] for one in found["criteria"]}["click: AUC"] == 0.51


def test_an_override_puts_it_live_and_stays_readable(registry: Registry) -> None:
    release = refused(registry)
    assert run("override", release, "--because", "renamed").exit_code == 2  # a name is asked for
    result = run("override", release, "--as", "Mei Tan", "--because", "the segment was renamed")
    assert result.exit_code == 0, result.output
    assert registry.production() == release
    shown = run("show").output
    assert "overridden by Mei Tan on" in shown
    assert "the segment was renamed" in shown
    assert "To overrule it" not in shown
    kept = json.loads(run("show", release, "--json").output)["override"]
    assert (kept["by"], kept["reason"], kept["verdict"]) == ("Mei Tan", "the segment was renamed", "block")
    again = run("override", release, "--as", "Mei Tan", "--because", "the segment was renamed")
    assert (again.exit_code, again.output) == (1, f"Error: {release} is in production already\n")


def test_without_a_decision_it_says_what_to_do(registry: Registry) -> None:
    assert "stillhouse retrain" in run("show").output
    files, lineage = build_release()
    saved = registry.save(files, lineage=lineage)
    assert "holds no gate.json" in run("show", saved.id).output
