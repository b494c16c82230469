"""Damaged logs are found before anything reads them, and mended; over tables written by delta-rs, no JVM."""

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse.guard import TableFault, check_tables, damaged_logs
from lakehouse.home import Home
from lakehouse.repair import NotRepaired, mend_log

RELATION = "marts.examples_v1"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with one table of the versions 0 to 4; version n holds the numbers below n + 1."""
    home = Home(tmp_path)
    write(home, 5)
    return home


def table(home: Home) -> Path:
    return home.warehouse / "marts.db" / "examples_v1"


def write(home: Home, num_versions: int) -> None:
    table(home).mkdir(parents=True, exist_ok=True)
    for number in range(num_versions):
        write_deltalake(table(home), pa.table({"number": [number]}), mode="append")


def commit(home: Home, version: int) -> Path:
    return table(home) / "_delta_log" / f"{version:020}.json"


def numbers(home: Home) -> list[int]:
    return sorted(DeltaTable(table(home)).to_pyarrow_table()["number"].to_pylist())


def test_whole_logs_pass_with_and_without_a_checkpoint(home: Home) -> None:
    check_tables(home)
    DeltaTable(table(home)).create_checkpoint()
    write(home, 2)
    check_tables(home)
    check_tables(Home(home.root / "nowhere"))


@pytest.mark.parametrize(
    ("content", "how"),
    [
        (b"", "empty"),
        (b"\0" * 700, "empty"),
        (b'{"commitInfo":{"operat', "cut short or not JSON"),
        (b"[]", "not a list"),
    ],
)
def test_a_torn_newest_commit_is_named_with_its_repair_and_set_aside(home: Home, content: bytes, how: str) -> None:
    commit(home, 4).write_bytes(content)
    with pytest.raises(TableFault) as error:
        check_tables(home)
    said = str(error.value)
    assert said.startswith(f"marts.examples_v1: commit 4 is {how}")
    assert "`stillhouse repair marts.examples_v1` sets it aside" in said
    assert "\n" not in said
    [done] = mend_log(home, RELATION)
    assert "commit 4 was set aside in" in done
    check_tables(home)
    assert numbers(home) == [0, 1, 2, 3]
    [kept] = (home.lake / "set-aside").rglob("*.json")
    assert kept.read_bytes() == content
    # The next commit takes the version, and the table goes on.
    write(home, 1)
    assert numbers(home) == [0, 0, 1, 2, 3]


def test_a_commit_cut_in_its_last_line_is_torn(home: Home) -> None:
    whole = commit(home, 4).read_bytes()
    commit(home, 4).write_bytes(whole[:-20])
    [fault] = damaged_logs(home)
    assert (fault.kind, fault.version, fault.can_be_mended) == ("torn", 4, True)


def test_several_commits_torn_at_once_are_all_set_aside(home: Home) -> None:
    commit(home, 3).write_bytes(b"")
    commit(home, 4).write_bytes(b"\0\0")
    assert len(mend_log(home, RELATION)) == 2
    assert numbers(home) == [0, 1, 2]


def test_a_torn_commit_under_later_ones_needs_a_backup_and_nothing_is_moved(home: Home) -> None:
    commit(home, 2).write_bytes(b"")
    commit(home, 4).write_bytes(b"")
    before = sorted(path.name for path in table(home).rglob("*"))
    with pytest.raises(NotRepaired, match=r"commit 2 is empty .* later commits build on it: restore the file"):
        mend_log(home, RELATION)
    assert sorted(path.name for path in table(home).rglob("*")) == before


def test_an_empty_commit_behind_a_checkpoint_is_found_too(home: Home) -> None:
    DeltaTable(table(home)).create_checkpoint()
    write(home, 1)
    commit(home, 1).write_bytes(b"")
    [fault] = damaged_logs(home)
    assert (fault.kind, fault.version, fault.can_be_mended) == ("torn", 1, False)


def test_a_missing_commit_is_a_gap(home: Home) -> None:
    commit(home, 2).unlink()
    commit(home, 3).unlink()
    with pytest.raises(TableFault, match=r"marts\.examples_v1: versions 2 to 3 are missing from .*restore the files"):
        check_tables(home)


def test_a_log_that_begins_after_zero_needs_a_checkpoint(home: Home) -> None:
    DeltaTable(table(home)).create_checkpoint()
    commit(home, 0).unlink()
    check_tables(home)
    for checkpoint in (table(home) / "_delta_log").glob("*.parquet"):
        checkpoint.unlink()
    with pytest.raises(TableFault, match="version 0 is missing"):
        check_tables(home)


def test_a_torn_checkpoint_is_set_aside_where_its_commits_are_there(home: Home) -> None:
    DeltaTable(table(home)).create_checkpoint()
    write(home, 1)
    [checkpoint] = (table(home) / "_delta_log").glob("*.checkpoint.parquet")
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(TableFault, match=r"checkpoint 4 in .* is cut short; `stillhouse repair marts\.examples_v1`"):
        check_tables(home)
    mend_log(home, RELATION)
    check_tables(home)
    assert numbers(home) == [0, 0, 1, 2, 3, 4]


def test_each_damaged_table_has_a_line_of_its_own(home: Home) -> None:
    commit(home, 4).write_bytes(b"")
    other = home.warehouse / "raw.db" / "items"
    other.mkdir(parents=True)
    write_deltalake(other, pa.table({"a": [1]}))
    (other / "_delta_log" / f"{0:020}.json").write_bytes(b"")
    with pytest.raises(TableFault) as error:
        check_tables(home)
    assert [line.partition(":")[0] for line in str(error.value).splitlines()] == ["marts.examples_v1", "raw.items"]
