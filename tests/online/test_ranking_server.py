"""The ranking server through HTTP, with a small service behind it."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_service import AS_OF, publish_states, release
from starlette.testclient import TestClient

from lakehouse.home import Home
from online.access import check_host, token_of
from online.server import app as server_app
from online.server.app import application
from online.server.ranking import Ranking, random_order
from online.server.standing import NotReadyError
from online.settings import Settings
from registry import Registry

SETTINGS = Settings.load()
ASK: dict[str, Any] = {
    "request": "r1",
    "user": "u1",
    "context": {"surface": "home", "at": AS_OF.isoformat()},
    "candidates": [{"item": f"i{number}", "features": {"affinity": number / 10}} for number in range(20)],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(Path(tmp_path_factory.mktemp("home")))
    publish_states(home)
    release(home, seed=1)
    return home


@pytest.fixture(scope="module")
def logged() -> list[Ranking]:
    return []


@pytest.fixture(scope="module")
def client(home: Home, logged: list[Ranking]) -> Iterator[TestClient]:
    settings = replace(SETTINGS, random_share=0.0)
    with TestClient(application(home, settings, log=logged.extend, token=None)) as client:
        yield client


def ask(client: TestClient, **changes: Any) -> Any:
    answer = client.post("/v1/rank", json=ASK | changes)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_candidates_come_back_in_the_order_of_what_they_are_worth(client: TestClient, home: Home) -> None:
    answer = ask(client)
    assert {one["item"] for one in answer["ranked"]} == {f"i{number}" for number in range(20)}
    assert [one["position"] for one in answer["ranked"]] == list(range(1, 21))
    utilities = [one["utility"] for one in answer["ranked"]]
    assert utilities == sorted(utilities, reverse=True)
    assert utilities == [one["probabilities"]["click"] for one in answer["ranked"]]
    assert len(set(utilities)) > 10
    assert answer["release"] == Registry(home.releases).production()
    assert answer["traffic"] == "policy"
    assert answer["features_as_of"] == AS_OF.isoformat().replace("+00:00", "Z")


def test_a_feature_that_the_request_brings_counts(client: TestClient) -> None:
    low, high = (
        ask(client, candidates=[{"item": "i7", "features": {"affinity": affinity}}])["ranked"][0]["utility"]
        for affinity in (0.0, 4.0)
    )
    assert high > low + 0.1


def test_users_and_items_that_nobody_knows_are_ranked_too(client: TestClient) -> None:
    answer = ask(client, user="nobody", candidates=["new-1", "new-2", "i3"])
    assert {one["item"] for one in answer["ranked"]} == {"new-1", "new-2", "i3"}


def test_a_limit_cuts_the_answer_and_not_the_ranking(client: TestClient) -> None:
    assert ask(client, limit=3)["ranked"] == ask(client)["ranked"][:3]


def test_what_was_ranked_is_logged_before_it_is_told(client: TestClient, logged: list[Ranking]) -> None:
    logged.clear()
    ask(client, request="r-logged")
    (ranking,) = logged
    assert ranking.request.request == "r-logged"
    shared, each = ranking.columns.logged(ranking.order_K[:2])
    assert shared["user_segment"] == "regular"
    assert shared["hour_of_day"] == "0"
    assert each["item_id"] == [one["item"] for one in ask(client)["ranked"][:2]]
    assert len(each["affinity"]) == 2
    record = ranking.logged()
    assert record.item_ids == [one["item"] for one in ask(client)["ranked"]]
    assert (record.served_at, record.positions[-1], record.propensity) == ("2026-03-02T00:00:00.000Z", 20, None)


@pytest.mark.parametrize(
    ("changes", "said", "where"),
    [
        ({"candidates": []}, "length >= 1", "$.candidates"),
        ({"candidates": ["a", "b", "a"]}, "['a'] more than once", "body"),
        ({"candidates": [f"i{number}" for number in range(2_049)]}, "at most 2048", "body"),
        ({"user": 7}, "Expected `str`, got `int`", "$.user"),
        ({"context": {"surface": "home", "at": "2026-03-02T00:00:00"}}, "no zone", "body"),
        ({"context": {"surface": "home", "at": "0001-01-01T00:00:00+23:59"}}, "in no year", "$.context"),
        ({"context": {"surface": "home", "at": "9999-12-31T23:59:59-23:59"}}, "in no year", "$.context"),
        ({"candidates": [{"item": "a", "features": {"affinity": "high"}}]}, "Expected `float | null`", "features"),
        ({"more": 1}, "unknown field `more`", "body"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong_and_where(
    client: TestClient, changes: dict[str, Any], said: str, where: str
) -> None:
    answer = client.post("/v1/rank", json=ASK | changes)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert where in answer.json()["where"]
    assert answer.json()["what_to_do"]


def test_a_body_that_is_too_large_is_refused_before_it_is_parsed(client: TestClient) -> None:
    answer = client.post("/v1/rank", content=b"[" * (server_app.MOST_BYTES + 1))
    assert answer.status_code == 413


@pytest.mark.parametrize(("length", "status"), [("²".encode("latin-1"), 200), (b"9" * 5_000, 413), (b"-1", 200)])
def test_a_length_that_is_none_is_no_error_of_ours(client: TestClient, length: bytes, status: int) -> None:
    answer = client.post("/v1/rank", content=json.dumps(ASK).encode(), headers={b"Content-Length": length})
    assert answer.status_code == status


def test_chance_orders_its_share_of_requests_uniformly_and_the_same_when_asked_again(home: Home) -> None:
    settings = replace(SETTINGS, random_share=0.3)
    with TestClient(application(home, settings, log=lambda _: None, token=None)) as client:
        answers = [ask(client, request=f"r{number}", candidates=["i1", "i2", "i3"]) for number in range(300)]
        assert ask(client, request="r7", candidates=["i1", "i2", "i3"]) == answers[7]
    random = [one for one in answers if one["traffic"] == "random"]
    assert 60 <= len(random) <= 120
    first = Counter(one["ranked"][0]["item"] for one in random)
    assert min(first.values()) > len(random) / 6


def test_every_order_of_chance_is_as_likely() -> None:
    orders = Counter(tuple(random_order(f"r{number}", 3).tolist()) for number in range(6_000))
    assert len(orders) == 6
    assert np.abs(np.array(list(orders.values())) - 1_000).max() < 5 * 30


def test_a_promotion_and_a_revert_reach_the_server_and_what_it_cannot_load_does_not(tmp_path: Path) -> None:
    home = Home(tmp_path)
    publish_states(home)
    first = release(home, seed=1)
    registry = Registry(home.releases)
    with TestClient(application(home, SETTINGS, log=lambda _: None, token=None)) as client:
        assert ask(client)["release"] == first
        second = release(home, seed=2, week="2026-03-09")
        wait_for(lambda: ask(client)["release"] == second)
        registry.revert(reason="for a test")
        wait_for(lambda: ask(client)["release"] == first)
        publish_states(home, as_of=AS_OF.replace(day=3))
        wait_for(lambda: ask(client)["features_as_of"].startswith("2026-03-03"))
        third = release(home, seed=3, week="2026-03-16")
        wait_for(lambda: ask(client)["release"] == third)
        path = home.releases / first / "serving.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        fourth = release(home, seed=4, week="2026-03-23", promote=False)
        broken = home.releases / fourth / "golden.json"
        golden = json.loads(broken.read_bytes())
        golden["probabilities"]["click"][0] *= 0.9
        broken.write_text(json.dumps(golden))
        assert ask(client)["release"] == third


def test_a_release_that_scores_its_golden_rows_differently_is_not_served(home: Home, monkeypatch: Any) -> None:
    monkeypatch.setattr("online.server.model.golden_error", lambda *_, **__: 0.01)
    with TestClient(application(home, SETTINGS, log=lambda _: None, token=None)) as client:
        answer = client.get("/ready")
        assert answer.status_code == 503
        assert "golden rows score 0.01 log-odds" in answer.json()["where"]
        assert client.post("/v1/rank", json=ASK).status_code == 503
        assert client.get("/live").status_code == 200


def test_what_was_refused_is_tried_again_now_and_then_and_not_at_every_look(home: Home, monkeypatch: Any) -> None:
    tried = []

    def load(*_: Any, **__: Any) -> Any:
        tried.append(1)
        raise NotReadyError("its golden rows score differently")

    monkeypatch.setattr(server_app, "load", load)
    server = server_app.Server(home, SETTINGS, log=lambda _: None)
    for _ in range(5):
        server.look()
    assert (len(tried), server.not_ready) == (1, "its golden rows score differently")
    monkeypatch.setattr(server_app, "monotonic", lambda: time.monotonic() + server_app.TRY_AGAIN_S)
    server.look()
    assert len(tried) == 2


def test_without_a_release_it_says_what_is_missing(tmp_path: Path) -> None:
    with TestClient(application(Home(tmp_path), SETTINGS, log=lambda _: None, token=None)) as client:
        assert "stillhouse retrain" in client.get("/ready").json()["where"]


def test_who_lacks_the_token_learns_nothing_but_that_it_lives(home: Home) -> None:
    token = "a token that nobody guesses"
    with TestClient(application(home, SETTINGS, log=lambda _: None, token=token)) as client:
        assert client.post("/v1/rank", json=ASK).status_code == 401
        assert client.get("/metrics").status_code == 401
        assert client.get("/live").status_code == 200
        allowed = client.post("/v1/rank", json=ASK, headers={"Authorization": f"Bearer {token}"})
        assert allowed.status_code == 200


def test_an_address_that_others_reach_needs_a_token() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        check_host(host, token=None)
    for host in ("0.0.0.0", "::", "10.0.0.7", "example.org"):
        with pytest.raises(ValueError, match="which others can reach"):
            check_host(host, token=None)
        check_host(host, token="a token that nobody guesses")


def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a token that nobody guesses\n")
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        token_of(tmp_path)
    (tmp_path / "token").chmod(0o600)
    assert token_of(tmp_path) == "a token that nobody guesses"


def test_figures_and_interface_are_there(client: TestClient) -> None:
    ask(client)
    figures = client.get("/metrics").text
    assert "stillhouse_rank_requests_total{" in figures
    assert "process_resident_memory_bytes" in figures
    schema = client.get("/openapi.json").json()
    assert schema["paths"]["/v1/rank"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert "RankRequest" in schema["components"]["schemas"]


def wait_for(holds: Any, *, seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to hold in time"
        time.sleep(0.05)
