"""What on-call types about a canary, and about rows that nobody shall train on."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.releases import history, production
from cli.rollout import exclude, rollout
from registry import Registry
from tests.registry.conftest import build_release

WORD = ("--as", "Mei", "--because", "it is Friday")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return Registry(tmp_path / "releases")


@pytest.fixture
def two(registry: Registry) -> tuple[str, str]:
    """One in production, its successor the canary at 1 %."""
    live, canary = (
        registry.save(files, lineage=lineage).id
        for files, lineage in (build_release("1998-01-05"), build_release("1998-01-12"))
    )
    registry.promote(live, expected_version=0, reason="the first")
    registry.start_canary(canary, share=0.01, expected_version=1, reason="the gate passed")
    return live, canary


def run(command: object, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)  # type: ignore[arg-type]


def test_without_a_canary_it_says_so(registry: Registry) -> None:
    assert "There is no canary" in run(rollout).output
    assert json.loads(run(rollout, "status", "--json").output) == {"release": None}
    assert "No decision on a canary" in run(rollout, "decisions").output
    refused = run(rollout, "hold", *WORD)
    assert refused.exit_code == 1
    assert "there is no canary" in refused.output


def test_status_shows_what_each_guardrail_says_and_what_follows(registry: Registry, two: tuple[str, str]) -> None:
    shown = run(rollout)
    for part in (
        f"{two[1]} is the canary, at 1%",
        f"production is {two[0]}",
        "errors",
        "slow",
        "engaged",
        "no figures",
        "hold",
    ):
        assert part in shown.output
    found = json.loads(run(rollout, "status", "--json").output)
    assert (found["release"], found["decision"]["action"], found["state"]["step"]) == (two[1], "hold", 0)
    assert registry.pointer().version == 2  # looking changes nothing


def test_a_canary_is_held_resumed_and_promoted_by_a_person(registry: Registry, two: tuple[str, str]) -> None:
    assert "stays at 1%" in run(rollout, "hold", *WORD).output
    assert registry.pointer().canary_held == "it is Friday"
    assert "goes on from 1%" in run(rollout, "resume", *WORD).output
    assert f"{two[1]} is in production" in run(rollout, "promote", *WORD).output
    assert registry.journal()[-1].reason == "promoted by Mei: it is Friday"
    assert registry.pointer().holdout == two[0]


def test_a_canary_is_taken_back_with_the_reason_and_its_rows_are_not_trained_on(
    registry: Registry, two: tuple[str, str]
) -> None:
    assert f"{two[1]} was taken back; {two[0]} answers everybody" in run(rollout, "revert", "--because", "odd").output
    last = json.loads(run(history, "--json").output)[-1]
    assert (last["event"], last["release"], last["reason"]) == ("canary_reverted", two[1], "odd")
    assert f"of {two[1]}" in run(exclude).output
    again = run(rollout, "start", two[1], "--because", "please")
    assert again.exit_code == 1
    assert "it was reverted on" in again.output


def test_production_says_who_else_answers_and_since_when_it_stands(registry: Registry, two: tuple[str, str]) -> None:
    found = json.loads(run(production, "--json").output)
    assert found["canary"] == {"release": two[1], "share": 0.01}
    assert (found["event"], found["reason"], found["previous"]) == ("promoted", "the first", None)
    assert f"{two[1]}, 1% of the users" in run(production).output


def test_a_window_is_left_out_listed_and_taken_in_again(registry: Registry, two: tuple[str, str]) -> None:
    window = ("window", "--since", "2026-03-02T08:00:00Z", "--until", "2026-03-02T11:00:00Z", *WORD)
    assert "The next retrain leaves it out" in run(exclude, *window).output
    (found,) = json.loads(run(exclude, "list", "--json").output)
    assert (found["kind"], found["since"], found["by"]) == ("window", "2026-03-02T08:00:00+00:00", "Mei")
    assert "takes it in again" in run(exclude, "lift", str(found["number"]), *WORD).output
    assert "Nothing is left out" in run(exclude).output
    assert "leaves no window out" in run(exclude, "lift", str(found["number"]), *WORD).output


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("2026-03-02T08:00:00", "2026-03-02T11:00:00Z", "has no zone"),
        ("yesterday", "2026-03-02T11:00:00Z", "'yesterday' is no ISO 8601 time"),
        ("2026-03-02T11:00:00Z", "2026-03-02T08:00:00Z", "is empty; it must end after it begins"),
    ],
)
def test_a_window_that_is_none_is_refused(registry: Registry, since: str, until: str, said: str) -> None:
    refused = run(exclude, "window", "--since", since, "--until", until, *WORD)
    assert refused.exit_code == 1
    assert said in refused.output
