"""Reading the landing folder: versions, segments, line counts and what is left out. No JVM."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.home import Home
from lakehouse.ingest import scan
from lakehouse.ingest.ledger import FileVersion, Ledger

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def look(home: Home, known: dict[str, FileVersion] | None = None) -> tuple[list[FileVersion], dict[str, str]]:
    segments = home.lake / "segments" / "exposures" / "1"
    versions, left_out = scan.new_versions(
        home.landing / "exposures", known=known or {}, segments=segments, load_id=1, read_at=NOW
    )
    return versions, {entry.path: entry.reason for entry in left_out}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "landing" / "exposures"
    folder.mkdir(parents=True)
    return folder


@given(content=st.binary(max_size=60).map(lambda raw: raw.replace(b"\x01", b"\n")), segment_bytes=st.integers(1, 20))
def test_segments_hold_every_byte_and_count_every_line(
    content: bytes, segment_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = Home(tmp_path_factory.mktemp("home"))
    (home.landing / "exposures").mkdir(parents=True)
    (home.landing / "exposures" / "a.jsonl").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "SEGMENT_BYTES", segment_bytes)
        [version], _ = look(home)
    lines = content.split(b"\n")[:-1] if content.endswith(b"\n") or not content else content.split(b"\n")
    assert version.lines == len(lines)
    rows: list[bytes] = []
    for segment in version.segments:
        assert segment.first_row == len(rows) + 1
        here = (home.lake / "segments" / "exposures" / "1" / segment.name).read_bytes()
        assert here.endswith(b"\n")
        rows += here.split(b"\n")[:-1]
        assert segment.first_row + segment.lines - 1 == len(rows)
    assert rows == lines


def test_every_entry_is_read_or_named_with_its_reason(tmp_path: Path, folder: Path) -> None:
    for name in ("a.jsonl", "_b.jsonl", ".c.jsonl", "d.csv", "deep/er/e.json", "_hidden/f.jsonl", "empty.jsonl"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("" if name.startswith("empty") else "{}\n")
    (folder / "link").symlink_to(folder / "deep")
    (folder / "gone.jsonl").symlink_to(folder / "nowhere")
    os.utime(folder / "a.jsonl", (0, 0))  # a file of 1970 is as good as any
    versions, left_out = look(Home(tmp_path))
    assert {version.path: version.lines for version in versions} == {
        "exposures/a.jsonl": 1,
        "exposures/deep/er/e.json": 1,
        "exposures/empty.jsonl": 0,
    }
    assert {path: reason.split(":")[0].split(";")[0] for path, reason in left_out.items()} == {
        "exposures/.c.jsonl": "hidden",
        "exposures/_b.jsonl": "hidden",
        "exposures/_hidden": "hidden",
        "exposures/d.csv": "not a landing file",
        "exposures/gone.jsonl": "not a file",
        "exposures/link": "a link to a folder",
    }


def test_only_other_bytes_make_a_new_version(tmp_path: Path, folder: Path) -> None:
    home, path = Home(tmp_path), folder / "a.jsonl"
    path.write_text("one\n")
    [first], _ = look(home)
    known = {first.path: first}
    os.utime(path, (1, 1))
    assert look(home, known) == ([], {})
    path.write_text("two\n")  # as long as before
    os.utime(path, ns=(first.modified_ns, first.modified_ns))  # and said to be as old
    [second], _ = look(home, known)
    assert second.sha256 != first.sha256
    assert scan.waiting(folder, known=known) == [first.path]
    assert scan.waiting(folder, known={second.path: second}) == []


def test_a_line_too_long_for_memory_is_reported_and_leaves_no_segments(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "SEGMENT_BYTES", 10)
    monkeypatch.setattr(scan, "LONGEST_LINE_BYTES", 25)
    (folder / "a.jsonl").write_text("short\n" + "x" * 60 + "\n")
    versions, left_out = look(Home(tmp_path))
    assert versions == []
    assert "a line of more than 25 bytes" in left_out["exposures/a.jsonl"]
    assert list((tmp_path / "lake" / "segments" / "exposures" / "1").iterdir()) == []


def test_a_load_is_begun_until_its_receipt_is_there(tmp_path: Path, folder: Path) -> None:
    (folder / "a.jsonl").write_text("one\n")
    ledger = Ledger(Home(tmp_path))
    versions, _ = look(Home(tmp_path))
    assert (ledger.next_load_id(), ledger.begun()) == (1, [])
    ledger.begin(1, versions)
    assert (ledger.next_load_id(), ledger.begun()) == (2, [1])
    assert ledger.latest() == {"exposures/a.jsonl": versions[0]}
    ledger.finish(1, [{"stream": "exposures", "landed": 1}])
    assert ledger.begun() == []
