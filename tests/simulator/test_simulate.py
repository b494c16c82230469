"""Claims about the world are tested against its truth; a bound of 4 standard errors fails by chance once in 16,000."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from landed import breaches, bytes_of, rows_of
from numpy.typing import NDArray

from lakehouse.dataset import ACTIONS, Dataset
from lakehouse.home import PROJECT, Home
from simulator.chance import draw
from simulator.files import ALL_DAYS, Period
from simulator.policy import NOISY_RENOWN, Policy
from simulator.simulate import simulate
from simulator.traffic import Requests
from simulator.world import CANDIDATES, RANDOM_SHARE, START, SURFACES, World


def simulate_small(
    home: Home,
    *,
    exposures: int = 6_000,
    weeks: int = 2,
    seed: int = 3,
    period: Period = ALL_DAYS,
    policy: Policy = NOISY_RENOWN,
) -> None:
    simulate(home, exposures=exposures, weeks=weeks, seed=seed, period=period, policy=policy)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("world"))
    simulate(home, exposures=150_000, weeks=2, seed=7)
    return home


@pytest.fixture(scope="module")
def log(home: Home) -> pd.DataFrame:
    """One row per exposure with its truth, and a column `did_<action>` for each action."""
    log = pd.DataFrame(rows_of(home, "exposures")).set_index("event_id")
    truth = [pq.read_table(path).to_pandas() for path in sorted(home.truth.glob("*.parquet"))]
    log = log.join(pd.concat(truth).set_index("event_id"), validate="one_to_one")
    for action in ACTIONS:
        log[f"did_{action}"] = False
    for row in rows_of(home, "engagements"):
        log.loc[row["event_id"].removesuffix("-" + row["action"]), f"did_{row['action']}"] = True
    return log


def test_every_row_keeps_the_landing_contract(home: Home) -> None:
    assert breaches(home) == []


def test_about_as_many_exposures_land_as_were_asked_for(log: pd.DataFrame) -> None:
    assert len(log) == pytest.approx(150_000, rel=0.05)


def test_truth_has_one_row_for_each_exposure(log: pd.DataFrame) -> None:
    assert log["click"].notna().all()


@pytest.mark.parametrize("action", ACTIONS)
def test_actions_happen_as_often_as_the_truth_says(log: pd.DataFrame, action: str) -> None:
    p = log[action]
    by_probability = pd.qcut(p[p > 0], 10, labels=False)
    for _, rows in log[p > 0].groupby(by_probability):
        surprise = (rows[f"did_{action}"] - rows[action]).sum() / np.sqrt((rows[action] * (1 - rows[action])).sum())
        assert abs(surprise) < 4
    assert not log.loc[p == 0, f"did_{action}"].any()


def test_truth_at_a_position_is_attention_times_truth_if_seen(log: pd.DataFrame) -> None:
    fading = {surface.name: surface.fading for surface in SURFACES}
    shown = log[log["impressed"]]
    attention = shown["position"] ** -shown["surface"].map(fading)
    for action in ACTIONS:
        np.testing.assert_allclose(shown[action], attention * shown[f"{action}_if_seen"], rtol=1e-12)


def test_long_clicks_and_saves_follow_a_click_and_a_hide_excludes_one(log: pd.DataFrame) -> None:
    assert log.loc[log["did_long_click"] | log["did_save"], "did_click"].all()
    assert not (log["did_hide"] & log["did_click"]).any()


def test_the_random_slice_lands_whole_with_propensities_that_fill_the_slate(log: pd.DataFrame) -> None:
    slots = {surface.name: surface.slots for surface in SURFACES}
    requests = log[log["traffic"] == "random"].groupby("request_id")
    assert (requests.size() == CANDIDATES).all()
    assert (requests["item_id"].nunique() == CANDIDATES).all()
    num_slots = requests["surface"].first().map(slots)
    # Each slot is filled by exactly one candidate, so over candidates and slots the probabilities add up to the slots.
    np.testing.assert_allclose(requests["propensity"].sum() * num_slots, num_slots)
    assert (requests["impressed"].sum() == num_slots).all()


def test_policy_traffic_lands_what_was_shown_and_nothing_else(log: pd.DataFrame) -> None:
    policy = log[log["traffic"] == "policy"]
    assert policy["impressed"].all()
    assert policy["propensity"].isna().all()
    slots = policy["surface"].map({surface.name: surface.slots for surface in SURFACES})
    assert (policy.groupby("request_id")["position"].transform("size") == slots).all()


def test_the_random_slice_is_a_fixed_share_of_requests(log: pd.DataFrame) -> None:
    random = log.groupby("request_id")["traffic"].first() == "random"
    standard_error = np.sqrt(RANDOM_SHARE * (1 - RANDOM_SHARE) / len(random))
    assert abs(random.mean() - RANDOM_SHARE) < 4 * standard_error


def test_position_bias_can_be_read_from_random_traffic_and_not_from_the_policys(log: pd.DataFrame) -> None:
    """Clicks over attention, first half of the slate against the second: even where chance ranks."""
    shown = log[log["impressed"]]
    slots = shown["surface"].map({surface.name: surface.slots for surface in SURFACES})
    first_half = shown["position"] <= slots / 2

    def lead_of_the_first_half(traffic: str) -> tuple[float, float]:
        rates, variances = [], []
        for half in (first_half, ~first_half):
            rows = shown[half & (shown["traffic"] == traffic)]
            weighted = rows["did_click"] / rows["examination"]
            rates.append(weighted.mean())
            variances.append(weighted.var() / len(rows))
        return np.log(rates[0] / rates[1]), np.sqrt(variances[0] / rates[0] ** 2 + variances[1] / rates[1] ** 2)

    lead, standard_error = lead_of_the_first_half("random")
    assert abs(lead) < 4 * standard_error
    assert standard_error < 0.2
    lead, standard_error = lead_of_the_first_half("policy")
    assert lead > 4 * standard_error


def test_items_come_and_go_and_segments_change(home: Home, log: pd.DataFrame) -> None:
    second_week = log["served_at"] >= str(START + timedelta(weeks=1))
    first, second = set(log.loc[~second_week, "item_id"]), set(log.loc[second_week, "item_id"])
    assert first - second
    assert second - first
    segments = pd.DataFrame(rows_of(home, "users"))
    assert segments["user_id"].duplicated().any()


def test_liking_drifts_between_weeks() -> None:
    world = World.draw(exposures=10_000, weeks=10, seed=1)
    users = np.arange(len(world.users.age_U))
    kept = [np.einsum("ud,ud->u", world.tastes(0, users), world.tastes(week, users)).mean() for week in (1, 5, 9)]
    assert 1 > kept[0] > kept[1] > kept[2]
    assert np.abs(np.diff(world.trend_WC, axis=0)).max() > 0.1


def test_a_week_can_bring_the_drift_of_many_or_none() -> None:
    usual, turned = (
        World.draw(exposures=10_000, weeks=4, seed=1, drift_W=drift_W) for drift_W in (None, np.array([1, 9, 0, 4]))
    )
    np.testing.assert_allclose(usual.angle_W, [0, 0.06, 0.12, 0.18])
    np.testing.assert_allclose(turned.angle_W, [0, 0.54, 0.54, 0.78])
    np.testing.assert_allclose(np.diff(turned.trend_WC, axis=0), np.diff(usual.trend_WC, axis=0) * [[3], [0], [2]])
    np.testing.assert_array_equal(turned.tastes(1, np.arange(9)), turned.tastes(2, np.arange(9)))


def test_days_differ_by_more_than_chance_because_users_have_moods(log: pd.DataFrame) -> None:
    """Residual clicks of one user on one day hang together, although each follows the truth."""
    shown = log[log["impressed"] & (log["traffic"] == "policy")]
    per_user = shown.groupby("user_id").agg(clicks=("did_click", "sum"), rows=("did_click", "size"))
    rate = per_user["clicks"].sum() / per_user["rows"].sum()
    dispersion = ((per_user["clicks"] - rate * per_user["rows"]) ** 2 / (rate * (1 - rate) * per_user["rows"])).mean()
    assert dispersion > 1.5


def test_the_same_seed_gives_the_same_bytes_week_by_week_and_another_seed_others(tmp_path: Path) -> None:
    simulate_small(Home(tmp_path / "at_once"))
    for week in range(2):
        monday = START + timedelta(weeks=week)
        simulate_small(Home(tmp_path / "by_week"), period=Period(since=monday, until=monday + timedelta(weeks=1)))
    simulate_small(Home(tmp_path / "other"), seed=4)
    for folder in ("landing", "truth"):
        at_once = bytes_of(tmp_path / "at_once" / folder)
        assert bytes_of(tmp_path / "by_week" / folder) == at_once
        other = bytes_of(tmp_path / "other" / folder)
        assert other.keys() == at_once.keys()
        assert all(other[name] != content for name, content in at_once.items())


def test_any_scorer_can_be_the_logging_policy(tmp_path: Path) -> None:
    def newest_first(world: World, requests: Requests) -> NDArray[np.float64]:
        return world.items.published_I[requests.item_RK].astype(float)

    simulate_small(Home(tmp_path), policy=Policy(newest_first, release_id="r1"))
    log = pd.DataFrame(rows_of(Home(tmp_path), "exposures"))
    assert set(log["release_id"]) == {"r1"}
    policy = log[log["traffic"] == "policy"].sort_values(["request_id", "position"])
    assert (policy.groupby("request_id")["score"].diff().dropna() <= 0).all()
    random = log[log["impressed"] & (log["traffic"] == "random")].sort_values(["request_id", "position"])
    falls = (random.groupby("request_id")["score"].diff().dropna() < 0).mean()
    assert 0.35 < falls < 0.65


def test_the_policy_changes_neither_who_asks_nor_what_chance_shows(tmp_path: Path) -> None:
    def newest_first(world: World, requests: Requests) -> NDArray[np.float64]:
        return world.items.published_I[requests.item_RK].astype(float)

    simulate_small(Home(tmp_path / "one"))
    simulate_small(Home(tmp_path / "other"), policy=Policy(newest_first))
    one, other = (pd.DataFrame(rows_of(Home(tmp_path / name), "exposures")) for name in ("one", "other"))
    assert set(one["request_id"]) == set(other["request_id"])
    columns = ["event_id", "user_id", "item_id", "position"]
    pd.testing.assert_frame_equal(
        one.loc[one["traffic"] == "random", columns].reset_index(drop=True),
        other.loc[other["traffic"] == "random", columns].reset_index(drop=True),
    )


def test_the_example_of_the_docs_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))
    page = (PROJECT / "docs" / "sources.md").read_text()
    example = page.partition("```python\n")[2].partition("```")[0]
    exec(example, {})
    assert rows_of(Home(tmp_path), "exposures")[0]["release_id"] == "release-7"


def test_scores_that_rank_nothing_are_refused(tmp_path: Path) -> None:
    def broken(world: World, requests: Requests) -> NDArray[np.float64]:
        return np.full(requests.item_RK.shape, np.nan)

    with pytest.raises(ValueError, match="must be finite"):
        simulate_small(Home(tmp_path), policy=Policy(broken))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weeks": 0}, "weeks is 0"),
        ({"exposures": 1_999}, "exposures is 1999"),
        ({"seed": -1}, "seed is -1"),
        ({"drift_W": np.ones(3)}, "drift_W is .*; it must be 2 numbers"),
        ({"drift_W": np.array([1, -1])}, "drift_W is .* at least 0"),
    ],
)
def test_impossible_worlds_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        World.draw(**({"exposures": 6_000, "weeks": 2, "seed": 3} | change))


def test_another_world_is_not_mixed_into_the_landing_zone(tmp_path: Path) -> None:
    simulate_small(Home(tmp_path), period=Period(until=START + timedelta(days=1)))
    with pytest.raises(FileExistsError, match="already holds simulated"):
        simulate_small(Home(tmp_path), seed=4)


def test_the_contract_of_the_data_set_names_all_weeks_from_the_first(tmp_path: Path) -> None:
    simulate_small(Home(tmp_path), period=Period(until=START + timedelta(days=1)))
    dataset = Dataset.load(Home(tmp_path).landing)
    assert (dataset.first_day, dataset.last_day) == (date(2024, 1, 1), date(2024, 1, 14))
    assert dataset.actions == ACTIONS


def test_draws_under_different_salts_are_uniform_and_independent() -> None:
    one, other = (draw(np.arange(100_000), salt=salt, seed=1) for salt in ("random slice", "logging"))
    for draws in (one, other):
        assert draws.min() >= 0
        assert draws.max() < 1
        assert abs(draws.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 100_000)
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(100_000)
