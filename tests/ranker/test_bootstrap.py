import numpy as np
import pytest

from ranker import bootstrap, paired_bootstrap
from ranker.bootstrap import auc_statistic, log_loss_statistic, pcoc_statistic
from ranker.metrics import auc, log_loss, pcoc

GENERATOR = np.random.default_rng(0)
USERS = np.repeat(np.arange(150), 8)
TRUTH = GENERATOR.beta(1, 3, 1200)
LABELS = (GENERATOR.random(1200) < TRUTH).astype(np.float64)


def test_statistics_of_row_weights_equal_the_metrics() -> None:
    weights = GENERATOR.integers(0, 4, 1200).astype(np.float64)
    p = np.round(TRUTH, 2)
    assert auc_statistic(LABELS, p)(weights) == pytest.approx(auc(LABELS, p, weights=weights))
    assert log_loss_statistic(LABELS, p)(weights) == pytest.approx(log_loss(LABELS, p, weights=weights))
    assert pcoc_statistic(LABELS, p)(weights) == pytest.approx(pcoc(LABELS, p, weights=weights))


def test_repetitions_equal_the_slow_form_that_copies_rows() -> None:
    sample = bootstrap({"auc": auc_statistic(LABELS, TRUTH)}, users=USERS, repetitions=3, seed=7)["auc"].samples_R
    generator = np.random.default_rng(7)
    for value in sample:
        rows = np.concatenate([np.flatnonzero(user == USERS) for user in generator.integers(0, 150, 150)])
        assert value == pytest.approx(auc(LABELS[rows], TRUTH[rows]))


def test_a_worse_model_is_told_from_the_truth_and_the_truth_from_itself_is_not() -> None:
    noisy = np.clip(TRUTH + GENERATOR.normal(scale=0.3, size=1200), 0.01, 0.99)
    found = paired_bootstrap(LABELS, candidate=noisy, baseline=TRUTH, users=USERS, repetitions=200)
    assert found["auc"].quantile(0.99) < 0
    assert found["log_loss"].quantile(0.01) > 0
    same = paired_bootstrap(LABELS, candidate=TRUTH, baseline=TRUTH, users=USERS, repetitions=20)
    assert all(same[name].interval() == (0, 0) for name in ("auc", "log_loss", "pcoc_distance"))


def test_users_that_are_alike_inside_widen_the_interval() -> None:
    # All eight rows of a user equal: 150 facts, not 1,200. Rows as users would claim an interval √8 too narrow.
    labels = np.repeat(LABELS[:150], 8)
    p = np.full(1200, 0.25)
    by_user = bootstrap({"pcoc": log_loss_statistic(labels, p)}, users=USERS, repetitions=400)["pcoc"]
    by_row = bootstrap({"pcoc": log_loss_statistic(labels, p)}, users=np.arange(1200), repetitions=400)["pcoc"]
    assert by_user.samples_R.std() / by_row.samples_R.std() == pytest.approx(np.sqrt(8), rel=0.2)


def test_one_seed_gives_one_interval() -> None:
    first, second, other = (
        bootstrap({"pcoc": pcoc_statistic(LABELS, TRUTH)}, users=USERS, repetitions=20, seed=seed)["pcoc"].interval()
        for seed in (1, 1, 2)
    )
    assert first == second != other


def test_rows_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="must be the same rows"):
        paired_bootstrap(LABELS, candidate=TRUTH[:-1], baseline=TRUTH, users=USERS)
