from itertools import permutations
from math import isnan

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from ranker.slates import hit_rate_at, ndcg_at, top_change_at

GENERATOR = np.random.default_rng(0)
REQUESTS = np.sort(GENERATOR.integers(0, 300, 2000))
SCORES = GENERATOR.integers(0, 6, 2000) / 10  # many ties
LABELS = (GENERATOR.random(2000) < 0.15 + SCORES / 2).astype(float)


def with_actions() -> list[np.ndarray]:
    """Rows of each request that has an action."""
    rows = [np.flatnonzero(request == REQUESTS) for request in np.unique(REQUESTS)]
    return [one for one in rows if LABELS[one].any()]


@pytest.mark.parametrize("k", [1, 3, 100])
def test_ndcg_equals_scikit_learn_with_ties(k: int) -> None:
    assert 100 < len(with_actions()) < 300
    theirs = [
        ndcg_score(LABELS[None, rows], SCORES[None, rows], k=k) if len(rows) > 1 else 1.0 for rows in with_actions()
    ]
    shuffled = GENERATOR.permutation(2000)
    ours = ndcg_at(k, LABELS[shuffled], SCORES[shuffled], requests=REQUESTS[shuffled])
    assert ours == pytest.approx(np.mean(theirs), abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_hit_rate_is_the_mean_over_all_orders_of_equal_scores(k: int) -> None:
    def hit(rows: np.ndarray) -> float:
        orders = [order for order in permutations(rows) if (np.diff(SCORES[list(order)]) <= 0).all()]
        return float(np.mean([LABELS[list(order[:k])].any() for order in orders]))

    small = [rows for rows in with_actions() if len(rows) <= 6]
    assert len(small) > 50
    rows = np.concatenate(small)
    expected = np.mean([hit(one) for one in small])
    assert hit_rate_at(k, LABELS[rows], SCORES[rows], requests=REQUESTS[rows]) == pytest.approx(expected, abs=1e-12)


def test_top_change_counts_what_left_the_first_places() -> None:
    before, after = np.array([0.9, 0.8, 0.1, 0.5, 0.4]), np.array([0.9, 0.1, 0.8, 0.4, 0.5])
    requests, ties = np.array([0, 0, 0, 1, 1]), np.arange(5)
    assert top_change_at(2, before, after, requests=requests, ties=ties) == pytest.approx((0.5 + 0) / 2)
    assert top_change_at(1, before, after, requests=requests, ties=ties) == pytest.approx((0 + 1) / 2)
    assert top_change_at(1, before, before, requests=requests, ties=ties) == 0


def test_without_actions_or_rows_there_is_no_figure() -> None:
    nothing, rows = np.zeros(0), np.zeros(4)
    for figure in (ndcg_at, hit_rate_at):
        assert isnan(figure(3, rows, rows, requests=np.zeros(4, dtype=int)))
        assert isnan(figure(3, nothing, nothing, requests=np.zeros(0, dtype=int)))
    assert isnan(top_change_at(3, nothing, nothing, requests=np.zeros(0, dtype=int), ties=np.zeros(0, dtype=int)))
