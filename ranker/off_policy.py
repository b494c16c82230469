"""What a policy would have earned, judged from the log of another one, and when such an estimate is not to be believed.

The logging policy showed each row with a known probability, its propensity p; the policy under judgement would show it
with probability π. A row's importance weight is w = π / p. Each estimate is a ratio of two sums over rows. Rows of one
user are alike, so the interval comes from the sums by user.

Shapes: B rows, U users. A row is one decision: an item at a position. Of slates that are judged item by item (Li et al.
2018, arXiv 1804.10488) the rows are all candidates of a request, and those that were not placed are no decisions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.optimize import brentq

from ranker.calibration import Calibration, fit_calibration
from ranker.metrics import Codes, Floats

# Below these an estimate rests on a handful of rows, and is refused.
MIN_EFFECTIVE_ROWS = 50
MIN_REWARDED_ROWS = 5
# More than this share of all weight in one row, and that row decides.
MAX_SHARE = 0.1
# Standard errors that the mean weight may lie from 1; beyond, the propensities are wrong or actions are missing.
MAX_STANDARD_ERRORS = 4.0


@dataclass(frozen=True, kw_only=True)
class Support:
    """How much of the log speaks of the policy under judgement.

    effective_rows: (Σ w)² / Σ w² (Kish 1965), how many rows of equal weight would be as sure.
    mean: of the weights over decisions. 1 in expectation, where the log knows its propensities and could have shown
    whatever the policy would.
    rewarded: rows with both weight and reward.
    """

    rows: int
    effective_rows: float
    largest: float
    largest_share: float
    mean: float
    mean_standard_error: float
    rewarded: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Mean reward of a decision under the policy. Where `refusal` gives a reason, it has no interval (NaN)."""

    value: float
    standard_error: float
    low: float
    high: float
    level: float
    support: Support
    refusal: str


def importance_weights(probability_B: Floats, *, propensity_B: Floats) -> Floats:
    """w = π / p of each row.

    Raises ValueError where a propensity lies outside (0, 1] or a probability outside [0, 1].

    >>> importance_weights(np.array([1.0, 0.0]), propensity_B=np.array([0.5, 0.1]))
    array([2., 0.])
    """
    for name, values, allowed in (
        ("propensity_B", propensity_B, (propensity_B > 0) & (propensity_B <= 1)),
        ("probability_B", probability_B, (probability_B >= 0) & (probability_B <= 1)),
    ):
        if not allowed.all():
            wrong = values[~allowed]
            raise ValueError(f"{name} has {len(wrong)} values that are no probability, such as {wrong[0]}")
    return probability_B / propensity_B


def slate_weights(ranks_B: Codes, *, positions_B: Codes, propensity_B: Floats) -> Floats:
    """w = [the policy's rank is the position shown] / p, of a policy that orders all candidates of a request.

    positions_B: from 1; 0 for candidates that were not placed, which weigh 0. propensity_B: the probability that the
    logging policy placed this item at this position.

    >>> slate_weights(np.array([1, 2, 3]), positions_B=np.array([1, 0, 2]), propensity_B=np.full(3, 0.25))
    array([4., 0., 0.])
    """
    agrees_B = (positions_B > 0) & (ranks_B == positions_B)
    weights_B = np.zeros(len(ranks_B))
    weights_B[agrees_B] = importance_weights(np.ones(int(agrees_B.sum())), propensity_B=propensity_B[agrees_B])
    return weights_B


def ips(
    rewards_B: Floats,
    *,
    weights_B: Floats,
    users: Codes | None = None,
    is_decision_B: Floats | None = None,
    level: float = 0.95,
) -> Estimate:
    """Σ w r / N over N decisions (Horvitz and Thompson 1952). Unbiased; large weights make it vary.

    >>> log = {"rewards_B": np.array([1.0, 0.0, 0.0, 1.0]), "weights_B": np.array([2.0, 0.0, 1.0, 0.0])}
    >>> ips(**log).value, snips(**log).value
    (0.5, 0.6666666666666666)
    """
    log = _Log.of(rewards_B, weights_B, users=users, is_decision_B=is_decision_B)
    return _estimate(log, weights_B * rewards_B, log.decisions_B, level=level)


def snips(
    rewards_B: Floats,
    *,
    weights_B: Floats,
    users: Codes | None = None,
    is_decision_B: Floats | None = None,
    level: float = 0.95,
) -> Estimate:
    """Σ w r / Σ w (Swaminathan and Joachims 2015). Slightly biased, far steadier than `ips`."""
    log = _Log.of(rewards_B, weights_B, users=users, is_decision_B=is_decision_B)
    return _estimate(log, weights_B * rewards_B, weights_B, level=level)


def doubly_robust(
    rewards_B: Floats,
    *,
    weights_B: Floats,
    logged_estimates_B: Floats,
    policy_estimates_B: Floats,
    users: Codes | None = None,
    is_decision_B: Floats | None = None,
    level: float = 0.95,
) -> Estimate:
    """Σ (m + w (r − q)) / N (Dudík et al. 2011): a model's estimate, corrected by what the log says of its errors.

    logged_estimates_B: q, the expected reward of what was shown. policy_estimates_B: m, the expected reward of what the
    policy would show, Σ π q over its choices; of a slate's rows, q at the policy's rank where that is in the slate and
    0 elsewhere. Unbiased for any q that did not see the row (`cross_fit`), and the surer the better q is.

    >>> rewards, estimates = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    >>> doubly_robust(rewards, weights_B=np.array([2.0, 0.0]), logged_estimates_B=estimates,
    ...               policy_estimates_B=estimates).value
    1.0
    """
    log = _Log.of(rewards_B, weights_B, users=users, is_decision_B=is_decision_B)
    corrected_B = corrected_rewards(
        rewards_B,
        weights_B=weights_B,
        logged_estimates_B=logged_estimates_B,
        policy_estimates_B=policy_estimates_B,
    )
    return _estimate(log, corrected_B, log.decisions_B, level=level)


def corrected_rewards(
    rewards_B: Floats, *, weights_B: Floats, logged_estimates_B: Floats, policy_estimates_B: Floats
) -> Floats:
    """m + w (r − q) of each row, whose mean over decisions is `doubly_robust`; two policies are compared row by row."""
    return policy_estimates_B + weights_B * (rewards_B - logged_estimates_B)


def replay(rewards_B: Floats, *, agrees_B: Floats, users: Codes | None = None, level: float = 0.95) -> Estimate:
    """Mean reward of the rows where a policy would have shown what was shown (Li et al. 2011, arXiv 1003.5956).

    agrees_B: 1 or 0. For uniformly random logging alone: there all rows that agree have one weight.
    """
    agreeing = float(agrees_B.mean()) if len(agrees_B) else 0.0
    log = _Log.of(rewards_B, agrees_B / agreeing if agreeing > 0 else agrees_B, users=users)
    return _estimate(log, agrees_B * rewards_B, agrees_B, level=level)


@dataclass(frozen=True, kw_only=True)
class CrossFit:
    """Calibrations of a model's log-odds, each fitted without the users of its fold."""

    fold_B: Codes
    calibrations: Sequence[Calibration]

    def rewards(self, log_odds_B: Floats) -> Floats:
        """The expected reward of each row from its log-odds, those of what was shown or of another choice."""
        rewards_B = np.empty(len(log_odds_B))
        for fold, calibration in enumerate(self.calibrations):
            rewards_B[self.fold_B == fold] = calibration.apply(log_odds_B[self.fold_B == fold])
        return rewards_B


def cross_fit(
    log_odds_B: Floats,
    rewards_B: Floats,
    *,
    users: Codes,
    is_decision_B: Floats | None = None,
    num_folds: int = 5,
    seed: int = 0,
) -> CrossFit:
    """Reward estimates for `doubly_robust` from a model's log-odds: no user's rows take part in the fit of their own.

    is_decision_B: 1 for the rows that have an outcome to fit, those that were placed; all if left out.
    Raises ValueError with fewer users than folds.
    """
    codes, user_B = np.unique(users, return_inverse=True)
    if not 2 <= num_folds <= len(codes):
        raise ValueError(f"num_folds is {num_folds} for {len(codes)} users; it must lie between 2 and their number")
    fold_B = (np.random.default_rng(seed).permutation(len(codes)) % num_folds)[user_B]
    has_outcome_B = np.ones(len(rewards_B), dtype=bool) if is_decision_B is None else is_decision_B > 0
    calibrations = []
    for fold in range(num_folds):
        fits_B = has_outcome_B & (fold_B != fold)
        calibrations.append(fit_calibration(log_odds_B[fits_B], rewards_B[fits_B]))
    return CrossFit(fold_B=fold_B, calibrations=calibrations)


def refusal(found: Support) -> str:
    """Why an estimate with this support should not be believed; empty where it may be."""
    gap = abs(found.mean - 1)
    reasons = (
        (
            found.effective_rows < MIN_EFFECTIVE_ROWS,
            f"the weights are worth {found.effective_rows:.1f} rows, and at least {MIN_EFFECTIVE_ROWS} are needed",
        ),
        (
            found.largest_share > MAX_SHARE,
            f"one row carries {found.largest_share:.0%} of all weight, and {MAX_SHARE:.0%} is the most",
        ),
        (
            gap > MAX_STANDARD_ERRORS * found.mean_standard_error and gap > 1e-9,
            f"the mean weight is {found.mean:.3f} ± {found.mean_standard_error:.3f} and should be 1: the propensities "
            "are wrong, or the log could not show what the policy would",
        ),
        (
            found.rewarded < MIN_REWARDED_ROWS,
            f"{found.rewarded} rows have a reward and a weight, and at least {MIN_REWARDED_ROWS} are needed",
        ),
    )
    return "; ".join(reason for is_met, reason in reasons if is_met)


def ratio_interval(above_U: Floats, below_U: Floats, *, level: float) -> tuple[float, float]:
    """Empirical-likelihood interval of Σ above / Σ below over independent users (Owen 1988, 1990).

    All v for which −2 log of the likelihood ratio of E[above − v below] = 0 stays below the χ² quantile. It leans to
    the side where rare rewards lie, as an interval of value ± error does not, and never leaves what the rows can give.
    For one reward of 0 or 1 a user it is the binomial likelihood-ratio interval.

    >>> low, high = ratio_interval(np.repeat([1.0, 0.0], [5, 95]), np.ones(100), level=0.95)
    >>> round(low, 3), round(high, 3)
    (0.018, 0.104)
    """
    # Pairs as complex numbers: NumPy sorts those several times as fast as rows of two.
    pairs, num_users = np.unique(above_U + 1j * below_U, return_counts=True)
    above, below, counts = pairs.real, pairs.imag, num_users.astype(np.float64)
    value = float(counts @ above) / float(counts @ below)
    limit = NormalDist().inv_cdf((1 + level) / 2)
    gap = above - value * below
    step = float(np.sqrt(counts @ gap**2)) / abs(float(counts @ below))
    if step == 0:
        return value, value

    def beyond(bound: float) -> float:
        """How far a value lies outside, on the scale of standard errors, on which it is nearly a straight line."""
        return float(np.sqrt(_likelihood_ratio(above - bound * below, counts))) - limit

    def bound(step: float) -> float:
        inside, outside = value, value + step
        while beyond(outside) < 0:
            inside, outside = outside, outside + step
        return float(brentq(beyond, inside, outside, xtol=1e-9 * abs(step)))

    return bound(-step), bound(step)


def _likelihood_ratio(gap: Floats, counts: Floats) -> float:
    """2 max over λ of Σ log(1 + λ gap), the empirical −2 log likelihood ratio of a mean of 0; Newton's method."""
    if gap.min() >= 0 or gap.max() <= 0:
        return float("inf")
    lowest, highest = -1 / gap.max(), -1 / gap.min()
    multiplier = 0.0
    for _ in range(100):
        share = gap / (1 + multiplier * gap)
        slope, curvature = float(counts @ share), float(counts @ share**2)
        proposed = multiplier + slope / curvature
        # Stay inside the open interval in which all probabilities are positive.
        if proposed <= lowest:
            proposed = (multiplier + lowest) / 2
        elif proposed >= highest:
            proposed = (multiplier + highest) / 2
        if abs(proposed - multiplier) <= 1e-12 * (highest - lowest):
            break
        multiplier = proposed
    return 2 * float(counts @ np.log1p(multiplier * gap))


@dataclass(frozen=True, kw_only=True)
class _Log:
    """What every estimate needs of the rows: rewards, weights, 1 for each that is a decision, and whose it is."""

    rewards_B: Floats
    weights_B: Floats
    decisions_B: Floats
    user_B: Codes | None

    @classmethod
    def of(
        cls, rewards_B: Floats, weights_B: Floats, *, users: Codes | None, is_decision_B: Floats | None = None
    ) -> "_Log":
        if len(rewards_B) != len(weights_B):
            raise ValueError(f"{len(rewards_B)} rewards for {len(weights_B)} weights; every row needs both")
        if (weights_B < 0).any():
            raise ValueError(f"{int((weights_B < 0).sum())} weights are negative; a weight is a ratio of probabilities")
        return cls(
            rewards_B=rewards_B,
            weights_B=weights_B,
            decisions_B=np.ones(len(rewards_B)) if is_decision_B is None else is_decision_B,
            user_B=None if users is None else np.unique(users, return_inverse=True)[1],
        )

    def by_user(self, values_B: Floats) -> Floats:
        return values_B if self.user_B is None else np.bincount(self.user_B, weights=values_B).astype(np.float64)


def _support(log: _Log) -> Support:
    """What the weights say of how far the log can be trusted, before any reward is looked at twice."""
    weights_B = log.weights_B
    total, squares, num = float(weights_B.sum()), float(weights_B @ weights_B), float(log.decisions_B.sum())
    mean = total / num if num else float("nan")
    gap_U = log.by_user(weights_B - mean * log.decisions_B)
    return Support(
        rows=int(num),
        effective_rows=total**2 / squares if squares else 0.0,
        largest=float(weights_B.max(initial=0.0)),
        largest_share=float(weights_B.max(initial=0.0)) / total if total else float("nan"),
        mean=mean,
        mean_standard_error=float(np.sqrt(gap_U @ gap_U)) / num if num else float("nan"),
        rewarded=int(((weights_B > 0) & (log.rewards_B != 0)).sum()),
    )


def _estimate(log: _Log, above_B: Floats, below_B: Floats, *, level: float) -> Estimate:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; the share of intervals that hold the truth must lie in (0, 1)")
    if not np.isfinite(above_B).all():
        raise ValueError("rewards, weights and estimates must be finite")
    found = _support(log)
    above_U, below_U = log.by_user(above_B), log.by_user(below_B)
    total = float(below_U.sum())
    value = float(above_U.sum()) / total if total > 0 else float("nan")
    gap_U = above_U - value * below_U
    reason = refusal(found)
    low, high = (float("nan"), float("nan")) if reason else ratio_interval(above_U, below_U, level=level)
    return Estimate(
        value=value,
        standard_error=float(np.sqrt(gap_U @ gap_U)) / total if total > 0 else float("nan"),
        low=low,
        high=high,
        level=level,
        support=found,
        refusal=reason,
    )
