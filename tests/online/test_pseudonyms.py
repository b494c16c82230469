"""Hashed fields: the same row joins as before, and no name that was hashed is in anything that is written."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from small_service import AS_OF, publish_states, release
from starlette.testclient import TestClient

from cli.main import stillhouse
from decisions.draw import draw
from lakehouse.home import Home
from online.collector.app import application as collector
from online.feature_log import FeatureLog
from online.pseudonyms import KEY_VARIABLE, Pseudonyms, pseudonym
from online.request_log import RequestLog
from online.server import app as app_of_server
from online.server.app import application as server
from online.settings import FIELDS, Settings
from tests.written import written

KEY = "a key that nobody can guess 0123"
SETTINGS = replace(Settings.load(), hashed=FIELDS, impressions_kept=1.0, random_share=0.3)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


def hashed(field: str, name: str) -> str:
    return pseudonym(name, field=field, key=KEY)


@contextmanager
def service(home: Home) -> Iterator[tuple[TestClient, TestClient]]:
    """A ranking server and a collector of one home."""
    log = FeatureLog(home.online / "features")
    ranks = server(
        home,
        SETTINGS,
        log=lambda rankings: log.write(one.logged() for one in rankings),
        requests=RequestLog(home),
        token=None,
    )
    with TestClient(ranks) as ranking, TestClient(collector(home, SETTINGS, log=log, token=None)) as collecting:
        yield ranking, collecting


def asked(user: str, request: str, items: list[str]) -> dict[str, Any]:
    context = {"surface": "home", "at": AS_OF.isoformat()}
    candidates = [{"item": item, "features": {"affinity": 0.1}} for item in items]
    return {"request": request, "user": user, "context": context, "candidates": candidates}


def done(request: str, item: str, event: str) -> dict[str, Any]:
    named = {"event_id": event, "request_id": request, "item_id": item}
    return named | {"type": "engagement", "action": "click", "engaged_at": AS_OF.isoformat()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose states are known by hashed ids, as the lake has them."""
    home = Home(tmp_path_factory.mktemp("home"))
    publish_states(home, name_user=lambda name: hashed("user_id", name), name_item=lambda name: hashed("item_id", name))
    release(home, seed=1)
    return home


def home_beside(trained: Home, root: Path) -> Home:
    """Another home with the same release and snapshot, and nothing written yet."""
    home = Home(root)
    home.online.mkdir(parents=True)
    home.releases.symlink_to(trained.releases)
    (home.online / "snapshots").symlink_to(trained.online / "snapshots")
    return home


def test_a_service_speaks_its_own_names_and_its_rows_hold_the_hashed_ones(trained: Home, tmp_path: Path) -> None:
    home = home_beside(trained, tmp_path)
    with service(home) as (ranking, collecting):
        answer = ranking.post("/v1/rank", json=asked("u1", "r1", ["i1", "i2"])).json()
        assert answer["request"] == "r1"
        assert {one["item"] for one in answer["ranked"]} == {"i1", "i2"}
        assert collecting.post("/v1/events", json=[done("r1", "i1", "e1")]).json()["accepted"] == 1
    (file,) = (home.landing / "engagements").glob("*.jsonl")
    row = json.loads(file.read_text())
    named = {"user_id": "u1", "item_id": "i1", "request_id": "r1", "event_id": "e1"}
    assert {field: row[field] for field in FIELDS} == {field: hashed(field, name) for field, name in named.items()}


def test_a_user_is_found_in_a_snapshot_that_knows_hashed_ids(trained: Home, tmp_path: Path) -> None:
    home = home_beside(trained, tmp_path)
    with service(home) as (ranking, _):
        ranking.post("/v1/rank", json=asked("u1", "known", ["i1"]))
        ranking.post("/v1/rank", json=asked("a stranger", "unknown", ["i1"]))
    log = FeatureLog(home.online / "features").read(hashed("request_id", name) for name in ("known", "unknown"))
    known, unknown = (log[hashed("request_id", name)].shared["user_segment"] for name in ("known", "unknown"))
    assert (known, unknown) == ("regular", "unknown")


def test_both_services_draw_by_the_hashed_request(trained: Home, tmp_path: Path) -> None:
    home = home_beside(trained, tmp_path)
    with service(home) as (ranking, _):
        for number in range(40):
            traffic = ranking.post("/v1/rank", json=asked("u1", f"r{number}", ["i1", "i2"])).json()["traffic"]
            is_random = draw(hashed("request_id", f"r{number}"), salt="random-traffic-1") < SETTINGS.random_share
            assert traffic == ("random" if is_random else "policy")


# No such name is part of anything that is written for another reason.
NAMES = st.text(min_size=1, max_size=12).map(lambda text: f"person<{text}>'\"\\é")
JUNK = st.recursive(
    st.none() | st.booleans() | NAMES | st.sampled_from(["impression", "engagement", "click"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=6,
)


def test_no_name_that_is_hashed_stands_in_any_written_byte(trained: Home, tmp_path: Path) -> None:
    home = home_beside(trained, tmp_path)
    with service(home) as (ranking, collecting):

        @settings(max_examples=60, deadline=None, database=None)
        @given(
            user=NAMES, request=NAMES, item=NAMES, event=NAMES, junk=st.lists(JUNK, max_size=6), cut=st.integers(1, 40)
        )
        def send(user: str, request: str, item: str, event: str, junk: list[Any], cut: int) -> None:
            answer = ranking.post("/v1/rank", json=asked(user, request, [item, "i2"]))
            assert answer.status_code == 200, answer.text
            good = done(request, item, event)
            unfit = [good | {"action": user}, good | {"type": user}, good | {user: 1}, good | {"event_id": [user]}]
            events = [good, done(user, item, event + "2"), done(request, user, event + "3"), *unfit, *junk]
            lines = b"\n".join(msgspec.json.encode(one) for one in events)
            answer = collecting.post("/v1/events", content=lines + b"\n" + msgspec.json.encode(good)[:-cut])
            assert answer.json()["quarantined"] >= len(unfit)

        send()
    rows = [file.read_text().splitlines() for file in home.landing.rglob("*.jsonl")]
    assert sum(map(len, rows)) > 300
    for place, text in written(home.root):
        assert "person<" not in text, place


def test_a_request_that_could_not_be_ranked_is_noted_by_its_hashed_names(
    trained: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_beside(trained, tmp_path)
    with service(home) as (ranking, _), monkeypatch.context() as patch:
        patch.setattr(app_of_server.ranking, "rank", lambda *_, **__: 1 / 0)
        assert ranking.post("/v1/rank", json=asked("u1", "r1", ["i1"])).status_code == 500
    (file,) = (home.landing / "requests").glob("*.jsonl")
    row = json.loads(file.read_text())
    named = (row["request_id"], row["user_id"], row["failed"])
    assert named == (hashed("request_id", "r1"), hashed("user_id", "u1"), True)


def test_of_what_is_no_event_the_fault_lands_and_no_word_of_it(trained: Home, tmp_path: Path) -> None:
    home = home_beside(trained, tmp_path)
    with service(home) as (_, collecting):
        collecting.post("/v1/events", json=[done("r1", "i1", "e1") | {"action": "stare at u1"}])
    (file,) = (home.landing / "exposures").glob("*.jsonl")
    assert json.loads(file.read_text()) == {
        "quarantined": "unfit_event",
        "why": "Invalid enum value … - at `$.action`",
        "event": None,
    }


def test_without_a_key_no_service_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    home = Home(tmp_path)
    for start in (
        lambda: server(home, SETTINGS, log=lambda _: None, token=None),
        lambda: collector(home, SETTINGS, log=FeatureLog(home.online / "features"), token=None),
    ):
        with pytest.raises(ValueError, match="there is no key: set STILLHOUSE_HASH_KEY"):
            start()
    home.online.mkdir(exist_ok=True)
    file = home.online / "hash-key"
    file.write_text(KEY)
    file.chmod(0o640)
    with pytest.raises(ValueError, match="can be read by others"):
        Pseudonyms.of_home(FIELDS, home.online)
    file.chmod(0o600)
    assert Pseudonyms.of_home(FIELDS, home.online).of("user_id", "u1") == hashed("user_id", "u1")
    file.write_text("short")
    with pytest.raises(ValueError, match="holds 5 characters") as refusal:
        Pseudonyms.of_home(FIELDS, home.online)
    assert "short" not in str(refusal.value)


def test_a_key_is_not_looked_for_where_nothing_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    assert Pseudonyms.of_home((), tmp_path).of("user_id", "u1") == "u1"


def test_the_same_name_has_other_pseudonyms_in_another_field_and_under_another_key() -> None:
    other = pseudonym("u1", field="user_id", key=KEY + "!")
    assert len({hashed("user_id", "u1"), hashed("item_id", "u1"), hashed("user_id", "u2"), other}) == 4


def test_the_command_gives_what_the_services_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))
    told = CliRunner().invoke(stillhouse, ["hash-id", "u1", "u2"])
    assert told.output.splitlines() == [hashed("user_id", "u1"), hashed("user_id", "u2")]
    piped = CliRunner().invoke(stillhouse, ["hash-id", "--field", "item_id"], input="i1\n")
    assert piped.output.splitlines() == [hashed("item_id", "i1")]
    assert KEY not in told.output + piped.output
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if os.path.isfile(path))


def test_a_field_that_cannot_be_hashed_is_refused_with_those_that_can() -> None:
    with pytest.raises(ValueError, match=r"hashed names \['surface'\]; the fields that can be hashed are"):
        replace(SETTINGS, hashed=("surface",))
