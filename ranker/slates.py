"""How well a model orders the rows of a request: pure functions over numpy arrays.

Shapes: B rows, R requests, T runs of rows of one request with the same score. Rows with equal scores stand in no order:
figures are the mean over all orders of them. Requests without an action have nothing to find and are left out; NaN
where that leaves none.
"""

import numpy as np
from scipy.special import gammaln

from ranker.metrics import Codes, Floats


def ranks_in_requests(scores_B: Floats, *, requests: Codes, ties: Codes) -> Codes:
    """The place of each row within its request, from 1, by descending score; of equal scores the lower tie goes first.

    >>> ranks_in_requests(np.array([0.1, 0.3, 0.3]), requests=np.array([0, 0, 0]), ties=np.array([0, 2, 1]))
    array([3, 2, 1])
    """
    order = np.lexsort((ties, -scores_B, requests))
    starts = np.flatnonzero(np.r_[True, np.diff(requests[order]) != 0]) if len(order) else order
    lengths = np.diff(np.r_[starts, len(order)])
    ranks_B = np.empty(len(order), dtype=np.int64)
    ranks_B[order] = np.arange(len(order)) - np.repeat(starts, lengths) + 1
    return ranks_B


def ndcg_at(k: int, labels: Floats, scores: Floats, *, requests: Codes) -> float:
    """Mean over requests of DCG@k / the best DCG@k, with DCG@k = Σ y / log₂(1 + rank) over ranks up to k.

    Järvelin and Kekäläinen 2002; ties as McSherry and Najork 2008. Equal to sklearn.metrics.ndcg_score.

    >>> round(ndcg_at(2, np.array([0.0, 1.0, 0.0]), np.array([0.9, 0.5, 0.1]), requests=np.zeros(3, dtype=int)), 4)
    0.6309
    """
    found_R, best_R = (_gain(k, labels, by, requests) for by in (scores, labels))
    acted_R = best_R > 0
    return float((found_R[acted_R] / best_R[acted_R]).mean()) if acted_R.any() else float("nan")


def hit_rate_at(k: int, labels: Floats, scores: Floats, *, requests: Codes) -> float:
    """Share of requests with an action that have one among the first k rows.

    >>> hit_rate_at(1, np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.5, 0.5, 0.9, 0.1]), requests=np.array([0, 0, 1, 1]))
    0.75
    """
    if not len(labels):
        return float("nan")
    order, first_T, size_T, rank_T = _runs(scores, requests)
    positive_T = np.add.reduceat(labels[order], first_T)
    places_T = np.clip(k - rank_T, 0, size_T)
    # No positive gets one of a run's places among the first k: hypergeometric.
    negative_T = size_T - positive_T
    none_T = np.where(
        negative_T >= places_T, np.exp(_log_choose(negative_T, places_T) - _log_choose(size_T, places_T)), 0
    )
    starts_R = np.flatnonzero(rank_T == 0)
    missed_R = np.multiply.reduceat(none_T, starts_R)
    acted_R = np.add.reduceat(positive_T, starts_R) > 0
    return float(1 - missed_R[acted_R].mean()) if acted_R.any() else float("nan")


def top_change_at(k: int, before: Floats, after: Floats, *, requests: Codes, ties: Codes) -> float:
    """Mean over requests of the share of the first k rows that another model's first k does not hold, in [0, 1].

    Of a request with fewer than k rows all are first. Of equal scores the lower tie goes first. NaN without rows.

    >>> top_change_at(1, np.array([0.2, 0.1]), np.array([0.1, 0.2]), requests=np.zeros(2, dtype=int), ties=np.arange(2))
    1.0
    """
    if not len(before):
        return float("nan")
    was_B, is_B = (ranks_in_requests(scores_B, requests=requests, ties=ties) <= k for scores_B in (before, after))
    _, request_B = np.unique(requests, return_inverse=True)
    stays_R = np.bincount(request_B, weights=was_B & is_B)
    return float((1 - stays_R / np.bincount(request_B, weights=is_B)).mean())


def _gain(k: int, labels: Floats, scores: Floats, requests: Codes) -> Floats:
    """DCG@k of each request in ascending order of `requests`."""
    if not len(labels):
        return np.zeros(0)
    order, first_T, size_T, rank_T = _runs(scores, requests)
    # Discounts up to each rank: those of a run's places are a difference of two.
    places = np.arange(1, min(k, int((rank_T + size_T).max())) + 1)
    upto = np.r_[0.0, np.cumsum(1 / np.log2(1 + places))]
    discount_T = upto[np.minimum(rank_T + size_T, len(places))] - upto[np.minimum(rank_T, len(places))]
    mean_T = np.add.reduceat(labels[order], first_T) / size_T
    return np.add.reduceat(mean_T * discount_T, np.flatnonzero(rank_T == 0))


def _runs(scores: Floats, requests: Codes) -> tuple[Codes, Codes, Codes, Codes]:
    """Rows by request and descending score; of each run its first row in that order, its size, and the rows of its
    request before it."""
    order = np.lexsort((-scores, requests))
    starts_request = np.r_[True, np.diff(requests[order]) != 0]
    starts_run = starts_request | np.r_[True, np.diff(scores[order]) != 0]
    first_T = np.flatnonzero(starts_run)
    first_of_request = np.flatnonzero(starts_request)[np.cumsum(starts_request)[first_T] - 1]
    return order, first_T, np.diff(np.r_[first_T, len(order)]), first_T - first_of_request


def _log_choose(n: Floats | Codes, k: Codes) -> Floats:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(np.maximum(n - k, 0) + 1)
