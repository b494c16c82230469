import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from ranker.bootstrap import field_error_statistic
from ranker.metrics import (
    auc,
    calibration_error,
    churn,
    expected_calibration_error,
    field_error,
    gauc,
    log_loss,
    normalised_entropy,
    pcoc,
    pcoc_by_group,
    reliability,
)

GENERATOR = np.random.default_rng(3)
P = np.round(GENERATOR.beta(1, 3, 4000), 2)  # rounded: many ties
Y = (GENERATOR.random(4000) < P).astype(np.float64)
W = GENERATOR.uniform(0.5, 20, 4000)
USERS = GENERATOR.integers(0, 300, 4000)


@pytest.mark.parametrize("weights", [None, W])
def test_auc_and_log_loss_equal_scikit_learn(weights: np.ndarray | None) -> None:
    assert auc(Y, P, weights=weights) == pytest.approx(
        sklearn_metrics.roc_auc_score(Y, P, sample_weight=weights), abs=1e-12
    )
    assert log_loss(Y, P, weights=weights) == pytest.approx(
        sklearn_metrics.log_loss(Y, P, sample_weight=weights), abs=1e-12
    )


def test_gauc_is_the_row_weighted_mean_of_each_users_auc() -> None:
    values, rows = [], []
    for user in np.unique(USERS):
        mine = user == USERS
        if 0 < Y[mine].sum() < mine.sum():
            values.append(sklearn_metrics.roc_auc_score(Y[mine], P[mine]))
            rows.append(mine.sum())
    assert 0 < len(values) < 300  # some users have one outcome only and are left out
    assert gauc(Y, P, users=USERS) == pytest.approx(np.average(values, weights=rows), abs=1e-12)


def test_normalised_entropy_of_the_mean_rate_is_one() -> None:
    assert normalised_entropy(Y, np.full(4000, Y.mean())) == pytest.approx(1)
    assert normalised_entropy(Y, P) < 0.95


def test_pcoc_by_group_worked_by_hand() -> None:
    labels, p = np.array([1.0, 0.0, 1.0, 1.0, 0.0]), np.array([0.5, 0.1, 0.4, 0.8, 0.3])
    groups = np.array([0, 0, 1, 1, 2])
    np.testing.assert_allclose(pcoc_by_group(labels, p, groups=groups, num_groups=3), [0.6, 0.6, np.nan])
    assert pcoc(labels, p) == pytest.approx(2.1 / 3)


def test_field_error_worked_by_hand() -> None:
    labels, p = np.array([1.0, 0.0, 1.0, 1.0, 0.0]), np.array([0.5, 0.1, 0.4, 0.8, 0.3])
    groups, weights = np.array([0, 0, 1, 1, 2]), np.array([1.0, 2.0, 1.0, 1.0, 1.0])
    assert field_error(labels, p, groups=groups) == pytest.approx((0.4 + 0.8 + 0.3) / 5)
    assert field_error(labels, p, groups=groups, weights=weights) == pytest.approx((0.3 + 0.8 + 0.3) / 6)
    statistic = field_error_statistic(labels, p, groups=groups)
    assert statistic(weights) == field_error(labels, p, groups=groups, weights=weights)


def test_weights_undo_sampling() -> None:
    keep = np.where(Y > 0, True, GENERATOR.random(4000) < 0.2)
    weights = np.where(Y > 0, 1.0, 5.0)[keep]
    # 4,000 rows, a fifth of the negatives: standard error of the weighted PCOC is near .03
    assert pcoc(Y[keep], P[keep], weights=weights) == pytest.approx(pcoc(Y, P), abs=0.1)


def test_churn_is_0_for_equal_and_2_for_disjoint_predictions() -> None:
    assert churn(P, P) == 0
    assert churn(np.array([0.0, 1.0]), np.array([1.0, 0.0])) == 2
    assert churn(np.array([0.1]), np.array([0.2])) == pytest.approx(2 / 3)


def test_a_true_model_lies_at_the_noise_floor_and_a_false_one_above() -> None:
    generator = np.random.default_rng(0)
    p = generator.beta(1, 5, 20_000)
    eces, floors = [], []
    for _ in range(20):
        labels = (generator.random(len(p)) < p).astype(np.float64)
        error = calibration_error(labels, p, repetitions=40)
        eces.append(error.error)
        floors.append(error.noise_floor)
    assert np.mean(eces) == pytest.approx(np.mean(floors), rel=0.15)
    false = calibration_error(labels, p * 1.2, repetitions=40)
    assert false.error > 2 * false.noise_floor_95


def test_calibration_error_worked_by_hand() -> None:
    labels, p = np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.1, 0.3, 0.6, 0.8])
    # two bins of two rows: |.5 − .2| and |1 − .7|
    assert expected_calibration_error(labels, p, num_bins=2) == pytest.approx(0.3)
    bins = reliability(labels, p, num_bins=2)
    assert [(b["predicted"], b["observed"], b["rows"]) for b in bins] == [
        (pytest.approx(0.2), 0.5, 2),
        (pytest.approx(0.7), 1.0, 2),
    ]


def test_undefined_figures_are_nan() -> None:
    none, ones = np.zeros(0), np.ones(3)
    undefined = [
        auc(ones, ones),
        auc(none, none),
        gauc(ones, ones, users=np.arange(3)),
        gauc(none, none, users=np.zeros(0, dtype=np.int64)),
        log_loss(none, none),
        normalised_entropy(ones, ones * 0.5),
        pcoc(1 - ones, ones * 0.5),
        churn(none, none),
        expected_calibration_error(none, none),
        calibration_error(none, none).noise_floor,
    ]
    assert all(math.isnan(value) for value in undefined)
    assert math.isfinite(log_loss(ones, 1 - ones))
