"""Landing files into raw.* on a lake of their own: every line by its fate, whatever is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lakehouse import server, session
from lakehouse.home import Home
from lakehouse.ingest import IngestError, ingest
from lakehouse.ingest.judge import REASONS
from lakehouse.ingest.ledger import Ledger
from online.collector.events import Unfit
from online.collector.keeping import quarantine_line

pytestmark = pytest.mark.lake

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home of this file's own: its servers are killed, and its raw tables hold rows that nobody else wants."""
    home = Home(tmp_path_factory.mktemp("ingest").resolve())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILLHOUSE_HOME", str(home.root))
        patch.setenv("STILLHOUSE_MEMORY", "2g")
        for name in ("STILLHOUSE_CONNECT_PORT", "STILLHOUSE_JDBC_PORT", "SPARK_REMOTE"):
            patch.delenv(name, raising=False)
        yield home
        server.stop(home)


def exposure(event_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "request_id": "r1",
        "user_id": "u1",
        "item_id": "i1",
        "position": 1,
        "surface": "home",
        "served_at": "2026-01-31T12:00:00Z",
        "impressed": True,
        "traffic": "policy",
        "release_id": None,
        "propensity": None,
        "logging_probability": 0.1,
        "logging_draw": 0.05,
        "score": 0.25,
        "features": {"affinity": 0.5},
        "features_as_of": None,
    } | changes


def engagement(event_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "request_id": "r1",
        "user_id": "u1",
        "item_id": "i1",
        "action": "click",
        "value": None,
        "engaged_at": "2026-01-31T12:01:00Z",
    } | changes


def encoded(row: dict[str, Any], **to_text: Any) -> bytes:
    return json.dumps(row, **to_text).encode()


def land(home: Home, name: str, lines: list[bytes]) -> Path:
    path = home.landing / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def test_each_kind_of_misfit_ends_in_quarantine_with_its_reason(home: Home) -> None:
    def without(name: str) -> dict[str, Any]:
        return {key: value for key, value in exposure("x").items() if key != name}

    good = encoded(exposure("good"))
    misfits: list[tuple[bytes, str, str | None]] = [
        (b'{"event_id": "x", ', "broken_json", None),
        (encoded(exposure("x", score=float("nan"))), "broken_json", None),
        (encoded(exposure("x", score=float("inf"))), "broken_json", None),
        (good.replace(b'"affinity": 0.5', b'"affinity": 0.5, "affinity": 0.6'), "broken_json", None),
        (good.replace(b'"', b"'"), "broken_json", None),
        (good[:-1] + b', "user_id": "u2"}', "duplicate_key", None),
        (good + b" trailing", "trailing_text", None),
        (good + good, "trailing_text", None),
        (good + b"] tail", "trailing_text", None),
        (b"[" + good + b"]", "not_an_object", None),
        (b"[]", "not_an_object", None),
        *(
            (quarantine_line(reason, Unfit(b'{"type": "guess"}', "because")).rstrip(), reason, None)
            for reason in ("unfit_event", "unknown_request", "unknown_item")
        ),
        (b'{"quarantined": "made up"}', "unknown_key", "quarantined"),
        (b"null", "not_an_object", None),
        (b"17", "not_an_object", None),
        (b"", "blank_line", None),
        (b" \t\r", "blank_line", None),
        (b"\xef\xbb\xbf" + good, "byte_order_mark", None),
        (good.replace(b"u1", b"\xff1"), "not_utf8", None),
        (encoded(exposure("x", features={"text": "x" * 10_000_000})), "row_too_long", None),
        (encoded(exposure("x", colour="red")), "unknown_key", "colour"),
        (encoded(without("position")), "missing_key", "position"),
        (encoded(without("score")), "missing_key", "score"),
        (encoded(exposure("x", user_id=None)), "null_not_allowed", "user_id"),
        (encoded(exposure("x", features=None)), "null_not_allowed", "features"),
        (encoded(exposure("x", user_id=17)), "wrong_type", "user_id"),
        (encoded(exposure("x", score="0.5")), "wrong_type", "score"),
        (encoded(exposure("x", position=1.5)), "wrong_type", "position"),
        (encoded(exposure("x", impressed="true")), "wrong_type", "impressed"),
        (encoded(exposure("x", served_at=1767225600)), "wrong_type", "served_at"),
        (encoded(exposure("x", features=[1])), "wrong_type", "features"),
        (encoded(exposure("")), "empty_string", "event_id"),
        (encoded(exposure("x", item_id="  ")), "empty_string", "item_id"),
        (encoded(exposure("x", traffic="bandit")), "unknown_value", "traffic"),
        (encoded(exposure("x", served_at="2026-01-31T12:00:00")), "not_a_time", "served_at"),
        (encoded(exposure("x", served_at="2026-02-30T12:00:00Z")), "not_a_time", "served_at"),
        (encoded(exposure("x", served_at="31.1.2026")), "not_a_time", "served_at"),
        (encoded(exposure("x", served_at="2026-02-01T13:00:01Z")), "time_in_future", "served_at"),
        (encoded(exposure("x", served_at="1969-12-31T23:59:59Z")), "out_of_range", "served_at"),
        (encoded(exposure("x", position=0)), "out_of_range", "position"),
        (encoded(exposure("x", position=-1)), "out_of_range", "position"),
        (encoded(exposure("x", position=2**31)), "out_of_range", "position"),
        (encoded(exposure("x", propensity=0)), "out_of_range", "propensity"),
        (encoded(exposure("x", propensity=1.5)), "out_of_range", "propensity"),
        (encoded(exposure("x", logging_draw=1)), "out_of_range", "logging_draw"),
        (encoded(exposure("x")).replace(b"0.25", b"1e999"), "out_of_range", "score"),
        (encoded(exposure("x")).replace(b"0.5", b"-1e999"), "out_of_range", "features"),
        (encoded(exposure("x", position=None)), "position_missing", "position"),
        (encoded(exposure("x", traffic="random", logging_probability=1)), "propensity_missing", "propensity"),
        (encoded(exposure("x", traffic="random", propensity=0.1)), "out_of_range", "logging_probability"),
    ]
    fitting = [good, encoded(exposure("slack", served_at="2026-02-01T13:00:00Z"))]
    land(home, "exposures/misfits.jsonl", [*fitting, *(line for line, *_ in misfits)])
    report = ingest(home, now=NOW).stream("exposures")

    rows = _rows(home, "raw.quarantine", "source_file = 'exposures/misfits.jsonl'")
    judged = {row.source_row: (row.reason, row.field) for row in rows}
    assert judged == {number: (reason, field) for number, (_, reason, field) in enumerate(misfits, start=3)}
    assert {reason for _, reason, _ in misfits} == set(REASONS)
    assert (report.landed, report.loaded, report.duplicate) == (len(misfits) + 2, 2, 0)
    assert report.reasons == Counter(reason for _, reason, _ in misfits)
    for row, (line, *_) in zip(sorted(rows, key=lambda row: row.source_row), misfits, strict=True):
        assert (bytes(row.payload), row.payload_length) == (line if len(line) < 2**20 else line[: 2**16], len(line))


def test_values_arrive_as_they_were_written(home: Home) -> None:
    row = exposure(
        "wert-ß\u2028😀",
        position=7,
        impressed=False,
        served_at="2026-01-31T13:00:00.123456+01:00",
        features_as_of="2026-01-31T11:59:59Z",
        propensity=0.1 + 0.2,
        logging_probability=1e-300,
        score=-123456789.123456789,
        features={"b": [1, None, "ä"], "a": {"x": 0.1}},
        release_id="2026-w04",
    )
    land(home, "exposures/values.jsonl", [encoded(row), encoded(row, ensure_ascii=False) + b"\r"])
    land(home, "engagements/values.jsonl", [encoded(engagement("e1")), encoded(engagement("e2", position=3, value=2))])
    land(home, "users/values.jsonl", [encoded({"user_id": "u1", "updated_at": row["served_at"], "attributes": {}})])
    report = ingest(home, now=NOW)
    assert {stream.stream: stream.loaded for stream in report.streams} == {
        "exposures": 2,
        "engagements": 2,
        "items": 0,
        "users": 1,
        "requests": 0,
    }
    expected = row | {
        "served_at": datetime(2026, 1, 31, 12, 0, 0, 123456),  # noqa: DTZ001  (Spark collects times without a zone)
        "features_as_of": datetime(2026, 1, 31, 11, 59, 59),  # noqa: DTZ001
        "features": '{"a":{"x":0.1},"b":[1,null,"ä"]}',
        "source_file": "exposures/values.jsonl",
    }
    for number, loaded in enumerate(_rows(home, "raw.exposures", "release_id = '2026-w04'"), start=1):
        there = loaded.asDict()
        assert {name: there[name] for name in expected} == expected
        assert there["source_row"] == number
    bare, full = _rows(home, "raw.engagements", "true")
    assert (bare.position, bare.served_at, bare.features, bare.value) == (None, None, None, None)
    assert (full.position, full.value) == (3, 2.0)


def test_same_bytes_are_loaded_once_and_other_bytes_again(home: Home) -> None:
    first, second = encoded(exposure("d1")), encoded(exposure("d2"))
    path = land(home, "exposures/grows.jsonl", [first, first, b"not json"])
    land(home, "exposures/copy.jsonl", [first, encoded(exposure("d1", score=0.5))])
    report = ingest(home, now=NOW).stream("exposures")
    assert (report.files, report.landed, report.loaded, report.duplicate, report.quarantined) == (2, 5, 2, 2, 1)

    land(home, "exposures/grows.jsonl", [first, first, b"not json", second])
    os.utime(path, (0, 0))
    report = ingest(home, now=NOW).stream("exposures")
    # The old lines of a file that grew were met before, the one in quarantine too.
    assert (report.files, report.landed, report.loaded, report.duplicate, report.quarantined) == (1, 4, 1, 3, 0)


def test_without_new_files_the_lake_is_not_asked(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest(home, now=NOW)
    monkeypatch.setattr(session, "connect", lambda _: pytest.fail("the lake was asked"))
    report = ingest(home, now=NOW)
    assert (report.landed, report.left_out) == (0, ())


def test_an_empty_file_and_a_stranger_are_in_the_report(home: Home) -> None:
    land(home, "items/empty.jsonl", [])
    land(home, "clicks/a.jsonl", [b"{}"])
    report = ingest(home, now=NOW)
    assert (report.stream("items").files, report.stream("items").landed) == (1, 0)
    assert [entry.path for entry in report.left_out] == ["clicks"]
    shutil.rmtree(home.landing / "clicks")


def test_a_load_that_runs_twice_changes_nothing(home: Home) -> None:
    land(home, "exposures/twice.jsonl", [encoded(exposure("twice")), encoded(exposure("twice")), b"not json"])
    ledger = Ledger(home)
    load_id = ledger.next_load_id()
    segments = ledger.segments(load_id)
    kept = home.root / "kept"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda path, **_: path == segments and path.is_dir() and path.rename(kept))
        before = ingest(home, now=NOW).stream("exposures")
    tables = _contents(home)
    # As if the process had died before the checkpoint and the receipt were written.
    kept.rename(segments)
    (ledger.receipts / f"{load_id:010}.json").unlink()
    for part in ("commits", "offsets"):
        for entry in (ledger.checkpoint / part).glob(f"*{load_id - 1}*"):
            entry.unlink()
    again = ingest(home, now=NOW + timedelta(days=1)).stream("exposures")
    assert (again.landed, again.loaded, again.duplicate, again.quarantined) == (3, 1, 1, 1)
    assert again == before
    assert _contents(home) == tables


# All other moments: `make bench NAME=kill_ingest`.
@pytest.mark.parametrize(("victim", "moment"), [("ingest", "manifest"), ("server", "raw table")])
def test_whoever_is_killed_nothing_is_lost_or_doubled(home: Home, victim: str, moment: str) -> None:
    name = f"{victim} {moment}"
    lines = [encoded(exposure(f"{name} {number}")) for number in range(3000)]
    land(home, f"exposures/{name.replace(' ', '-')}.jsonl", [*lines, b"not json", lines[0]])
    ledger = Ledger(home)
    manifest = ledger.manifests / f"{ledger.next_load_id():010}.jsonl"
    log = home.warehouse / "raw.db" / "exposures" / "_delta_log"
    commits = len(list(log.glob("*.json")))
    running = server.ensure(home)

    code = "from lakehouse.home import home; from lakehouse.ingest import ingest; ingest(home())"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not (manifest.exists() if moment == "manifest" else len(list(log.glob("*.json"))) > commits):
        assert process.poll() is None, "the ingest ended before it could be killed"
        assert time.monotonic() < deadline, f"no {moment} after 90 seconds"
        time.sleep(0.01)
    os.kill(process.pid if victim == "ingest" else running.pid, signal.SIGKILL)
    assert process.wait(timeout=90) != 0
    assert ledger.begun() != []

    ingest(home, now=NOW)
    rows = _rows(home, "raw.exposures", f"startswith(event_id, '{name} ')")
    assert sorted(row.event_id for row in rows) == sorted(f"{name} {number}" for number in range(3000))
    assert ledger.begun() == []
    counts = _rows(home, "ops.ingest_loads", f"stream = 'exposures' and load_id = {int(manifest.stem)}")
    assert [(row.landed, row.loaded, row.duplicate, row.quarantined) for row in counts] == [(3002, 3000, 1, 1)]


def test_a_row_that_vanished_from_the_table_stops_the_ingest(home: Home) -> None:
    land(home, "users/lost.jsonl", [encoded({"user_id": "u9", "updated_at": "2026-01-01T00:00:00Z", "attributes": {}})])
    ingest(home, now=NOW)
    ledger = Ledger(home)
    receipt = max(ledger.receipts.iterdir())
    receipt.unlink()
    session.connect(home).sql(f"delete from raw.users where load_id = {int(receipt.stem)}")
    with pytest.raises(IngestError, match=r"load \d+ of users does not add up.*'loaded': 0.*users/lost.jsonl"):
        ingest(home, now=NOW)
    receipt.write_text("[]")


def test_a_home_of_before_gets_a_stream_s_table_though_nothing_lands(home: Home) -> None:
    land(
        home, "users/before.jsonl", [encoded({"user_id": "u8", "updated_at": "2026-01-01T00:00:00Z", "attributes": {}})]
    )
    ingest(home, now=NOW)
    session.connect(home).sql("drop table raw.requests")
    ingest(home, now=NOW)
    assert session.connect(home).table("raw.requests").count() == 0


def test_the_clock_must_carry_a_zone(home: Home) -> None:
    with pytest.raises(ValueError, match="must carry a zone"):
        ingest(home, now=datetime(2026, 1, 1))  # noqa: DTZ001


def _rows(home: Home, table: str, where: str) -> list[Any]:
    rows = session.connect(home).table(table).where(where)
    keys = [name for name in ("source_file", "source_row", "load_id") if name in rows.columns]
    return rows.orderBy(*keys).collect()


def _contents(home: Home) -> dict[str, list[Any]]:
    return {name: _rows(home, name, "true") for name in ("raw.exposures", "raw.quarantine", "ops.ingest_loads")}
