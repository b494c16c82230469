"""What rankings would have earned on randomly ordered requests: several rankings, judged from the same log.

Item by item (Li et al. 2018, arXiv 1804.10488): a placed candidate speaks for a ranking that would have put it where it
stood. Shapes: B candidates, U users.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ranker.bootstrap import Difference, bootstrap
from ranker.metrics import Codes, Floats
from ranker.off_policy import Estimate, corrected_rewards, cross_fit, doubly_robust, ips, slate_weights, snips
from ranker.slates import ranks_in_requests

# Reward estimates are fitted by so many folds of users.
FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Slates:
    """Every candidate of randomly ordered requests, B rows.

    positions_B: where it was placed, from 1, and 0 where it was not. rewards_B: 1 where it was acted on.
    ties_B: which of two equal scores goes first; it must not follow the positions.
    """

    rewards_B: Floats
    positions_B: Codes
    propensity_B: Floats
    requests_B: Codes
    users_B: Codes
    ties_B: Codes

    def __len__(self) -> int:
        return len(self.rewards_B)

    @property
    def placed_B(self) -> Floats:
        """1 for each candidate that was placed."""
        return (self.positions_B > 0).astype(np.float64)

    @property
    def num_requests(self) -> int:
        return len(np.unique(self.requests_B))

    @property
    def num_users(self) -> int:
        return len(np.unique(self.users_B))

    @property
    def most_candidates(self) -> int:
        """Of the request that has most."""
        return int(np.unique(self.requests_B, return_counts=True)[1].max(initial=0))

    def ranks(self, scores_B: Floats) -> Codes:
        """The place, from 1, that each candidate would get by its score."""
        return ranks_in_requests(scores_B, requests=self.requests_B, ties=self.ties_B)

    def fits(self, ranks_B: Codes) -> Floats:
        """1 for each candidate whose rank is one of its request's places."""
        _, request_B = np.unique(self.requests_B, return_inverse=True)
        places_B = np.bincount(request_B, weights=self.placed_B)[request_B]
        return (ranks_B <= places_B).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class RankingValue:
    """Mean actions of a place under one ranking, by each estimator; and the sums over a user's places that make `dr`.

    per_request: places of a request, by which a mean becomes the actions of a request.
    """

    ips: Estimate
    snips: Estimate
    dr: Estimate
    dr_sums_U: Floats
    per_request: float


def ranking_values(
    slates: Slates,
    scores_B: Mapping[str, Floats],
    *,
    log_odds: Callable[[Codes], Floats],
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, RankingValue]:
    """The value of ordering each request by each of `scores_B`.

    log_odds: a model's log-odds of an action for every candidate at given positions, cross-fitted to the outcomes: the
    reward estimates of `dr`. All rankings share them, so that two that agree on a place do not differ there.

    Raises ValueError with fewer users than FOLDS, or without a placed candidate.
    """
    placed_B = slates.placed_B
    if not placed_B.any():
        raise ValueError(f"none of {len(slates)} candidates was placed: nothing says what any place earns")
    shown_B = log_odds(slates.positions_B)
    fitted = cross_fit(
        shown_B, slates.rewards_B, users=slates.users_B, is_decision_B=placed_B, num_folds=FOLDS, seed=seed
    )
    logged_estimates_B = fitted.rewards(shown_B)
    _, user_B = np.unique(slates.users_B, return_inverse=True)
    found = {}
    for name, scores in scores_B.items():
        ranks_B = slates.ranks(scores)
        weights_B = slate_weights(ranks_B, positions_B=slates.positions_B, propensity_B=slates.propensity_B)
        policy_estimates_B = slates.fits(ranks_B) * fitted.rewards(log_odds(ranks_B))
        corrected_B = corrected_rewards(
            slates.rewards_B,
            weights_B=weights_B,
            logged_estimates_B=logged_estimates_B,
            policy_estimates_B=policy_estimates_B,
        )
        weighted = {
            estimator: estimator(
                slates.rewards_B, weights_B=weights_B, users=slates.users_B, is_decision_B=placed_B, level=level
            )
            for estimator in (ips, snips)
        }
        found[name] = RankingValue(
            ips=weighted[ips],
            snips=weighted[snips],
            dr=doubly_robust(
                slates.rewards_B,
                weights_B=weights_B,
                logged_estimates_B=logged_estimates_B,
                policy_estimates_B=policy_estimates_B,
                users=slates.users_B,
                is_decision_B=placed_B,
                level=level,
            ),
            dr_sums_U=np.bincount(user_B, weights=corrected_B).astype(np.float64),
            per_request=float(placed_B.sum()) / slates.num_requests,
        )
    return found


def relative_gain(
    candidate: RankingValue, baseline: RankingValue, *, repetitions: int = 1000, seed: int = 0
) -> Difference:
    """(candidate − baseline) by `dr`, as a share of what the baseline earns by `snips`; users are resampled.

    The share is of a fixed value: near a gain of 0 the error of that value plays no part, and in a thin log a resample
    may hold next to nothing of it. NaN where the baseline earns nothing.
    """
    gain_U = candidate.dr_sums_U - baseline.dr_sums_U
    earned = baseline.snips.value * baseline.dr.support.rows
    found = bootstrap(
        {"gain": lambda drawn_U: float(drawn_U @ gain_U) / earned if earned > 0 else float("nan")},
        users=np.arange(len(gain_U)),
        repetitions=repetitions,
        seed=seed,
    )
    return found["gain"]
