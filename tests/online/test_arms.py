"""Who is answered by which release, what a failing one does to others, and what the request log says of it."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_service import AS_OF, publish_states, release
from starlette.testclient import TestClient

from decisions.assignment import Arm, arm_of
from lakehouse.home import Home
from online.request_log import RequestLog, RequestRow
from online.server.app import application
from online.server.model import ServedModel
from online.server.standing import arms_of
from online.settings import Settings
from registry import Holdouts, Registry

SETTINGS = replace(Settings.load(), random_share=0.0)
USERS = [f"u{number}" for number in range(200)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The second release in production, the first held out, the third the canary of half of the others."""
    home = Home(Path(tmp_path_factory.mktemp("home")))
    publish_states(home)
    registry = Registry(home.releases)
    first, second, third = (
        release(home, seed=seed, week=week, promote=False)
        for seed, week in enumerate(("2026-03-02", "2026-03-09", "2026-03-16"))
    )
    registry.promote(first, expected_version=0, reason="the first")
    registry.promote(
        second, expected_version=1, reason="better", holdouts=Holdouts(share=0.2, long_share=0.1, long_days=28)
    )
    registry.start_canary(third, share=0.5, expected_version=2, reason="the gate passed")
    return home


@pytest.fixture
def client(home: Home) -> Iterator[TestClient]:
    with TestClient(application(home, SETTINGS, log=lambda _: None, requests=RequestLog(home), token=None)) as client:
        yield client


def ask(client: TestClient, user: str, *, request: str) -> dict[str, Any]:
    asked = {
        "request": request,
        "user": user,
        "context": {"surface": "home", "at": AS_OF.isoformat()},
        "candidates": [{"item": f"i{number}", "features": {"affinity": number / 10}} for number in range(5)],
    }
    answer = client.post("/v1/rank", json=asked)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def rows(home: Home) -> dict[str, RequestRow]:
    """What has landed, by request."""
    lines = [line for path in (home.landing / "requests").glob("*.jsonl") for line in path.read_bytes().splitlines()]
    return {row.request_id: row for row in (msgspec.json.decode(line, type=RequestRow) for line in lines)}


def expected(home: Home) -> dict[str, Arm]:
    among = arms_of(Registry(home.releases).pointer())
    return {user: arm_of(user, among=among) for user in USERS}


def test_every_user_is_answered_by_the_release_of_their_arm_and_it_is_logged(home: Home) -> None:
    with TestClient(application(home, SETTINGS, log=lambda _: None, requests=RequestLog(home), token=None)) as client:
        answers = {user: ask(client, user, request=f"arm-{user}") for user in USERS}
    arms = expected(home)
    assert {user: answer["release"] for user, answer in answers.items()} == {
        user: arm.release for user, arm in arms.items()
    }
    found = Counter(arm.name for arm in arms.values())
    assert found["production"] > found["holdout"] > 0
    assert found["canary"] > found["long-holdout"] > 0
    landed = rows(home)
    for user, arm in arms.items():
        row = landed[f"arm-{user}"]
        assert (row.user_id, row.arm, row.release_id, row.failed) == (user, arm.name, arm.release, False)
        assert (row.pointer_version, row.canary_share, row.num_candidates) == (3, 0.5, 5)
        assert 0 < row.ranked_ms < row.latency_ms
        assert row.memory_bytes > 10_000_000


def test_a_canary_that_fails_is_answered_for_by_production_and_counted_against_itself(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms, ranks = expected(home), ServedModel.probabilities
    canary = Registry(home.releases).pointer().canary

    def probabilities(model: ServedModel, requests: Any) -> Any:
        if model.release == canary:
            raise FloatingPointError("not a number")
        return ranks(model, requests)

    with TestClient(application(home, SETTINGS, log=lambda _: None, requests=RequestLog(home), token=None)) as client:
        monkeypatch.setattr(ServedModel, "probabilities", probabilities)
        answers = {user: ask(client, user, request=f"fail-{user}") for user in USERS[:40]}
        metrics = client.get("/metrics").text
    production = Registry(home.releases).production()
    of_canary = [user for user in answers if arms[user].name == "canary"]
    assert {answers[user]["release"] for user in of_canary} == {production}
    landed = rows(home)
    assert {user for user in answers if landed[f"fail-{user}"].failed} == set(of_canary)
    assert {landed[f"fail-{user}"].arm for user in of_canary} == {"canary"}
    assert f'stillhouse_rank_failures_total{{release="{canary}"}} {len(of_canary)}.0' in metrics


def test_where_production_fails_it_is_told_and_logged_and_other_arms_are_answered(
    home: Home, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms, ranks = expected(home), ServedModel.probabilities
    production = Registry(home.releases).production()

    def probabilities(model: ServedModel, requests: Any) -> Any:
        if model.release == production:
            raise FloatingPointError("not a number")
        return ranks(model, requests)

    monkeypatch.setattr(ServedModel, "probabilities", probabilities)
    asked = {"context": {"surface": "home"}, "candidates": ["i1"]}
    for user in USERS[:20]:
        answer = client.post("/v1/rank", json={"request": f"down-{user}", "user": user, **asked})
        if arms[user].name == "production":
            assert answer.status_code == 500
            assert answer.json()["error"] == "ranking failed: FloatingPointError"
        else:
            assert answer.json()["release"] == arms[user].release


def test_rows_wait_for_a_disk_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    log = RequestLog(home)
    row = RequestRow(
        request_id="r1",
        user_id="u1",
        surface="home",
        served_at="2026-03-02T00:00:00.000Z",
        traffic="policy",
        release_id="2026-03-02-0a1b2c3d",
        arm="production",
        canary_share=None,
        pointer_version=1,
        failed=False,
        latency_ms=4.5,
        ranked_ms=2.5,
        num_candidates=5,
        memory_bytes=1,
    )

    async def written() -> None:
        log.add(row)
        with monkeypatch.context() as full:
            full.setattr("online.segments.os.write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
            await log.flush()
        assert rows(home) == {}
        await log.close()

    asyncio.run(written())
    assert rows(home) == {"r1": row}


def test_two_servers_of_one_home_answer_alike_and_each_lands_its_own_rows(home: Home) -> None:
    of_first, of_second = RequestLog(home, name="a"), RequestLog(home, name="b")
    with pytest.raises(RuntimeError, match="server a runs already in this home; give this one another --name"):
        RequestLog(home, name="a")
    with (
        TestClient(application(home, SETTINGS, log=lambda _: None, requests=of_first, token=None)) as first,
        TestClient(application(home, SETTINGS, log=lambda _: None, requests=of_second, token=None)) as second,
    ):
        for user in USERS[:20]:
            one, other = (ask(client, user, request=f"two-{user}") for client in (first, second))
            assert one == other
    landed = {path.name.split("-")[1] for path in (home.landing / "requests").glob("*.jsonl")}
    assert {"a", "b"} <= landed
