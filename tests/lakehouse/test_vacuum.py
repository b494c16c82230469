"""Vacuum over tables written by delta-rs: what a pin or a reader may need stays, the rest goes; no JVM."""

import os
import time
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse.errors import LakeError
from lakehouse.guard import TableFault
from lakehouse.home import Home
from lakehouse.vacuum import Vacuumed, vacuum
from lakehouse.versions import Pin, PinError, fault, pin, read
from lakehouse.writer import WriterBusy, writing

RELATION = "marts.examples_v1"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def replace(home: Home, numbers: list[int], relation: str = RELATION) -> Pin:
    """A new version of the table that shares no file with the one before."""
    schema, _, name = relation.partition(".")
    path = home.warehouse / f"{schema}.db" / name
    path.mkdir(parents=True, exist_ok=True)
    write_deltalake(path, pa.table({"number": numbers}), mode="overwrite")
    return pin(relation, home=home)


def data_files(home: Home) -> set[Path]:
    return set(home.warehouse.rglob("*.parquet"))


def age(files: set[Path], *, days: float) -> None:
    for file in files:
        os.utime(file, (time.time() - days * 86_400,) * 2)


def test_the_newest_and_the_pinned_versions_stay_and_the_others_go(home: Home) -> None:
    pins = [replace(home, [number]) for number in range(5)]
    [done] = vacuum(home, keep=[pins[1], pins[3]], older_than_days=0)
    assert [read(pins[number])["number"].to_pylist() for number in (1, 3, 4)] == [[1], [3], [4]]
    assert fault(pins[0]) == "version 0 of marts.examples_v1 lacks 1 of its 1 data files: it was vacuumed"
    with pytest.raises(PinError, match=r"version 2 of .* was vacuumed"):
        read(pins[2])
    assert len(data_files(home)) == 3
    kept_bytes = sum(file.stat().st_size for file in data_files(home))
    assert done == Vacuumed(
        relation=RELATION,
        path=Path(pins[0].path),
        kept_versions=(1, 3),
        num_files=2,
        num_bytes=done.num_bytes,
        kept_bytes=kept_bytes,
    )
    assert done.num_bytes > 0


def test_nothing_is_committed(home: Home) -> None:
    last = [replace(home, [number]) for number in range(3)][-1]
    vacuum(home, keep=[], older_than_days=0)
    assert pin(RELATION, home=home) == last


def test_a_dry_run_says_the_same_and_deletes_nothing(home: Home) -> None:
    for number in range(3):
        replace(home, [number])
    before = data_files(home)
    with writing(home, "dbt build"):
        dry = vacuum(home, keep=[], older_than_days=0, dry_run=True)
    assert data_files(home) == before
    assert dry == vacuum(home, keep=[], older_than_days=0)
    assert len(data_files(home)) == 1


def test_what_left_its_table_lately_stays_however_old_its_file_is(home: Home) -> None:
    pins = [replace(home, [number]) for number in range(2)]
    age(data_files(home), days=30)
    vacuum(home, keep=[], older_than_days=7)
    assert fault(pins[0]) is None


def test_a_file_that_no_commit_names_goes_when_it_is_old_and_stays_when_it_may_be_about_to_be_committed(
    home: Home,
) -> None:
    path = Path(replace(home, [1]).path)
    for name, days in (("old", 8.0), ("young", 6.0)):
        (path / f"{name}.parquet").write_bytes(b"PAR1")
        age({path / f"{name}.parquet"}, days=days)
    vacuum(home, keep=[], older_than_days=7)
    assert {file.name for file in path.glob("*.parquet")} & {"old.parquet", "young.parquet"} == {"young.parquet"}


def test_the_pin_of_a_table_that_was_dropped_and_built_again_protects_nothing(home: Home) -> None:
    path = Path(replace(home, [1]).path)
    dropped = Pin(relation=RELATION, path=str(path), table_id="another", version=0)
    beyond = Pin(relation=RELATION, path=str(path), table_id="another", version=9)
    replace(home, [2])
    [done] = vacuum(home, keep=[dropped, beyond], older_than_days=0)
    assert (done.kept_versions, done.num_files) == ((), 1)


def test_pins_hold_in_a_home_that_was_moved(home: Home) -> None:
    pins = [replace(home, [number]) for number in range(2)]
    moved = Home(home.root.with_name("moved"))
    home.root.rename(moved.root)
    [done] = vacuum(moved, keep=pins, older_than_days=0)
    assert (done.kept_versions, done.num_files) == ((0,), 0)


def test_every_table_is_vacuumed_but_those_to_leave(home: Home) -> None:
    for number in range(2):
        replace(home, [number])
        left = replace(home, [number], "raw.items")
    done = vacuum(home, keep=[], older_than_days=0, leave=[Path(left.path)])
    assert [(one.relation, one.num_files) for one in done] == [(RELATION, 1)]


def test_partitions_with_special_characters_keep_their_files(home: Home) -> None:
    home = Home(home.root / "a home, 100 % ours")
    path = home.warehouse / "ops.db" / "scores"
    path.mkdir(parents=True)
    words = ["a b", "c/d", "e%20f", "g=h", "ü"]
    for number in range(3):
        write_deltalake(
            path, pa.table({"word": words, "number": [number] * 5}), partition_by=["word"], mode="overwrite"
        )
    kept = pin("ops.scores", home=home)
    first = Pin(relation=kept.relation, path=kept.path, table_id=kept.table_id, version=0)
    [done] = vacuum(home, keep=[first], older_than_days=0)
    assert done.num_files == 5
    assert [sorted(read(one)["word"].to_pylist()) for one in (first, kept)] == [words, words]


def test_hadoops_checksum_goes_with_its_file(home: Home) -> None:
    path = Path(replace(home, [1]).path)
    [file] = path.glob("*.parquet")
    checksum = file.with_name(f".{file.name}.crc")
    checksum.write_bytes(b"crc")
    vacuum(home, keep=[], older_than_days=0)
    assert checksum.exists()
    replace(home, [2])
    vacuum(home, keep=[], older_than_days=0)
    assert not checksum.exists()


def test_nothing_is_deleted_while_another_writes_or_a_log_is_damaged(home: Home) -> None:
    path = Path([replace(home, [number]) for number in range(3)][-1].path)
    before = data_files(home)
    with writing(home, "dbt build"), pytest.raises(WriterBusy, match="dbt build writes the lake"):
        vacuum(home, keep=[], older_than_days=0)
    (path / "_delta_log" / f"{1:020}.json").write_bytes(b"")
    with pytest.raises(TableFault, match="commit 1 is empty"):
        vacuum(home, keep=[], older_than_days=0)
    assert data_files(home) == before


def test_a_pinned_version_whose_log_is_there_and_cannot_be_read_stops_it(home: Home) -> None:
    for number in range(3):
        replace(home, [number], "intermediate.int_examples")
    pins = [replace(home, [number]) for number in range(3)]
    log = Path(pins[0].path) / "_delta_log"
    DeltaTable(pins[0].path).create_checkpoint()
    replace(home, [9])
    (log / f"{0:020}.json").write_bytes(b"{torn}")
    before = data_files(home)
    with pytest.raises(LakeError, match=r"is pinned at version 0, whose log is at .* cannot be read"):
        vacuum(home, keep=[pins[0]], older_than_days=0)
    assert data_files(home) == before


def test_a_negative_age_is_refused(home: Home) -> None:
    with pytest.raises(ValueError, match="older_than_days is -1"):
        vacuum(home, keep=[], older_than_days=-1)
