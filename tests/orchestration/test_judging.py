"""The figures that the gate judges, against planted truth; and the gate's check, with a pair that passes and one that
does not."""

import json
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from decisions.gate import gate
from decisions.serving import ServingFigures
from orchestration import metadata
from orchestration.judging import action_figures, training_figures
from orchestration.retrain import Evaluation
from ranker import Examples, FeatureSpec
from tests.orchestration.small_releases import DATASET

SPEC = FeatureSpec.from_json(
    {
        "relation": "marts.examples_v1",
        "event": "event_id",
        "request": "request_id",
        "user": "user_id",
        "item": "item_id",
        "time": "served_at",
        "acted": "acted",
        "labels": [{"name": "clicked", "action": "click"}],
        "segments": ["country"],
        "features": [{"name": "strength", "kind": "numeric"}],
    }
)
ROWS, USERS = 6000, 300


@pytest.fixture(scope="module")
def world() -> tuple[Examples, np.ndarray]:
    """Examples whose true click probabilities are known."""
    chance = np.random.default_rng(3)
    truth = 1 / (1 + np.exp(-chance.normal(-1, 1.2, ROWS)))
    clicked = (chance.random(ROWS) < truth).astype(int)
    table = pa.table(
        {
            "event_id": [f"e{row:05}" for row in range(ROWS)],
            "request_id": [f"r{row}" for row in range(ROWS)],
            "user_id": [f"u{user}" for user in chance.integers(0, USERS, ROWS)],
            "item_id": ["i"] * ROWS,
            "served_at": pa.array([0] * ROWS, pa.timestamp("us", "UTC")),
            "acted": clicked,
            "clicked": clicked,
            "country": chance.choice(["DE", "FR"], ROWS),
            "strength": truth,
        }
    )
    return Examples.from_arrow(table, spec=SPEC, actions=("click",)), truth


def judged(world: tuple[Examples, np.ndarray], candidate: np.ndarray, production: np.ndarray | None) -> Any:
    examples, _ = world
    figures = action_figures("click", examples, candidate=candidate, production=production, seed=1)
    return gate(
        {"click": figures},
        actions=("click",),
        random_slice=False,
        positions=False,
        production=None if production is None else "2026-01-05-00000000",
        serving=ServingFigures(weights_bytes=1, flops=1, pcoc_without={"strength": 1.0}),
    )


def test_the_truth_passes_against_itself(world: tuple[Examples, np.ndarray]) -> None:
    decision = judged(world, world[1], world[1])
    assert decision.verdict == "pass", decision.reason


def test_shuffled_scores_are_blocked(world: tuple[Examples, np.ndarray]) -> None:
    shuffled = np.random.default_rng(0).permutation(world[1])
    assert judged(world, shuffled, world[1]).verdict == "block"


def test_probabilities_a_third_too_high_are_blocked_for_their_calibration(
    world: tuple[Examples, np.ndarray],
) -> None:
    decision = judged(world, np.minimum(world[1] * 1.33, 0.999), None)
    assert decision.verdict == "block"
    assert "PCOC" in decision.reason


def test_figures_count_rows_positives_and_users_of_each_segment(world: tuple[Examples, np.ndarray]) -> None:
    examples, truth = world
    figures = action_figures("click", examples, candidate=truth, production=None, seed=1)
    assert figures.rows == ROWS
    assert figures.segments is not None
    assert set(figures.segments) == {"country=DE", "country=FR"}
    assert sum(segment.positives for segment in figures.segments.values()) == figures.positives
    assert all(250 < segment.users <= USERS for segment in figures.segments.values())


def test_training_figures_count_empty_features_and_random_rows_without_propensity() -> None:
    log = replace(DATASET, random_slice=True)
    table = pa.table(
        {
            "day": pa.array([date(2026, 1, 5), date(2026, 1, 5), date(2026, 1, 6)]),
            "traffic": ["policy", "random", "random"],
            "propensity": pa.array([None, 0.25, None], pa.float64()),
            "clicked": [1, 0, 1],
            "strength": pa.array([None, None, None], pa.float64()),
        }
    )
    figures = training_figures(table, spec=SPEC, dataset=log, window_days=7)
    assert (figures.rows, figures.days, figures.window_days) == (3, 2, 7)
    assert figures.positives == {"click": 2}
    assert figures.null_share == {"strength": 1.0}
    assert (figures.random_rows, figures.random_rows_without_propensity) == (2, 1)
    assert (figures.smallest_propensity, figures.largest_propensity) == (0.25, 0.25)


@pytest.mark.parametrize(("scale", "passed"), [(1.0, True), (1.33, False)])
def test_the_check_lets_only_a_pass_through(world: tuple[Examples, np.ndarray], scale: float, passed: bool) -> None:
    decision = judged(world, np.minimum(world[1] * scale, 0.999), None)
    check = metadata.gate_check(
        Evaluation(
            release="2026-01-19-00000000",
            partition="2026-01-19",
            decision=decision,
            pointer_version=0,
            metrics={},
            pictures={},
            teacher=None,
            inputs=(),
        )
    )
    assert check.passed is passed
    assert decision.verdict in str(check.description)
    json.dumps(decision.to_json())
