import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from ranker import (
    Calibrator,
    Examples,
    FeatureSpec,
    Scores,
    TrainingConfig,
    calibrate,
    fit,
    fit_calibration,
    fit_isotonic,
    score,
)
from ranker.examples import Codes


def some_scores(rows: int = 5_000) -> tuple[Scores, np.ndarray]:
    generator = np.random.default_rng(6)
    true = generator.normal(-2, 1, rows)
    labels = (generator.random(rows) < 1 / (1 + np.exp(-true))).astype(np.float64)
    groups = {"place": Codes(generator.integers(3, size=rows), ("a", "b", "c"))}
    logits_BH = torch.from_numpy(2 * true + 0.5)[:, None]
    return Scores(actions=("click",), heads=("acted",), logits_BH=logits_BH, groups=groups), labels


def test_every_method_survives_json_and_keeps_its_probabilities() -> None:
    scores, labels = some_scores()
    log_odds = scores.log_odds("click")
    for calibration in (
        fit_calibration(log_odds, labels),
        fit_calibration(log_odds, labels, method="pooled", groups=scores.groups),
        fit_isotonic(log_odds, labels),
    ):
        calibrator = Calibrator(actions={"click": calibration})
        again = Calibrator.from_json(json.loads(json.dumps(calibrator.to_json())))
        assert again == calibrator
        np.testing.assert_array_equal(again.apply(scores)["click"], calibrator.apply(scores)["click"])


def test_what_is_no_calibrator_is_refused() -> None:
    scores, _ = some_scores()
    with pytest.raises(ValueError, match="no calibration for"):
        Calibrator(actions={}).apply(scores)
    with pytest.raises(ValueError, match="not a calibrator"):
        Calibrator.from_json({"click": {"slope": 1}})


def test_candidates_that_stood_nowhere_yet_are_calibrated_at_the_first_position(
    spec: FeatureSpec, world: Callable
) -> None:
    examples = Examples.from_arrow(
        world(6_000, seed=0, position_effect=-0.8).table, spec=spec, actions=("click", "save")
    )
    model = fit(examples, spec=spec, seed=0, training=TrainingConfig(epochs=1)).model
    calibrator = calibrate(score(model, examples, position="shown"), examples, method="pooled")
    offsets = calibrator.to_json()["click"]["offsets"]
    assert set(offsets) == {"user_segment", "position"}
    candidates = replace(examples[np.arange(100)], position_B=torch.zeros(100, dtype=torch.int64))
    ranked = calibrator.apply(score(model, candidates))["click"]
    at_first = replace(candidates, position_B=torch.ones(100, dtype=torch.int64))
    np.testing.assert_array_equal(ranked, calibrator.apply(score(model, at_first, position="shown"))["click"])


def test_without_segments_and_positions_many_positives_are_calibrated_as_one(
    spec: FeatureSpec, world: Callable
) -> None:
    table = world(6_000, seed=0, base=0.0).table
    plain = replace(spec, segments=(), position=None)
    examples = Examples.from_arrow(table, spec=plain)
    model = fit(examples, spec=plain, seed=0, training=TrainingConfig(epochs=1)).model
    calibrator = calibrate(score(model, examples, position="shown"), examples)
    click = calibrator.to_json()["click"]
    assert click["positives"] >= 1_000
    assert click["offsets"] == {}
    assert click["slope_p"] != click["slope_q"]
