"""`stillhouse release`: all that is known of one release, in the terminal, as JSON, or as its page."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.card import release
from orchestration.card import CARD
from registry import Registry
from tests.registry.conftest import build_release

METRICS = {
    "actions": {"click": {"auc": 0.71, "log_loss": 0.3, "pcoc": 1.02, "churn": 0.1, "intervals": {"auc": [0.7, 0.72]}}},
    "production": {"actions": {"click": {"auc": 0.69, "log_loss": 0.31, "pcoc": 0.98}}},
}
NO_NUMBERS = {"figure": None, "lower": None, "upper": None, "limit": None}
CRITERIA = [
    {"name": "click: AUC", "status": "pass", "reason": "clears .52"},
    {"name": "click: churn", "status": "needs-a-person", "reason": "[perhaps] above .35"},
]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    return Registry(tmp_path / "releases")


@pytest.fixture
def two(registry: Registry) -> list[str]:
    """A teacher, and its student, which holds a card and is in production by a person's word."""
    releases: list[str] = []
    for day in ("1998-01-05", "1998-01-12"):
        verdict = "needs-a-person" if releases else "pass"
        decision = {"verdict": verdict, "reason": "because", "criteria": [{**one, **NO_NUMBERS} for one in CRITERIA]}
        extra = {"gate.json": json.dumps(decision).encode(), "metrics.json": json.dumps(METRICS).encode()}
        files, lineage = build_release(day, 1, **extra)
        if releases:
            files[CARD] = b"<p>as it was saved"
        saved = registry.save(
            files, lineage=replace(lineage, teacher=releases[0] if releases else None, teachers=tuple(releases))
        )
        registry.record_gate(saved.id, verdict=verdict, reason="because")
        if verdict == "pass":
            registry.promote(saved.id, expected_version=0, reason="the first")
        else:
            registry.override(saved.id, by="Mei Tan", reason="the segment was renamed")
        releases.append(saved.id)
    return releases


def run(*arguments: str) -> Result:
    return CliRunner().invoke(release, arguments)


def test_an_old_release_is_shown_whole_with_what_happened_since(two: list[str]) -> None:
    first, student = two
    result = run(first)
    assert result.exit_code == 0, result.output
    for part in (f"{first}: pass, now rollback", "0.7100", "0.6900", "0.7000 to 0.7200", "4f5e@3", "balanced", "git:1"):
        assert part in result.output
    happened = [" ".join(line.split()[2:]) for line in result.output.partition("What happened")[2].splitlines()[1:6]]
    assert happened == [
        "saved trained without a teacher",
        "gate: pass because",
        "promoted the first",
        f"taught {student}",
        f"replaced by {student}",
    ]
    assert max(map(len, result.output.splitlines())) <= 80


def test_of_production_it_says_what_speaks_against_it_and_who_taught_it(two: list[str], registry: Registry) -> None:
    first, student = two
    shown = run().output
    assert shown == run(student).output.replace("\r", "")
    for part in (
        f"{student}: needs-a-person, now production",
        "1 needs-a-person, 1 pass",
        "[perhaps] above .35",
        first,
    ):
        assert part in shown
    assert shown.index("[perhaps]") < shown.index("Made from")
    assert "overridden by Mei Tan" in " ".join(shown.split())
    assert str(registry.root / student / CARD) in shown


def test_taken_back_and_put_back_are_told_apart(two: list[str], registry: Registry) -> None:
    first, student = two
    registry.revert(reason="clicks fell")
    assert "taken back" in run(student).output
    assert "now reverted" in run(student).output
    assert "put back" in run(first).output


def test_machines_get_everything(two: list[str]) -> None:
    first, student = two
    found = json.loads(run(student, "--json").output)
    assert (found["release"], found["standing"]) == (student, "production")
    assert found["lineage"]["teachers"] == [first]
    assert found["lineage"]["inputs"][0]["content_hash"] == "ab"
    assert [event["event"] for event in found["events"]] == [
        "saved",
        "gate: needs-a-person",
        "overridden by Mei Tan",
        "promoted",
    ]
    assert found["metrics"] == METRICS
    assert found["gate"]["criteria"][1]["reason"] == "[perhaps] above .35"
    assert len(found["files"]["serving.safetensors"]["sha256"]) == 64


def test_the_page_is_the_one_that_was_saved_or_is_made_where_there_was_none(two: list[str], tmp_path: Path) -> None:
    first, student = two
    page = tmp_path / "card.html"
    assert run(student, "--html", str(page)).exit_code == 0
    assert page.read_bytes() == b"<p>as it was saved"
    assert run(first, "--html", str(page)).exit_code == 0
    assert "click: churn" in page.read_text()


def test_what_is_not_there_or_was_touched_is_one_line(registry: Registry) -> None:
    assert "make demo" in run().output
    assert "is not a release id" in run("newest").output
    files, lineage = build_release()
    saved = registry.save(files, lineage=lineage).id
    assert "never judged, now candidate" in run(saved).output
    (registry.root / saved / "spec.json").write_bytes(b"[]")
    result = run(saved)
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "was changed after it was saved" in result.output
