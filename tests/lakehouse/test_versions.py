"""Pins over Delta tables written by delta-rs; no JVM."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse.home import Home
from lakehouse.versions import Pin, PinError, content_hash, pin, read


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def write(home: Home, numbers: list[int]) -> None:
    path = home.warehouse / "marts.db" / "examples_v1"
    path.mkdir(parents=True, exist_ok=True)
    write_deltalake(path, pa.table({"number": numbers, "word": [str(n) for n in numbers]}), mode="append")


def test_a_pin_reads_its_version_after_more_has_landed(home: Home) -> None:
    write(home, [1, 2])
    first = pin("marts.examples_v1", home=home)
    write(home, [3])
    second = pin("marts.examples_v1", home=home)
    assert (first.version, second.version) == (0, 1)
    assert first.data_version == f"{DeltaTable(first.path).metadata().id}@0"
    assert sorted(read(first)["number"].to_pylist()) == [1, 2]
    assert sorted(read(second)["number"].to_pylist()) == [1, 2, 3]


def test_columns_and_rows_are_chosen_while_reading(home: Home) -> None:
    write(home, [1, 2, 3])
    pinned = pin("marts.examples_v1", home=home)
    assert read(pinned, columns=["word"], where=ds.field("number") > 1).to_pydict() == {"word": ["2", "3"]}
    with pytest.raises(ValueError, match=r"\['colour'\]; marts.examples_v1 has \['number', 'word'\]"):
        read(pinned, columns=["colour"])


def test_a_table_dropped_and_built_again_is_not_the_pinned_one(home: Home) -> None:
    write(home, [1])
    pinned = pin("marts.examples_v1", home=home)
    Path(pinned.path).rename(home.root / "away")
    with pytest.raises(PinError, match="which is not there"):
        read(pinned)
    write(home, [1])
    with pytest.raises(PinError, match=f"belongs to table .*{pinned.table_id}.*dropped and built again"):
        read(pinned)


def test_a_version_that_is_gone_is_named(home: Home) -> None:
    write(home, [1])
    pinned = pin("marts.examples_v1", home=home)
    later = Pin(relation=pinned.relation, path=pinned.path, table_id=pinned.table_id, version=7)
    with pytest.raises(PinError, match=r"version 7 of marts\.examples_v1 cannot be read"):
        read(later)


def test_folders_with_special_names_are_read(home: Home) -> None:
    """Delta escapes them in its log, and the names on disk are escaped once already."""
    path = home.warehouse / "marts.db" / "examples_v1"
    path.mkdir(parents=True)
    words = ["a b", "at 10:30", "50 %", "a/b", "ä", "=+#?&"]
    write_deltalake(path, pa.table({"word": words, "number": range(6)}), partition_by=["word"])
    rows = read(pin("marts.examples_v1", home=home)).sort_by("number")
    assert rows.to_pydict() == {"word": words, "number": list(range(6))}


def test_a_process_may_end_with_a_dataset_open(home: Home) -> None:
    """Python ends while threads of Arrow live; one that asks for Python's lock then would abort it."""
    write(home, list(range(1000)))
    code = f"""
from pathlib import Path
from lakehouse.home import Home
from lakehouse.versions import open_dataset, pin
dataset = open_dataset(pin("marts.examples_v1", home=Home(Path({str(home.root)!r}))))
print(dataset.to_table().num_rows, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1000\n", "")


def test_the_content_hash_of_a_map_does_not_depend_on_who_wrote_it(home: Home) -> None:
    table = pa.table({"logits": pa.array([[("click", 0.5)], None, []], pa.map_(pa.string(), pa.float64()))})
    path = home.warehouse / "ops.db" / "scores"
    path.mkdir(parents=True)
    write_deltalake(path, table)
    written = read(pin("ops.scores", home=home))
    # The file's own name for the entries of a map comes back in the type of the column's data.
    assert [one["logits"].combine_chunks().type.field(0).name for one in (table, written)] == ["entries", "logits"]
    assert content_hash(written) == content_hash(table)
    assert content_hash(written.slice(0, 2)) != content_hash(table)


def test_a_pin_survives_json(home: Home) -> None:
    write(home, [1])
    pinned = pin("marts.examples_v1", home=home)
    assert Pin.from_json(pinned.to_json()) == pinned
    with pytest.raises(ValueError, match="a pin holds relation, path, table_id and version"):
        Pin.from_json('{"relation": "marts.examples_v1"}')


@pytest.mark.parametrize("relation", ["examples", "marts.", "a.b.c", "marts./etc"])
def test_a_relation_is_schema_and_table(home: Home, relation: str) -> None:
    with pytest.raises(ValueError, match=r"must be <schema>\.<table>"):
        pin(relation, home=home)


def test_a_table_that_is_not_built_says_so(home: Home) -> None:
    with pytest.raises(PinError, match=r"marts\.examples has no Delta table .* build it first"):
        pin("marts.examples", home=home)
