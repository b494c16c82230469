import numpy as np
import pytest
from scipy import optimize, stats

from ranker.off_policy import (
    cross_fit,
    doubly_robust,
    importance_weights,
    ips,
    ratio_interval,
    replay,
    slate_weights,
    snips,
)
from ranker.slates import ranks_in_requests

NUM_ROWS, NUM_ACTIONS = 4000, 5


def world(seed: int) -> dict[str, np.ndarray]:
    """Users of five kinds, five actions, one of them right for each kind; logged at random, judged under a policy."""
    generator = np.random.default_rng(seed)
    kinds = generator.integers(0, NUM_ACTIONS, NUM_ROWS)
    logging = np.array([0.4, 0.2, 0.2, 0.1, 0.1])
    shown = generator.choice(NUM_ACTIONS, NUM_ROWS, p=logging)
    chances_BA = np.where(np.arange(NUM_ACTIONS) == kinds[:, None], 0.3, 0.1)
    policy_BA = np.where(np.arange(NUM_ACTIONS) == kinds[:, None], 0.8, 0.05)
    rows = np.arange(NUM_ROWS)
    return {
        "rewards": (generator.random(NUM_ROWS) < chances_BA[rows, shown]).astype(float),
        "weights": importance_weights(policy_BA[rows, shown], propensity_B=logging[shown]),
        "chances": chances_BA[rows, shown],
        "policy_chances": (policy_BA * chances_BA).sum(1),
        "users": rows // 4,
    }


TRUTH = 0.8 * 0.3 + 0.2 * 0.1


def test_estimates_equal_their_formulas_written_out() -> None:
    found = world(0)
    rewards, weights = found["rewards"], found["weights"]
    sum_wr = sum(w * r for w, r in zip(weights, rewards, strict=True))
    assert ips(rewards, weights_B=weights).value == pytest.approx(sum_wr / NUM_ROWS, abs=1e-12)
    assert snips(rewards, weights_B=weights).value == pytest.approx(sum_wr / sum(weights), abs=1e-12)
    corrected = [
        m + w * (r - q) for m, w, r, q in zip(found["policy_chances"], weights, rewards, found["chances"], strict=True)
    ]
    estimate = doubly_robust(
        rewards, weights_B=weights, logged_estimates_B=found["chances"], policy_estimates_B=found["policy_chances"]
    )
    assert estimate.value == pytest.approx(sum(corrected) / NUM_ROWS, abs=1e-12)


def test_estimates_come_near_the_truth_and_a_good_model_makes_them_surer() -> None:
    errors: dict[str, list[float]] = {"ips": [], "snips": [], "doubly robust": []}
    inside = 0
    for seed in range(60):
        found = world(seed)
        rewards, weights, users = found["rewards"], found["weights"], found["users"]
        estimates = {
            "ips": ips(rewards, weights_B=weights, users=users),
            "snips": snips(rewards, weights_B=weights, users=users),
            "doubly robust": doubly_robust(
                rewards,
                weights_B=weights,
                logged_estimates_B=found["chances"],
                policy_estimates_B=found["policy_chances"],
                users=users,
            ),
        }
        for name, estimate in estimates.items():
            assert estimate.refusal == ""
            errors[name].append(estimate.value - TRUTH)
            inside += estimate.low <= TRUTH <= estimate.high
    # 180 intervals of 95 %: 171 expected, standard deviation 3 (more, for three share a world).
    assert inside > 160
    rms = {name: float(np.sqrt(np.mean(np.square(values)))) for name, values in errors.items()}
    assert rms["doubly robust"] < rms["snips"] < rms["ips"]


def test_an_interval_of_yes_and_no_is_the_binomial_likelihood_ratio_interval() -> None:
    rewards = np.repeat([1.0, 0.0], [7, 193])
    low, high = ratio_interval(rewards, np.ones(200), level=0.95)

    def ratio(p: float) -> float:
        def log_likelihood(q: float) -> float:
            return 7 * np.log(q) + 193 * np.log(1 - q)

        return 2 * (log_likelihood(7 / 200) - log_likelihood(p)) - stats.chi2.ppf(0.95, 1)

    assert low == pytest.approx(optimize.brentq(ratio, 1e-6, 7 / 200), abs=1e-8)
    assert high == pytest.approx(optimize.brentq(ratio, 7 / 200, 0.5), abs=1e-8)


def test_rows_of_one_user_are_not_taken_for_independent() -> None:
    rewards = np.random.default_rng(1).integers(0, 2, 400).astype(float)
    once = snips(rewards, weights_B=np.ones(400), users=np.arange(400))
    tenfold = snips(np.repeat(rewards, 10), weights_B=np.ones(4000), users=np.repeat(np.arange(400), 10))
    assert tenfold.value == once.value
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high), abs=1e-9)


def test_replay_is_the_mean_reward_where_both_agree() -> None:
    rewards, agrees = np.tile([1.0, 0.0, 1.0, 1.0], 50), np.tile([1.0, 1.0, 0.0, 1.0], 50)
    estimate = replay(rewards, agrees_B=agrees)
    assert estimate.value == pytest.approx(2 / 3)
    assert estimate.support.effective_rows == pytest.approx(150)


@pytest.mark.parametrize(
    ("weights", "rewards", "reason"),
    [
        (np.r_[21_739.0, np.ones(9999)], np.ones(10_000), "the weights are worth"),
        (np.r_[200.0, np.ones(1000)] * 1001 / 1200, np.ones(1001), "one row carries 17% of all weight"),
        (np.r_[np.zeros(500), np.ones(500)], np.ones(1000), "the mean weight is 0.500"),
        (np.ones(1000), np.r_[np.ones(4), np.zeros(996)], "4 rows have a reward"),
        (np.zeros(1000), np.ones(1000), "the weights are worth 0.0 rows"),
    ],
)
def test_too_thin_support_is_refused_with_its_reason(weights: np.ndarray, rewards: np.ndarray, reason: str) -> None:
    estimate = ips(rewards, weights_B=weights)
    assert reason in estimate.refusal
    assert np.isnan([estimate.low, estimate.high]).all()


def test_a_slate_counts_where_the_policy_s_rank_is_the_position_shown() -> None:
    generator = np.random.default_rng(2)
    num_requests, num_candidates, num_places = 6000, 4, 2
    requests = np.repeat(np.arange(num_requests), num_candidates)
    items = np.tile(np.arange(num_candidates), num_requests)
    positions = np.concatenate([generator.permutation(num_candidates) + 1 for _ in range(num_requests)])
    positions[positions > num_places] = 0
    chance = np.array([0.05, 0.1, 0.15, 0.2])[items] / np.maximum(positions, 1)
    rewards = (generator.random(len(items)) < chance * (positions > 0)).astype(float)
    ranks = ranks_in_requests(items.astype(float), requests=requests, ties=items)
    assert ranks[:4].tolist() == [4, 3, 2, 1]
    weights = slate_weights(ranks, positions_B=positions, propensity_B=np.full(len(items), 1 / num_candidates))
    placed = (positions > 0).astype(float)
    truth = (0.2 + 0.15 / 2) / 2
    for estimate in (
        ips(rewards, weights_B=weights, users=requests, is_decision_B=placed),
        snips(rewards, weights_B=weights, users=requests, is_decision_B=placed),
    ):
        assert estimate.refusal == ""
        assert estimate.support.rows == num_requests * num_places
        assert abs(estimate.value - truth) < 4 * estimate.standard_error
        assert estimate.low < estimate.value < estimate.high


def test_reward_estimates_of_a_user_do_not_depend_on_that_user_s_rewards() -> None:
    generator = np.random.default_rng(3)
    users = np.repeat(np.arange(100), 5)
    log_odds = generator.normal(-1, 1, 500)
    rewards = (generator.random(500) < 1 / (1 + np.exp(-log_odds))).astype(float)
    mine = users == 7
    before = cross_fit(log_odds, rewards, users=users).rewards(log_odds)
    after = cross_fit(log_odds, np.where(mine, 1 - rewards, rewards), users=users).rewards(log_odds)
    assert (before[mine] == after[mine]).all()
    assert (before[~mine] != after[~mine]).any()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"propensity_B has 1 values that are no probability, such as 0\.0"):
        importance_weights(np.ones(2), propensity_B=np.array([0.0, 0.5]))
    with pytest.raises(ValueError, match="num_folds is 5 for 2 users"):
        cross_fit(np.zeros(4), np.zeros(4), users=np.array([0, 0, 1, 1]))
    with pytest.raises(ValueError, match="level is 95"):
        ips(np.ones(100), weights_B=np.ones(100), level=95)
    with pytest.raises(ValueError, match="3 rewards for 2 weights"):
        ips(np.ones(3), weights_B=np.ones(2))
