from dataclasses import replace

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from ranker import fit_calibration, fit_isotonic
from ranker.calibration import Method
from ranker.examples import Codes
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
    assert error.error < error.noise_floor_95
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


def segmented(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Codes]]:
    """Log-odds that are right but for 0.5 too low in b, 0.3 too high in c and nothing in the many small values."""
    generator = np.random.default_rng(seed)
    names = ("a", "b", "c", *(f"small {number}" for number in range(20)))
    codes = generator.choice(len(names), rows, p=[0.4, 0.3, 0.2] + [0.1 / 20] * 20)
    true = generator.normal(-2, 1, rows)
    p = 1 / (1 + np.exp(-true))
    wrong = np.array([0.0, -0.5, 0.3] + [0.0] * 20)[codes]
    return true + wrong, (generator.random(rows) < p).astype(np.float64), p, {"place": Codes(codes, names)}


def test_offsets_of_segments_are_found_as_far_as_rows_are_evidence() -> None:
    log_odds, labels, _, groups = segmented(50_000, seed=0)
    fitted = fit_calibration(log_odds, labels, method="pooled", groups=groups)
    offsets = fitted.offsets["place"]
    assert offsets["b"] - offsets["a"] == pytest.approx(0.5, abs=0.06)
    assert offsets["c"] - offsets["a"] == pytest.approx(-0.3, abs=0.06)
    small = np.array([offsets[name] for name in groups["place"].names[3:]]) - offsets["a"]
    small_rows = [groups["place"].codes == code for code in range(3, 23)]
    predicted = 1 / (1 + np.exp(-log_odds))
    own = np.array([np.log(labels[rows].sum() / predicted[rows].sum()) for rows in small_rows])
    assert np.abs(small).mean() < 0.75 * np.abs(own).mean()  # each alone would follow its own chance
    log_odds, labels, truth, groups = segmented(50_000, seed=1)
    beta = fit_calibration(log_odds, labels).apply(log_odds)
    pooled = fitted.apply(log_odds, groups=groups)
    assert np.abs(pooled - truth).mean() < 0.2 * np.abs(beta - truth).mean()


def test_offsets_keep_the_order_within_a_segment_and_vanish_where_there_is_nothing_to_find() -> None:
    log_odds, labels, truth, groups = segmented(20_000, seed=2)
    fitted = fit_calibration(log_odds, labels, method="pooled", groups=groups)
    within = groups["place"].codes == 1
    pooled = fitted.apply(log_odds, groups=groups)
    assert auc(labels[within], pooled[within]) == auc(labels[within], log_odds[within])
    right = np.log(truth / (1 - truth))
    nothing = fit_calibration(right, labels, method="pooled", groups=groups).offsets["place"]
    assert np.abs(list(nothing.values())).max() < 0.1
    unseen = {"place": Codes(np.zeros(1, dtype=np.int64), ("never met",))}
    without = replace(fitted, offsets={})
    assert fitted.apply(log_odds[:1], groups=unseen) == without.apply(log_odds[:1])


def test_offsets_are_the_most_probable_ones() -> None:
    """There the log likelihood's slope, Σ (y − p) over a value's rows, is that of the prior: offset / spread²."""
    log_odds, labels, _, groups = segmented(5_000, seed=3)
    fitted = fit_calibration(log_odds, labels, method="pooled", groups=groups)
    left = np.bincount(groups["place"].codes, weights=labels - fitted.apply(log_odds, groups=groups))
    offsets = np.array(list(fitted.offsets["place"].values()))
    precision = left @ offsets / (offsets @ offsets)
    np.testing.assert_allclose(left, precision * offsets, atol=1e-3)
    assert 0.05 < precision**-0.5 < 0.5


def test_isotonic_equals_scikit_learn() -> None:
    log_odds, labels, _ = planted(5_000, seed=7)
    weights = np.random.default_rng(0).uniform(0.5, 2, 5_000)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(log_odds, labels, sample_weight=weights)
    ours = fit_isotonic(log_odds, labels, weights=weights)
    elsewhere = np.random.default_rng(1).normal(-4, 4, 2_000)
    least = 0.5 / 5_001
    expected = np.clip(theirs.predict(elsewhere), least, 1 - least)
    np.testing.assert_allclose(ours.apply(elsewhere), expected, atol=2 * least)
    assert (np.diff(ours.apply(np.sort(elsewhere))) >= 0).all()
    assert "steps from" in ours.note


def test_what_does_not_fit_the_method_is_refused() -> None:
    with pytest.raises(ValueError, match="'pooled' needs some"):
        fit_calibration(np.zeros(2), np.array([0.0, 1.0]), method="pooled")
    fitted = fit_calibration(
        np.zeros(2), np.array([0.0, 1.0]), method="pooled", groups={"place": Codes(np.array([0, 1]), ("a", "b"))}
    )
    with pytest.raises(ValueError, match="offsets by 'place'"):
        fitted.apply(np.zeros(2))
    with pytest.raises(ValueError, match="0 of 2 labels are positive"):
        fit_isotonic(np.zeros(2), np.zeros(2))
