"""Values of rankings on slates whose truth is planted: what each would really have earned, and who is better."""

import numpy as np
import pytest

from ranker.metrics import Codes, Floats
from ranker.off_policy import ips, slate_weights
from ranker.ranking_value import RankingValue, Slates, ranking_values, relative_gain

CANDIDATES, PLACES = 6, 3
FADING = np.array([1.0, 0.6, 0.4])


class World:
    """Requests of six candidates of known appeal, three of which are placed at random."""

    def __init__(self, seed: int, num_requests: int = 4000) -> None:
        chance = np.random.default_rng(seed)
        self.appeal_RK = chance.beta(1, 5, (num_requests, CANDIDATES))
        places_RK = chance.permuted(np.tile(np.arange(1, CANDIDATES + 1), (num_requests, 1)), axis=1)
        self.positions_RK = np.where(places_RK <= PLACES, places_RK, 0)
        seen_RK = np.r_[0.0, FADING][self.positions_RK]
        acted_RK = chance.random(seen_RK.shape) < self.appeal_RK * seen_RK
        self.slates = Slates(
            rewards_B=acted_RK.astype(float).ravel(),
            positions_B=self.positions_RK.ravel(),
            propensity_B=np.full(acted_RK.size, 1 / CANDIDATES),
            requests_B=np.repeat(np.arange(num_requests), CANDIDATES),
            users_B=np.repeat(np.arange(num_requests) // 3, CANDIDATES),
            ties_B=np.tile(np.arange(CANDIDATES), num_requests),
        )
        self.noise_RK = chance.normal(size=acted_RK.shape)

    def log_odds(self, positions_B: Codes) -> Floats:
        p_B = np.clip(self.appeal_RK.ravel() * np.r_[0.2, FADING, 0.2, 0.2, 0.2][positions_B], 1e-4, 0.99)
        return np.asarray(np.log(p_B / (1 - p_B)), dtype=np.float64)

    def scores(self, noise: float) -> np.ndarray:
        return (self.appeal_RK + noise * self.noise_RK).ravel()

    def truth(self, scores_B: np.ndarray) -> float:
        """Actions of a request under a ranking."""
        order_RK = np.argsort(-scores_B.reshape(self.appeal_RK.shape), axis=1)[:, :PLACES]
        return float((np.take_along_axis(self.appeal_RK, order_RK, axis=1) * FADING).sum(axis=1).mean())

    def values(self, **scores_B: np.ndarray) -> dict[str, RankingValue]:
        return ranking_values(self.slates, scores_B, log_odds=self.log_odds)


def test_values_come_near_the_truth_and_carry_the_formula() -> None:
    world = World(0)
    good, bad = world.scores(0.0), -world.scores(0.0)
    found = world.values(good=good, bad=bad)
    assert world.truth(good) > 2 * world.truth(bad)
    for name, scores_B in (("good", good), ("bad", bad)):
        for one in (found[name].ips, found[name].snips, found[name].dr):
            assert one.refusal == ""
            assert abs(one.value * PLACES - world.truth(scores_B)) < 4 * one.standard_error * PLACES
            assert one.low < one.value < one.high
            assert found[name].per_request == PLACES
    ranks_B = world.slates.ranks(good)
    weights_B = slate_weights(ranks_B, positions_B=world.slates.positions_B, propensity_B=world.slates.propensity_B)
    plain = ips(world.slates.rewards_B, weights_B=weights_B, is_decision_B=world.slates.placed_B)
    assert found["good"].ips.value == pytest.approx(plain.value, abs=1e-12)
    assert found["good"].dr_sums_U.sum() / world.slates.placed_B.sum() == pytest.approx(found["good"].dr.value)


def test_a_ranking_does_not_differ_from_itself_and_equal_scores_do_not_follow_the_places() -> None:
    world = World(1)
    same = world.values(one=world.scores(0.1), other=world.scores(0.1))
    gain = relative_gain(same["one"], same["other"])
    assert (gain.estimate, gain.interval()) == (0.0, (0.0, 0.0))
    constant = world.values(none=np.zeros(len(world.slates)))["none"]
    assert constant.ips.support.mean == pytest.approx(1, abs=4 * constant.ips.support.mean_standard_error)


def test_intervals_of_the_gain_hold_the_true_one() -> None:
    inside = 0
    for seed in range(40):
        world = World(seed, num_requests=1500)
        candidate, baseline = world.scores(0.3), world.scores(0.1)
        found = world.values(candidate=candidate, baseline=baseline)
        gain = relative_gain(found["candidate"], found["baseline"], repetitions=300, seed=seed)
        low, high = gain.interval(0.9)
        inside += low <= world.truth(candidate) / world.truth(baseline) - 1 <= high
    # 36 of 40 are expected, with a standard deviation of 2.
    assert inside >= 31


def test_candidates_that_did_not_land_show_in_the_mean_weight() -> None:
    world = World(2)
    slates, stays_B = world.slates, world.slates.positions_B > 0
    placed = Slates(**{name: getattr(slates, name)[stays_B] for name in Slates.__dataclass_fields__})

    def log_odds(positions_B: Codes) -> Floats:
        whole_B = np.zeros(len(slates), dtype=np.int64)
        whole_B[stays_B] = positions_B
        return world.log_odds(whole_B)[stays_B]

    found = ranking_values(placed, {"one": world.scores(0.0)[stays_B]}, log_odds=log_odds)["one"].snips
    assert found.support.mean == pytest.approx(CANDIDATES / PLACES, rel=0.05)
    assert "candidates" in found.refusal or "could not show" in found.refusal


def test_without_a_placed_candidate_nothing_is_estimated() -> None:
    slates = World(3, num_requests=20).slates
    nothing = Slates(
        **{name: getattr(slates, name) for name in Slates.__dataclass_fields__ if name != "positions_B"},
        positions_B=np.zeros(len(slates), dtype=np.int64),
    )
    with pytest.raises(ValueError, match="none of 120 candidates was placed"):
        ranking_values(nothing, {}, log_odds=lambda positions_B: np.zeros(len(positions_B)))
