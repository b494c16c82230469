from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from landed import breaches, bytes_of, rows_of

from lakehouse.dataset import Dataset
from lakehouse.home import Home
from simulator.sources import PUBLIC_LOGS, land


@pytest.fixture(scope="module")
def movielens(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return landed("movielens", tmp_path_factory.mktemp("movielens"))


@pytest.fixture(scope="module")
def open_bandit(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return landed("open-bandit", tmp_path_factory.mktemp("open-bandit"))


@pytest.fixture(params=["movielens", "open_bandit"])
def log(request: pytest.FixtureRequest) -> Home:
    home: Home = request.getfixturevalue(request.param)
    return home


def landed(name: str, root: Path) -> Home:
    home = Home(root)
    assert land(name, home) == PUBLIC_LOGS[name].dataset
    return home


def test_every_row_keeps_the_landing_contract(log: Home) -> None:
    assert breaches(log) == []


def test_names_are_unique_and_every_click_has_its_exposure(log: Home) -> None:
    exposures, clicks = rows_of(log, "exposures"), rows_of(log, "engagements")
    assert len({row["event_id"] for row in exposures}) == len(exposures)
    assert len({row["event_id"] for row in clicks}) == len(clicks)
    served_at = {(row["request_id"], row["item_id"]): row["served_at"] for row in exposures}
    for click in clicks:
        delay = time(click["engaged_at"]) - time(served_at[click["request_id"], click["item_id"]])
        assert delay == timedelta(seconds=1)


def test_states_are_known_strictly_before_the_first_exposure(log: Home) -> None:
    for stream, key in (("users", "user_id"), ("items", "item_id")):
        known_at = {row[key]: time(row["updated_at"]) for row in rows_of(log, stream)}
        first_served_at: dict[str, datetime] = {}
        for row in rows_of(log, "exposures"):
            first_served_at.setdefault(row[key], time(row["served_at"]))
        late = [name for name, first in first_served_at.items() if known_at[name] >= first]
        assert late == []


def test_the_contract_of_the_data_set_says_what_the_rows_say(log: Home) -> None:
    dataset = Dataset.load(log.landing)
    exposures = rows_of(log, "exposures")
    days = [time(row["served_at"]).date() for row in exposures]
    assert (min(days), max(days)) == (dataset.first_day, dataset.last_day)
    assert any(row["traffic"] == "random" for row in exposures) == dataset.random_slice
    assert (len({row["position"] for row in exposures}) > 1) == dataset.positions
    assert {row["action"] for row in rows_of(log, "engagements")} == set(dataset.actions)


def test_movielens_has_its_published_numbers(movielens: Home) -> None:
    assert len(rows_of(movielens, "exposures")) == 100_000
    assert len(rows_of(movielens, "engagements")) == 55_375
    assert len(rows_of(movielens, "users")) == 943
    assert len(rows_of(movielens, "items")) == 1_682


def test_a_movie_reads_as_in_the_log(movielens: Home) -> None:
    toy_story = next(row for row in rows_of(movielens, "items") if row["item_id"] == "1")
    assert toy_story["attributes"] == {
        "content_type": "movie",
        "categories": ["Animation", "Children's", "Comedy"],
        "published_at": "1995-01-01T00:00:00.000Z",
        "title": "Toy Story",
    }


def test_movielens_week_by_week_has_the_bytes_of_all_at_once(movielens: Home, home: Home) -> None:
    for until in (date(1997, 9, 22), date(1997, 9, 29), date(1997, 10, 6)):
        land("movielens", home, until=until)
    stepwise = bytes_of(home.landing)
    at_once = bytes_of(movielens.landing)
    assert len(rows_of(home, "exposures")) == 1_740 + 4_129 + 3_540
    assert all(at_once[name] == content for name, content in stepwise.items())


def test_open_bandit_has_its_published_rows_and_clicks(open_bandit: Home) -> None:
    policy_and_campaign = {
        row["request_id"]: ("random" if row["traffic"] == "random" else "bts", row["surface"])
        for row in rows_of(open_bandit, "exposures")
    }
    assert set(Counter(policy_and_campaign.values()).values()) == {10_000}
    clicks = Counter(policy_and_campaign[row["request_id"]] for row in rows_of(open_bandit, "engagements"))
    assert clicks == {
        ("random", "all"): 38,
        ("random", "men"): 46,
        ("random", "women"): 46,
        ("bts", "all"): 42,
        ("bts", "men"): 69,
        ("bts", "women"): 46,
    }
    assert Counter(row["item_id"].split("-")[0] for row in rows_of(open_bandit, "items")) == {
        "all": 80,
        "men": 34,
        "women": 46,
    }


def test_random_traffic_of_open_bandit_is_uniform_over_the_items_of_its_campaign(open_bandit: Home) -> None:
    num_items = {"all": 80, "men": 34, "women": 46}
    for row in rows_of(open_bandit, "exposures"):
        if row["traffic"] == "random":
            assert row["propensity"] == pytest.approx(1 / num_items[row["surface"]])
            assert row["item_id"].startswith(row["surface"])


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)
