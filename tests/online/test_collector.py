"""The collector through HTTP and at its edges: what is kept, what is counted, and what a kill or a full disk leaves."""

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from test_feature_log import request

from lakehouse.home import Home
from lakehouse.landing import STREAMS
from online import segments as segments_module
from online.collector.app import EXAMPLE, application
from online.collector.events import MOST_BATCH_BYTES, MOST_EVENT_BYTES
from online.collector.keeping import logging_draw
from online.collector.window import Window
from online.feature_log import FeatureLog, LoggedRequest
from online.random_slice import is_random
from online.settings import Settings

SETTINGS = replace(Settings.load(), impressions_kept=0.3, random_share=0.05)
NAMES = [f"r{number}" for number in range(200)]
POLICY = [name for name in NAMES if not is_random(name, SETTINGS.random_share)]
RANDOM = [name for name in NAMES if is_random(name, SETTINGS.random_share)]


def answered(name: str) -> LoggedRequest:
    by_chance = is_random(name, SETTINGS.random_share)
    row = request(name)
    fields = {field: getattr(row, field) for field in row.__struct_fields__}
    fields |= {"traffic": "random", "propensity": 0.5, "positions": [1, None]} if by_chance else {}
    return LoggedRequest(**fields)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    FeatureLog(home.online / "features").write(map(answered, NAMES))
    return home


@pytest.fixture
def client(home: Home) -> Iterator[TestClient]:
    with TestClient(app_of(home)) as client:
        yield client


def app_of(home: Home) -> Any:
    return application(home, SETTINGS, log=FeatureLog(home.online / "features"), token=None)


def seen(name: str, item: str = "a", **changes: Any) -> dict[str, Any]:
    event = {"type": "impression", "event_id": f"s-{name}-{item}", "request_id": name, "item_id": item}
    return event | {"seen_at": "2026-03-02T12:00:01Z"} | changes


def clicked(name: str, item: str = "a", **changes: Any) -> dict[str, Any]:
    event = {"type": "engagement", "event_id": f"c-{name}-{item}", "request_id": name, "item_id": item}
    return event | {"action": "click", "engaged_at": "2026-03-02T12:00:04Z"} | changes


def send(client: TestClient, events: list[dict[str, Any]]) -> tuple[int, int, int, int]:
    """What was accepted, duplicate, quarantined and refused."""
    answer = client.post("/v1/events", json=events)
    assert answer.status_code == 200, answer.text
    counts = answer.json()
    assert sum(counts.values()) == len(events)
    return counts["accepted"], counts["duplicate"], counts["quarantined"], counts["refused"]


def landed(home: Home, stream: str) -> list[dict[str, Any]]:
    """The rows of a stream, landed or still in an open segment."""
    files = sorted((home.landing / stream).glob("*collector-*"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_of_impressions_the_share_is_kept_that_their_draw_says(client: TestClient, home: Home) -> None:
    assert send(client, [seen(name) for name in POLICY]) == (len(POLICY), 0, 0, 0)
    rows = landed(home, "exposures")
    expected = {f"{name}/a" for name in POLICY if logging_draw(name, "a") < 0.3}
    assert {row["event_id"] for row in rows} == expected
    assert 0.2 < len(expected) / len(POLICY) < 0.4
    row = rows[0]
    assert set(row) == {column.name for column in STREAMS["exposures"].columns}
    assert (row["impressed"], row["position"], row["logging_probability"]) == (True, 1, 0.3)
    assert row["features"] == {"user_clicks": 3.0, "affinity": 0.1, "item_categories": ["x"]}


def test_an_action_is_kept_with_all_that_makes_an_example(client: TestClient, home: Home) -> None:
    dropped = next(name for name in POLICY if logging_draw(name, "b") >= 0.3)
    assert send(client, [seen(dropped, "b"), clicked(dropped, "b")]) == (2, 0, 0, 0)
    assert landed(home, "exposures") == []
    (row,) = landed(home, "engagements")
    assert set(row) == {column.name for column in STREAMS["engagements"].columns}
    assert (row["served_at"], row["position"], row["traffic"], row["surface"], row["logging_probability"]) == (
        "2026-03-02T12:00:00.000Z",
        2,
        "policy",
        "home",
        0.3,
    )
    assert row["features"]["affinity"] is None


def test_of_a_random_request_every_candidate_lands_seen_or_not(client: TestClient, home: Home) -> None:
    name = RANDOM[0]
    assert send(client, [seen(name, "a")]) == (1, 0, 0, 0)
    assert send(client, [clicked(name, "a")]) == (1, 0, 0, 0)
    rows = landed(home, "exposures")
    assert [(row["item_id"], row["impressed"], row["position"]) for row in rows] == [
        ("a", False, None),
        ("b", False, None),
        ("a", True, 1),
    ]
    assert {(row["propensity"], row["logging_probability"]) for row in rows} == {(0.5, 1.0)}


def test_exact_duplicates_are_dropped_within_and_across_batches(client: TestClient, home: Home) -> None:
    event = clicked(POLICY[0])
    assert send(client, [event, event]) == (1, 1, 0, 0)
    assert send(client, [event]) == (0, 1, 0, 0)
    assert len(landed(home, "engagements")) == 1


def test_what_cannot_be_made_a_row_of_is_quarantined_with_its_reason(client: TestClient, home: Home) -> None:
    events = [
        clicked("nobody's"),
        clicked(POLICY[0], "z"),
        clicked(POLICY[0], action="stare"),
        seen(POLICY[0], seen_at="yesterday"),
        {"type": "guess"},
        {},
        clicked(POLICY[1]),
    ]
    assert send(client, events) == (1, 0, 6, 0)
    rows = [*landed(home, "exposures"), *landed(home, "engagements")]
    reasons = [row["quarantined"] for row in rows if "quarantined" in row]
    assert sorted(reasons) == ["unfit_event"] * 4 + ["unknown_item", "unknown_request"]
    assert all(row["why"] and json.loads(row["event"]) in events for row in rows if "quarantined" in row)


def test_an_event_that_is_too_large_is_refused_and_the_others_are_not(client: TestClient) -> None:
    large = clicked(POLICY[0]) | {"event_id": "x" * MOST_EVENT_BYTES}
    assert send(client, [large, clicked(POLICY[1])]) == (1, 0, 0, 1)


def test_lines_of_json_are_as_good_as_an_array(client: TestClient) -> None:
    lines = "\n".join(json.dumps(event) for event in (clicked(POLICY[0]), clicked(POLICY[1])))
    answer = client.post("/v1/events", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert answer.json()["accepted"] == 2


@pytest.mark.parametrize(
    ("body", "status"), [(b"[1, 2", 400), (b"[" + b" " * MOST_BATCH_BYTES + b"]", 413), (b"", 200), (b"[]", 200)]
)
def test_a_body_that_is_none_is_told_so(client: TestClient, body: bytes, status: int) -> None:
    assert client.post("/v1/events", content=body).status_code == status


def test_the_example_of_the_interface_is_an_event(client: TestClient) -> None:
    assert send(client, EXAMPLE)[3] == 0
    assert client.get("/openapi.json").json()["paths"]["/v1/events"]["post"]["requestBody"]


def test_a_full_disk_keeps_nothing_of_a_batch_and_takes_it_when_sent_again(
    client: TestClient, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert send(client, [clicked(POLICY[0])]) == (1, 0, 0, 0)
    real = os.write

    def write(descriptor: int, content: Any) -> int:
        real(descriptor, bytes(content)[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(segments_module.os, "write", write)
        answer = client.post("/v1/events", json=[clicked(POLICY[1])])
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert "No space left" in answer.json()["error"]
    assert send(client, [clicked(POLICY[1])]) == (1, 0, 0, 0)
    assert [row["request_id"] for row in landed(home, "engagements")] == POLICY[:2]


def test_what_a_killed_collector_left_lands_up_to_its_last_whole_line(home: Home) -> None:
    folder = home.landing / "engagements"
    folder.mkdir(parents=True)
    (folder / ".collector-0-17.open").write_bytes(b'{"whole": 1}\n{"half": ')
    with TestClient(app_of(home)):
        assert (folder / "collector-0-17.jsonl").read_bytes() == b'{"whole": 1}\n'
        assert not list(folder.glob(".*.open"))


def test_open_segments_land_when_it_ends_and_no_second_one_may_run_beside_it(home: Home) -> None:
    with TestClient(app_of(home)) as client:
        send(client, [clicked(POLICY[0])])
        assert not list((home.landing / "engagements").glob("*.jsonl"))
        with pytest.raises(RuntimeError, match="runs already"):
            app_of(home)
    assert len(list((home.landing / "engagements").glob("collector-0-*.jsonl"))) == 1


def test_segments_land_when_they_are_old_or_large(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments_module, "MOST_SEGMENT_BYTES", 1_000)
    with TestClient(app_of(home)) as client:
        send(client, [clicked(name) for name in POLICY[:20]])
        assert len(list((home.landing / "engagements").glob("*.jsonl"))) == 1


def test_figures_tell_the_bytes_that_were_saved(client: TestClient) -> None:
    send(client, [seen(name) for name in POLICY])
    lines = client.get("/metrics").text.splitlines()
    figures = {line.split(" ")[0]: float(line.split(" ")[1]) for line in lines if not line.startswith("#")}
    assert figures["stillhouse_collector_dropped_total"] > 100
    saved = figures["stillhouse_collector_saved_bytes_total"]
    assert saved / (saved + figures["stillhouse_collector_landed_bytes_total"]) == pytest.approx(0.7, abs=0.1)


def test_the_window_remembers_at_least_its_size_and_forgets_what_it_must() -> None:
    window = Window(100)
    assert all(window.add(f"e{number}") for number in range(250))
    window.discard(["e249"])
    assert window.add("e249")
    assert not any(window.add(f"e{number}") for number in range(151, 250))
    assert window.add("e0")
