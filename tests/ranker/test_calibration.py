import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from ranker import Calibrator, Scores, fit_calibration
from ranker.calibration import Method
from ranker.metrics import auc, calibration_error, expected_calibration_error


def planted(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-odds that are twice too steep and half a logit too high, the labels and the true probabilities."""
    generator = np.random.default_rng(seed)
    true = generator.normal(-2, 1, rows)
    p = 1 / (1 + np.exp(-true))
    return 2 * true + 0.5, (generator.random(rows) < p).astype(np.float64), p


@pytest.mark.parametrize("method", ["platt", "beta"])
def test_planted_miscalibration_is_undone_on_other_rows(method: Method) -> None:
    log_odds, labels, _ = planted(50_000, seed=0)
    fitted = fit_calibration(log_odds, labels, method=method)
    log_odds, labels, truth = planted(20_000, seed=1)
    before, after = 1 / (1 + np.exp(-log_odds)), fitted.apply(log_odds)
    assert expected_calibration_error(labels, before) > 0.05
    error = calibration_error(labels, after)
    assert error.ece < error.noise_floor_95
    assert np.abs(after - truth).mean() < 0.01
    assert auc(labels, after) == pytest.approx(auc(labels, before), abs=1e-12)
    assert fitted.note == ""


def test_platt_equals_logistic_regression_where_rows_are_many() -> None:
    log_odds, labels, _ = planted(200_000, seed=2)
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(log_odds[:, None], labels)
    fitted = fit_calibration(log_odds, labels, method="platt")
    assert fitted.slope_p == fitted.slope_q == pytest.approx(reference.coef_[0, 0], abs=2e-3)
    assert fitted.shift == pytest.approx(reference.intercept_[0], abs=5e-3)


def test_weights_stand_for_rows_that_sampling_left_out() -> None:
    log_odds, labels, _ = planted(50_000, seed=3)
    kept = (labels > 0) | (np.random.default_rng(0).random(50_000) < 0.2)
    weights = np.where(labels > 0, 1.0, 5.0)[kept]
    whole = fit_calibration(log_odds, labels, method="platt")
    sampled = fit_calibration(log_odds[kept], labels[kept], method="platt", weights=weights)
    assert sampled.slope_p == pytest.approx(whole.slope_p, abs=0.03)
    assert sampled.shift == pytest.approx(whole.shift, abs=0.08)


@pytest.mark.parametrize("method", ["platt", "beta"])
def test_thin_evidence_stays_near_the_identity_and_says_so(method: Method) -> None:
    log_odds, labels, _ = planted(12, seed=4)
    fitted = fit_calibration(log_odds, labels, method=method)
    assert fitted.shrinkage > 0.5
    assert "thin evidence" in fitted.note
    assert abs(fitted.slope_p - 1) < 0.4
    nothing = fit_calibration(np.zeros(0), np.zeros(0), method=method)
    assert (nothing.slope_p, nothing.slope_q, nothing.shift, nothing.shrinkage) == (1, 1, 0, 1)
    all_zero = fit_calibration(np.full(10, -2.0), np.zeros(10), method=method)
    assert -2 < all_zero.shift < 0


def test_a_model_that_ranks_backwards_keeps_its_order() -> None:
    log_odds, labels, _ = planted(20_000, seed=5)
    fitted = fit_calibration(-log_odds, labels, method="beta")
    probabilities = fitted.apply(np.linspace(-5, 5, 50))
    assert (np.diff(probabilities) > 0).all()


def test_a_calibrator_survives_json_and_keeps_its_scores() -> None:
    log_odds, labels, _ = planted(5_000, seed=6)
    scores = Scores(actions=("click",), heads=("acted",), logits_BH=torch.from_numpy(log_odds)[:, None])
    calibrator = Calibrator(method="beta", actions={"click": fit_calibration(log_odds, labels)})
    again = Calibrator.from_json(json.loads(json.dumps(calibrator.to_json())))
    assert again == calibrator
    np.testing.assert_array_equal(again.apply(scores)["click"], calibrator.apply(scores)["click"])
    with pytest.raises(ValueError, match="no calibration for"):
        Calibrator(method="beta", actions={}).apply(scores)
    with pytest.raises(ValueError, match="not a calibrator"):
        Calibrator.from_json({"actions": {"click": {"slope": 1}}})
