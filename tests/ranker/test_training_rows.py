from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from ranker import Examples, FeatureSpec
from ranker.rows import Rows, TrainingRows, row_keys


def read(table: pa.Table, spec: FeatureSpec) -> Examples:
    return Examples.from_arrow(table, spec=spec)


def in_chunks(table: pa.Table, spec: FeatureSpec, *, size: int) -> list[Examples]:
    return [read(table.slice(start, size), spec) for start in range(0, table.num_rows, size)]


def epoch_of(rows: TrainingRows, *, epoch: int) -> list[int]:
    batches = rows.batches(batch_size=32, seed=5, epoch=epoch)
    return [key for batch, num_together in batches for key in batch.key_B.tolist() if len(batch) == num_together]


def test_every_row_comes_once_per_epoch_in_another_order(spec: FeatureSpec, world: Callable, tmp_path: Path) -> None:
    table = world(300, seed=0).table
    for folder in (None, tmp_path):
        rows = TrainingRows([read(table, spec)], folder=folder)
        first, second = (epoch_of(rows, epoch=epoch) for epoch in (0, 1))
        assert sorted(first) == sorted(second) == sorted(row_keys(table["event_id"].combine_chunks()).tolist())
        assert first != second
        assert first != sorted(first)


def test_batches_that_were_had_are_left_out_and_the_others_stay_as_they_are(
    spec: FeatureSpec, world: Callable, tmp_path: Path
) -> None:
    for folder in (None, tmp_path):
        rows = TrainingRows([read(world(1000, seed=0).table, spec)], folder=folder)
        whole = [batch.key_B.tolist() for batch, _ in rows.batches(batch_size=10, seed=1, epoch=0)]
        rest = [batch.key_B.tolist() for batch, _ in rows.batches(batch_size=10, seed=1, epoch=0, first=37)]
        assert len(whole) == rows.num_steps(10)
        assert rest == whole[37:]


def test_rows_in_files_are_those_in_memory_whatever_chunks_they_came_in(
    spec: FeatureSpec, world: Callable, tmp_path: Path
) -> None:
    table = world(700, seed=0).table
    # A chunk that knows only the second surface: numbers of surfaces differ by chunk.
    other_order = table.take(pa.array(np.argsort(table["surface"].to_pylist())[::-1].copy()))
    whole = TrainingRows([read(table, spec)])
    filed = TrainingRows(in_chunks(other_order, spec, size=90), folder=tmp_path, teacher=None)
    assert filed.surfaces == whole.surfaces == ("home", "search")
    expected = whole.part(0).columns()
    found = [part.columns() for part in filed.parts()]
    order = torch.cat([columns["key_B"] for columns in found]).argsort()
    for name, column in expected.items():
        assert torch.cat([columns[name] for columns in found])[order].equal(column), name
    assert max(map(len, filed.parts())) < 30
    filed.close()
    assert not list(tmp_path.iterdir())


def test_a_sample_is_drawn_by_key_and_not_by_place(spec: FeatureSpec, world: Callable, tmp_path: Path) -> None:
    table = world(2000, seed=0).table
    for folder in (None, tmp_path):
        rows = TrainingRows([read(table, spec)], folder=folder)
        sample = rows.sample(500)
        assert len(sample) == 500
        assert abs(sample.served_at_B.double().mean() / 1e6 - 1000) < 100
        assert len(rows.sample(5000)) == 2000


def test_an_event_that_occurs_twice_is_refused(spec: FeatureSpec, world: Callable) -> None:
    table = world(100, seed=0).table
    with pytest.raises(ValueError, match="3 event ids occur more than once"):
        TrainingRows([read(table, spec), read(table.slice(7, 3), spec)])


def test_chunks_that_do_not_fit_each_other_are_refused(spec: FeatureSpec, world: Callable) -> None:
    table = world(100, seed=0).table
    click = table.set_column(table.column_names.index("acted"), "acted", table["clicked"])
    with pytest.raises(ValueError, match="knows the actions"):
        TrainingRows([read(table, spec), Examples.from_arrow(click, spec=spec, actions=["click"])])
    with pytest.raises(ValueError, match="no chunk"):
        TrainingRows([])


def test_keys_tell_ids_apart_that_differ_in_one_byte_or_in_length() -> None:
    ids = ["", "a", "a\0", "12345678", "123456789", "x" * 40, "x" * 39 + "y", "y" + "x" * 39]
    keys = row_keys(pa.array(ids))
    assert len(set(keys.tolist())) == len(ids)
    # The same in a slice, whatever stands beside it.
    assert row_keys(pa.array(["zz", *ids, "zz"]).slice(1, len(ids))).tolist() == keys.tolist()
    many = row_keys(pa.array([f"e{number}" for number in range(10_000)]))
    bits = np.unpackbits(many.view(np.uint8).reshape(-1, 8), axis=1).mean(axis=0)
    assert np.abs(bits - 0.5).max() < 0.025


def test_a_reader_gives_chunks_that_hold_all_rows_and_one_where_there_are_none(
    spec: FeatureSpec, world: Callable
) -> None:
    table = world(100, seed=0).table
    batches = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=15))
    chunks = list(Examples.chunks(batches, spec=spec, num_rows=40))
    assert [len(chunk) for chunk in chunks] == [45, 45, 10]
    assert pa.concat_arrays([chunk.event_ids for chunk in chunks]).equals(read(table, spec).event_ids)
    none = pa.RecordBatchReader.from_batches(table.schema, [])
    assert [len(chunk) for chunk in Examples.chunks(none, spec=spec)] == [0]


def test_rows_of_nothing_are_no_rows(spec: FeatureSpec, world: Callable) -> None:
    rows = TrainingRows([read(world(100, seed=0).table, spec)[np.arange(0)]])
    assert len(rows) == 0
    assert list(rows.batches(batch_size=4, seed=0, epoch=0)) == []
    assert isinstance(rows.part(0), Rows)
