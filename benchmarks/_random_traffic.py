"""A planted world of random traffic: users with tastes, K candidates, a model that is wrong as models are.

Shapes: T tastes, K candidates, P places, V visits, B = V · P rows (an item at a place).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from ranker.metrics import Codes, Floats

NUM_TASTES = 2000
CLICK_RATE = 0.05
# A user comes 1 + Poisson times.
MORE_VISITS = 1.5
# What is left of an item's chance to be clicked at each place.
DISCOUNTS = {"item": np.ones(1), "slate": np.array([1.0, 0.6, 0.4])}


class Log(NamedTuple):
    """Rows that landed. ranks: the policy's, from 1. scores: the model's log-odds of what was shown at the place, and
    of what the policy would show there.
    """

    rewards_B: Floats
    users_B: Codes
    positions_B: Codes
    ranks_B: Codes
    scores_B: Floats
    policy_scores_B: Floats


@dataclass(frozen=True)
class World:
    """What is shown at random: one `item` of K, or a `slate` of three. The policy shows what the model puts first."""

    shown: str
    num_candidates: int

    @property
    def discounts_P(self) -> Floats:
        return DISCOUNTS[self.shown]

    @cached_property
    def log_odds_TK(self) -> Floats:
        """Of a click at the first place: an item's appeal, tastes in eight directions, and what nothing explains."""
        generator = np.random.default_rng(self.num_candidates)
        tastes, items = generator.normal(size=(NUM_TASTES, 8)), generator.normal(size=(8, self.num_candidates))
        log_odds_TK = 0.5 * generator.normal(size=self.num_candidates) + 0.6 * tastes @ items / 8**0.5
        log_odds_TK = log_odds_TK + 0.3 * generator.normal(size=log_odds_TK.shape)

        def excess(level: float) -> float:
            return float(expit(log_odds_TK + level).mean() * self.discounts_P.mean()) - CLICK_RATE

        return log_odds_TK + brentq(excess, -10, 3)

    @cached_property
    def scores_TK(self) -> Floats:
        """The model's log-odds: the truth with noise, a slope and a shift."""
        generator = np.random.default_rng([self.num_candidates, 1])
        return 0.8 * self.log_odds_TK + 0.4 * generator.normal(size=self.log_odds_TK.shape) - 0.9

    @cached_property
    def order_TK(self) -> Codes:
        return np.argsort(-self.scores_TK, axis=1, kind="stable")

    @cached_property
    def ranks_TK(self) -> Codes:
        return np.argsort(self.order_TK, axis=1) + 1

    @cached_property
    def policy_chances_TP(self) -> Floats:
        """The chance of a click at each place, of what the policy puts there."""
        first_TP = self.order_TK[:, : len(self.discounts_P)]
        return expit(np.take_along_axis(self.log_odds_TK, first_TP, axis=1)) * self.discounts_P

    @property
    def value(self) -> float:
        """Clicks a row under the policy."""
        return float(self.policy_chances_TP.mean())

    def log(self, *, num_rows: int, seed: list[int]) -> Log:
        generator = np.random.default_rng(seed)
        num_places = len(self.discounts_P)
        num_visits = num_rows // num_places
        users_V = np.repeat(np.arange(num_visits), 1 + generator.poisson(MORE_VISITS, num_visits))[:num_visits]
        tastes_V = generator.integers(NUM_TASTES, size=num_visits)[users_V]
        shown_VP = (
            generator.random((num_visits, self.num_candidates)).argpartition(num_places, axis=1)[:, :num_places]
            if num_places > 1
            else generator.integers(self.num_candidates, size=(num_visits, 1))
        )
        shown_VP = generator.permuted(shown_VP, axis=1)
        tastes_V1 = tastes_V[:, None]
        chances_VP = expit(self.log_odds_TK[tastes_V1, shown_VP]) * self.discounts_P
        return Log(
            rewards_B=(generator.random(chances_VP.shape) < chances_VP).astype(np.float64).ravel(),
            users_B=np.repeat(users_V, num_places),
            positions_B=np.tile(np.arange(1, num_places + 1), num_visits),
            ranks_B=self.ranks_TK[tastes_V1, shown_VP].ravel(),
            scores_B=self.scores_TK[tastes_V1, shown_VP].ravel(),
            policy_scores_B=self.scores_TK[tastes_V1, self.order_TK[tastes_V, :num_places]].ravel(),
        )

    def known_errors(self, *, num_rows: int) -> dict[str, float]:
        """Mean absolute error that IPS has by the planted probabilities, and DR with the true chances as its estimates.

        Both are means over users of sums over their visits. Within a visit of a user of one taste, IPS at place p has
        the variance K c − c² for the policy's chance c there, and two places covary by c c' / (K − 1): both are rarely
        right at once. What DR leaves has the variance K c (1 − c), and no covariance. Errors are nearly normal: their
        mean is √(2 / π) of the standard error.
        """
        chances_TP, num_candidates = self.policy_chances_TP, self.num_candidates
        visit_T = chances_TP.sum(axis=1)
        square_T = (chances_TP**2).sum(axis=1)
        within = {
            "ips": num_candidates * visit_T - square_T + (visit_T**2 - square_T) / (num_candidates - 1),
            "dr": (num_candidates * chances_TP * (1 - chances_TP)).sum(axis=1),
        }
        # Visits of a user that a visit brings with it, itself included.
        together = (MORE_VISITS + (1 + MORE_VISITS) ** 2) / (1 + MORE_VISITS)
        num_visits = num_rows // len(self.discounts_P)
        variance = {name: float(one.mean() + together * visit_T.var()) / num_visits for name, one in within.items()}
        return {name: (2 / np.pi * one) ** 0.5 / len(self.discounts_P) for name, one in variance.items()}
