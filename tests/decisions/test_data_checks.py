"""Each check of the training set with figures that pass, that block, and that need a person."""

from dataclasses import replace
from typing import Any

import pytest

from decisions.data_checks import TrainingFigures, check_training_set

GOOD = TrainingFigures(
    rows=50_000,
    positives={"click": 2_000},
    days=28,
    window_days=28,
    null_share={"user_age": 0.1, "logged_affinity": 1.0},
    production_null_share={"user_age": 0.1, "logged_affinity": 1.0},
    random_rows=1_000,
    smallest_propensity=0.01,
    largest_propensity=0.5,
)


def statuses(figures: TrainingFigures, *, random_slice: bool = True) -> dict[str, str]:
    found = check_training_set(figures, actions=["click"], random_slice=random_slice)
    return {criterion.name.removeprefix("training set: "): criterion.status for criterion in found}


def test_a_sound_training_set_passes_every_check() -> None:
    assert set(statuses(GOOD).values()) == {"pass"}


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("rows", {"rows": 0, "positives": {"click": 0}}, "block"),
        ("click", {"positives": {}}, "block"),
        ("click", {"positives": {"click": 3}}, "block"),
        ("click", {"positives": {"click": 50_000}}, "block"),
        ("click", {"positives": {"click": 100}}, "needs-a-person"),
        ("days covered", {"days": 20}, "needs-a-person"),
        ("days covered", {"days": 5}, "block"),
        ("days covered", {"window_days": 0}, "block"),
        ("nulls", {"null_share": {"user_age": 1.0, "logged_affinity": 0.0}}, "block"),
        ("nulls", {"null_share": {"user_age": 0.4, "logged_affinity": 1.0}}, "needs-a-person"),
        ("nulls", {"null_share": {"user_age": float("nan")}}, "block"),
        ("nulls", {"null_share": {}}, "block"),
        ("random slice", {"random_rows": 0}, "block"),
        ("propensities", {"random_rows_without_propensity": 1}, "block"),
        ("propensities", {"smallest_propensity": 0.0}, "block"),
        ("propensities", {"largest_propensity": 1.5}, "block"),
        ("propensities", {"smallest_propensity": float("nan")}, "block"),
        ("propensities", {"smallest_propensity": None}, "block"),
    ],
)
def test_each_check_can_fail(name: str, change: dict[str, Any], expected: str) -> None:
    assert statuses(replace(GOOD, **change))[name] == expected


def test_what_is_declared_absent_is_not_asked_for() -> None:
    found = statuses(replace(GOOD, random_rows=0, smallest_propensity=None), random_slice=False)
    assert found["random slice"] == found["propensities"] == "not applicable"
    assert "block" not in found.values()


def test_a_feature_that_this_log_never_filled_passes_the_first_time() -> None:
    assert statuses(replace(GOOD, production_null_share=None))["nulls"] == "pass"
