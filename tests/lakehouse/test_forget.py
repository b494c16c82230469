"""Whose a landed line is, what a rewritten landing zone looks like to the ingest, and tables past every pin; no JVM."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse import frozen, guard, snapshot
from lakehouse.errors import LakeError
from lakehouse.forget import Names, cut_truth, find, landed_files, purge, rewrite, traces
from lakehouse.forget.tables import Held
from lakehouse.home import Home
from lakehouse.ingest.ledger import FileVersion, Ledger
from lakehouse.ingest.scan import new_versions, waiting
from lakehouse.keys import keys_of
from lakehouse.landing import STREAMS
from lakehouse.versions import Pin, fault, pin, read
from online.collector.events import Unfit
from online.collector.keeping import quarantine_line
from tests.online.small_service import publish_states
from tests.written import written

MEI = "mei-314159"
NAMES = Names(frozenset({MEI, 'the "ü" one'}), requests=frozenset({"r-7"}), events=frozenset({"r-7/i1"}))
STATE = {"user_id": MEI, "updated_at": "2026-01-01T00:00:00Z", "attributes": {}}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize(
    ("line", "is_theirs"),
    [
        (STATE, True),
        (STATE | {"user_id": "mei"}, False),
        (STATE | {"user_id": 'the "ü" one'}, True),
        # A row of somebody else that speaks of them is somebody else's.
        (STATE | {"user_id": "u2", "attributes": {"friend": MEI}}, False),
        # What is no row of its stream is theirs if it speaks of them at all.
        (STATE | {"user_id": "u2", "friend": MEI}, True),
        ({"user": [{"id": MEI}]}, True),
        ({MEI: 1}, True),
        ({"user": f"x{MEI}"}, False),
        (f'{{"user_id": "{MEI}", "updated_at": ', True),
        (f"{MEI};2026-01-01", True),
        (f"not-{MEI};2026-01-01", False),
        ("", False),
    ],
)
def test_a_line_is_theirs_by_its_user_or_if_it_is_no_row_by_any_word(line: Any, is_theirs: bool) -> None:
    text = line if isinstance(line, str) else json.dumps(line)
    assert NAMES.are_in_line(text.encode() + b"\n", STREAMS["users"]) is is_theirs
    if not isinstance(line, str):
        plain = json.dumps(line, ensure_ascii=False).encode()
        assert NAMES.are_in_line(plain, STREAMS["users"]) is is_theirs


@pytest.mark.parametrize(
    ("event", "is_theirs"),
    [
        (f'{{"who": "{MEI}"}}', True),
        (f"{MEI} again, and no JSON", True),
        ('{"request_id": "r-7", "action": "stare"}', True),
        ('{"request_id": "r-8", "action": "stare"}', False),
    ],
)
def test_what_the_collector_made_no_row_of_is_theirs_by_what_it_holds(event: str, is_theirs: bool) -> None:
    line = quarantine_line("unfit_event", Unfit(event.encode(), "no event"))
    assert NAMES.are_in_line(line, STREAMS["exposures"]) is is_theirs


@pytest.mark.parametrize("users", [[], [""], ["u1", " "]])
def test_nobody_is_not_somebody(users: list[str]) -> None:
    with pytest.raises(ValueError, match="name those who are to be forgotten"):
        Names(frozenset(users))


def test_an_ingest_finds_nothing_new_in_rewritten_files(home: Home) -> None:
    folder = home.landing / "users"
    folder.mkdir(parents=True)
    others = [json.dumps(STATE | {"user_id": f"u{number}"}) for number in range(3)]
    (folder / "day-1.jsonl").write_text("\n".join([others[0], json.dumps(STATE), others[1]]))
    (folder / "day-2.jsonl").write_text(others[2] + "\n")
    (folder / "day-3.jsonl").write_text(json.dumps(STATE) + "\n")
    (folder / "day-3.jsonl").chmod(0o640)
    ledger = Ledger(home)
    ledger.begin(1, seen(home, load_id=1))
    ledger.finish(1, [])

    files = landed_files(home, NAMES)
    assert {(file.path.name, file.num_lines) for file in files} == {("day-1.jsonl", 1), ("day-3.jsonl", 1)}
    # Killed before the second file was replaced: the ledger is ahead of it, and the next run makes it true.
    rewrite(home, files[:1], NAMES)
    before = (folder / "day-3.jsonl").read_bytes()
    rewrite(home, files[1:], NAMES)
    (folder / "day-3.jsonl").write_bytes(before)
    rewrite(home, landed_files(home, NAMES), NAMES)

    assert (folder / "day-1.jsonl").read_text() == "\n".join([others[0], others[1]])
    assert (folder / "day-3.jsonl").read_bytes() == b""
    assert (folder / "day-3.jsonl").stat().st_mode & 0o777 == 0o640
    assert seen(home, load_id=2) == []
    assert waiting(folder, known=ledger.latest()) == []
    assert {version.path: version.lines for version in ledger.versions(1)} == {
        "users/day-1.jsonl": 2,
        "users/day-2.jsonl": 1,
        "users/day-3.jsonl": 0,
    }
    assert ledger.begun() == []


def seen(home: Home, *, load_id: int) -> list[FileVersion]:
    """What an ingest would load."""
    ledger = Ledger(home)
    found, _ = new_versions(
        home.landing / "users",
        known=ledger.latest(),
        segments=ledger.segments(load_id),
        load_id=load_id,
        read_at=datetime.now(UTC),
    )
    return found


def test_a_file_that_was_not_loaded_yet_is_loaded_without_them(home: Home) -> None:
    folder = home.landing / "users"
    folder.mkdir(parents=True)
    (folder / "new.jsonl").write_text(json.dumps(STATE) + "\n" + json.dumps(STATE | {"user_id": "u1"}) + "\n")
    rewrite(home, landed_files(home, NAMES), NAMES)
    (version,) = seen(home, load_id=1)
    assert (version.lines, Ledger(home).latest()) == (1, {})


def table(home: Home, relation: str, rows: dict[str, Any], **how: Any) -> Pin:
    schema, _, name = relation.partition(".")
    path = home.warehouse / f"{schema}.db" / name
    path.mkdir(parents=True, exist_ok=True)
    write_deltalake(path, pa.table(rows), mode="overwrite", **how)
    return pin(relation, home=home)


def shown(home: Home) -> list[str]:
    return [str(path) for path, text in written(home.root) if MEI in text or "r-7/i1" in text]


def test_tables_are_found_by_user_and_without_one_by_what_was_found_of_theirs(home: Home) -> None:
    table(
        home,
        "raw.exposures",
        {"user_id": [MEI, "u2"], "event_id": ["r-7/i1", "r-8/i1"], "request_id": ["r-7", "r-8"]},
    )
    table(home, "marts.examples_v1", {"user_id": [MEI], "event_id": ["r-7/i2"]})
    table(home, "ops.teacher_scores", {"event_id": ["r-7/i2", "r-8/i1"], "release_id": ["a", "a"]})
    table(home, "monitoring.value_statistics", {"feature": ["user_id", "country"], "value": [MEI, MEI]})
    table(home, "dev_mei_marts.requests", {"request_id": ["r-7"]})
    table(home, "marts.item_states", {"item_id": [MEI]})
    found, names = find(guard.tables(home), Names(frozenset({MEI})))
    assert [(held.relation, held.column, held.num_rows) for held in found] == [
        ("dev_mei_marts.requests", "request_id", 1),
        ("monitoring.value_statistics", "value", 1),
        ("ops.teacher_scores", "event_id", 1),
        ("marts.examples_v1", "user_id", 1),
        ("raw.exposures", "user_id", 1),
    ]
    assert (names.requests, names.events) == ({"r-7"}, {"r-7/i1", "r-7/i2"})


def test_older_files_without_a_column_and_ids_that_are_numbers_are_read(home: Home) -> None:
    old = home.warehouse / "dev.db" / "numbers"
    old.mkdir(parents=True)
    write_deltalake(old, pa.table({"user_id": [17, 18]}))
    write_deltalake(old, pa.table({"user_id": [17], "event_id": ["e1"]}), mode="append", schema_mode="merge")
    (held,), names = find(guard.tables(home), Names(frozenset({"17"})))
    assert (held.num_rows, len(held.files), names.events) == (2, 2, {"e1"})


WORDS = ["a b", "c/d", "ü"]


def versions_of_a_table(home: Home) -> tuple[list[Pin], Held]:
    """Two versions before they came, two with them, and one after; all but the first two hold their files, partitioned
    by words that a log escapes."""
    rows: dict[str, Any] = {"word": WORDS, "user_id": ["u1", "u2", "u3"], "event_id": ["e1", "e2", "e3"]}
    theirs = rows | {"user_id": ["u1", MEI, "u3"], "event_id": ["e1", "r-7/i1", "e3"]}
    partitioned = {"partition_by": ["word"]}
    pins = [table(home, "marts.examples_v1", one, **partitioned) for one in (rows, rows, theirs, theirs)]
    (held,), _ = find(guard.tables(home), NAMES)
    pins.append(table(home, "marts.examples_v1", rows, **partitioned))
    return pins, held


def test_every_version_that_held_them_goes_and_the_others_stay_readable(home: Home) -> None:
    pins, held = versions_of_a_table(home)
    commit = held.path / "_delta_log" / f"{2:020}.json"
    written_at = commit.stat().st_mtime_ns
    assert shown(home)
    purge(held)
    assert shown(home) == []
    assert [fault(one) is None for one in pins] == [True, True, False, False, True]
    assert [sorted(read(pins[number])["user_id"].to_pylist()) for number in (0, 1, 4)] == [["u1", "u2", "u3"]] * 3
    assert commit.stat().st_mtime_ns == written_at
    # Of the files that stay the log knows what it knew.
    added = [json.loads(line).get("add") for line in commit.read_text().splitlines()]
    assert sum("stats" in one for one in added if one) == 2
    assert find(guard.tables(home), NAMES)[0] == []
    guard.check_tables(home)


def test_a_purge_that_was_killed_before_its_files_were_deleted_is_found_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, held = versions_of_a_table(home)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            purge(held)
    (again,), _ = find(guard.tables(home), NAMES)
    assert again.files == held.files
    purge(again)
    assert shown(home) == []


def test_checkpoints_and_checksums_that_name_their_files_go(home: Home) -> None:
    pins, held = versions_of_a_table(home)
    log = held.path / "_delta_log"
    DeltaTable(held.path, version=3).create_checkpoint()
    stats = json.dumps({"allFiles": [{"path": min(held.files).name, "stats": MEI}]})
    (log / f"{3:020}.crc").write_text(stats)
    (log / f"{4:020}.crc").write_text('{"allFiles": [{"path": "part-of-others.parquet"}]}')
    purge(held)
    assert shown(home) == []
    assert [path.name for path in log.iterdir() if "checkpoint" in path.name] == []
    assert [path.name for path in log.glob("*.crc")] == [f"{4:020}.crc"]
    assert fault(pins[4]) is None


def test_nothing_goes_while_the_newest_version_needs_it(home: Home) -> None:
    table(home, "raw.users", {"user_id": [MEI]})
    (held,), _ = find(guard.tables(home), NAMES)
    with pytest.raises(LakeError, match=r"raw\.users: 1 data files hold rows that are to be forgotten"):
        purge(held)
    assert all(file.exists() for file in held.files)


def test_nothing_goes_while_a_checkpoint_stands_for_commits_that_are_gone(home: Home) -> None:
    _, held = versions_of_a_table(home)
    DeltaTable(held.path).create_checkpoint()
    (held.path / "_delta_log" / f"{0:020}.json").unlink()
    with pytest.raises(LakeError, match="the commits before it are gone; nothing was deleted"):
        purge(held)
    assert all(file.exists() for file in held.files)


def test_rows_of_a_frozen_copy_go_and_the_others_can_still_be_read(home: Home) -> None:
    pinned = table(home, "marts.examples_v1", {"user_id": [MEI, "u2"], "event_id": ["r-7/i1", "e2"]})
    frozen.write(home, "2026-01-05-0a1b2c3d", {pinned: read(pinned)}, verify=lambda _: None)
    (held,), _ = find(frozen.tables(home), NAMES)
    frozen.drop_rows(held.path, held.where)
    purge(held)
    assert [str(path) for path, text in written(home.lake / "frozen") if MEI in text] == []
    assert DeltaTable(held.path).to_pyarrow_table()["user_id"].to_pylist() == ["u2"]


def test_a_snapshot_without_them_takes_the_place_of_the_current_one_and_the_others_go(home: Home) -> None:
    for seed in (1, 2):
        publish_states(home, seed=seed, name_user=lambda name: MEI if name == "u7" else name)
    root = home.online / snapshot.FOLDER
    before = snapshot._read(root / (root / snapshot.CURRENT).read_text().strip() / snapshot.USERS)
    assert len(snapshot.forget(home, {MEI})) == 2
    (place,) = (path for path in root.iterdir() if path.is_dir())
    assert (root / snapshot.CURRENT).read_text().strip() == place.name
    after = snapshot._read(place / snapshot.USERS)
    kept = before["key"].to_numpy() != keys_of([MEI])[0]
    assert after.num_rows == before.num_rows - 1 == kept.sum()
    assert after.to_pylist() == before.filter(pa.array(np.asarray(kept))).to_pylist()
    assert (snapshot.forget(home, {MEI}), snapshot.holding(home, {MEI})) == ([], [])


def test_what_was_true_of_their_events_is_known_no_more(home: Home) -> None:
    home.truth.mkdir()
    pq.write_table(pa.table({"event_id": ["r-7/i1", "e2"], "click": [0.1, 0.2]}), home.truth / "day.parquet")
    assert cut_truth(home, NAMES) == 1
    assert pq.read_table(home.truth / "day.parquet").to_pylist() == [{"event_id": "e2", "click": 0.2}]


def test_files_that_still_name_them_are_told(home: Home) -> None:
    for name, text in {
        "lake/server.log": f"failed at user {MEI}",
        "dagster/one.log": "mei-3141592 and xmei-314159",
        "dagster/two.log": "all is well, 17 rows",
        "dagster/three.json": '{"user": "17"}',
        "downloads/log.csv": MEI,
    }.items():
        (home.root / name).parent.mkdir(exist_ok=True)
        (home.root / name).write_text(text)
    assert [path.name for path in traces(home, Names(frozenset({MEI})))] == ["server.log"]
    assert [path.name for path in traces(home, Names(frozenset({"17"})))] == ["three.json"]
