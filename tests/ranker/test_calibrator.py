import json

import numpy as np
import pytest
import torch

from ranker import Calibrator, Scores, fit_calibration, fit_isotonic
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
