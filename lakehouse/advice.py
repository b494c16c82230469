"""What a recipe costs as a table and sampled while reading: predicted from statistics, measured beside it, compared."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable

from lakehouse.home import Home
from lakehouse.recipes import Recipe
from lakehouse.sampling import RandomKeep, open_sample, read_random_keep, sample_filter, sample_of
from lakehouse.versions import Pin, PinError, open_dataset, pin, read

ROWS_IN_GROUP = 20_000
DAYS_IN_MONTH = 30
PROBE_ROWS = 200_000


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Bytes on disk that are read or written, and seconds of it on this machine."""

    bytes: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """What this machine does: seconds to open a pinned table; rows a second decoded, decoded and sampled, encoded."""

    open_s: float
    read_rows_per_s: float
    sample_rows_per_s: float
    write_rows_per_s: float


@dataclass(frozen=True, kw_only=True)
class Costs:
    """One recipe both ways: writing its table (each row once), a run that reads it, and one that samples on the fly."""

    write_table: Cost | None
    read_table: Cost | None
    read_on_the_fly: Cost


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Both ways predicted and measured; a table is measured only where the recipe is materialised."""

    recipe: str
    rows: int
    kept_rows: int
    days: int
    predicted: Costs
    measured: Costs
    runs_per_month: float

    @property
    def break_even_runs_per_month(self) -> float | None:
        """From how many runs a month on a table is cheaper; None if it never is.

        A month's rows are written once and then save, in each run, what reading the table is faster.
        """
        assert self.predicted.write_table is not None
        assert self.predicted.read_table is not None
        saved = self.predicted.read_on_the_fly.seconds - self.predicted.read_table.seconds
        if saved <= 0:
            return None
        return self.predicted.write_table.seconds * DAYS_IN_MONTH / self.days / saved

    @property
    def materialise(self) -> bool:
        """Whether a table is cheaper at this number of runs."""
        runs = self.break_even_runs_per_month
        return runs is not None and self.runs_per_month >= runs


def advise(recipe: Recipe, *, home: Home, runs_per_month: float) -> Advice:
    """Predict, measure and compare, over the newest marts of `home`.

    Raises PinError if the examples or their sampling rates are not built, RatesError if these are of another recipe,
    ValueError if runs_per_month is not positive.
    """
    if runs_per_month <= 0:
        raise ValueError(f"runs_per_month is {runs_per_month}; it must be more than 0")
    examples, rates = pin("marts.examples_v1", home=home), pin("marts.sampling_rates", home=home)
    random_keep = read_random_keep(rates, recipe=recipe)
    strata = read(rates, where=pc.field("recipe") == recipe.name)
    kept_rows = pc.sum(
        pc.add(strata["positives_in"], pc.multiply(strata["negatives_in"], strata["sampling_keep"]))
    ).as_py()
    return Advice(
        recipe=recipe.name,
        rows=num_rows(examples),
        kept_rows=round(kept_rows or 0),
        days=pc.count_distinct(strata["day"]).as_py(),
        predicted=predict(examples, strata, kept_rows=kept_rows or 0, speeds=probe(examples, recipe, random_keep)),
        measured=measure(examples, rates, recipe=recipe, home=home),
        runs_per_month=runs_per_month,
    )


def predict(examples: Pin, strata: pa.Table, *, kept_rows: float, speeds: Speeds) -> Costs:
    """Costs from the sizes in the table's log and the rates of one recipe alone.

    A row costs its mean bytes. On the fly, each day is read up to the highest keep of its strata, in whole row groups.
    """
    rows = num_rows(examples)
    bytes_per_row = num_bytes(examples) / max(rows, 1)
    read_rows = min(float(rows), sum(prefix_rows(day) for day in by_day(strata).values()))
    return Costs(
        write_table=Cost(
            bytes=kept_rows * bytes_per_row,
            seconds=speeds.open_s + rows / speeds.read_rows_per_s + kept_rows / speeds.write_rows_per_s,
        ),
        read_table=Cost(
            bytes=kept_rows * bytes_per_row,
            seconds=speeds.open_s + kept_rows / speeds.read_rows_per_s,
        ),
        read_on_the_fly=Cost(
            bytes=read_rows * bytes_per_row, seconds=2 * speeds.open_s + read_rows / speeds.sample_rows_per_s
        ),
    )


def prefix_rows(strata: list[dict[str, float]]) -> float:
    """Rows of one day that lie in the row groups which a read has to open.

    >>> day = [{"positives_in": 5_000, "negatives_in": 295_000, "sampling_keep": 0.1}]
    >>> prefix_rows(day)
    40000
    """
    positives = sum(stratum["positives_in"] for stratum in strata)
    negatives = sum(stratum["negatives_in"] for stratum in strata)
    highest = max((stratum["sampling_keep"] for stratum in strata if stratum["negatives_in"]), default=0.0)
    groups = math.ceil((positives + highest * negatives) / ROWS_IN_GROUP)
    return min(positives + negatives, groups * ROWS_IN_GROUP)


def measure(examples: Pin, rates: Pin, *, recipe: Recipe, home: Home) -> Costs:
    """Both reads carried out; the table's only where it is there. Writing is not: dbt says how long its builds take."""
    kept = sample_filter(recipe, random_keep=read_random_keep(rates, recipe=recipe))
    on_the_fly = Cost(
        bytes=bytes_of_row_groups(open_dataset(examples), kept),
        seconds=seconds_of(lambda: _drain(open_sample(examples, recipe=recipe, rates=rates))),
    )
    table = _materialised(recipe, home=home)
    if table is None:
        return Costs(write_table=None, read_table=None, read_on_the_fly=on_the_fly)
    of_recipe = pc.field("recipe") == recipe.name
    size = bytes_of_row_groups(open_dataset(table), of_recipe)

    def read_table() -> None:
        _drain(open_dataset(table).scanner(filter=of_recipe).to_reader())

    return Costs(
        write_table=None,
        read_table=Cost(bytes=size, seconds=seconds_of(read_table)),
        read_on_the_fly=on_the_fly,
    )


def probe(examples: Pin, recipe: Recipe, random_keep: RandomKeep) -> Speeds:
    """Decode, sample and encode the first rows of the examples' largest file."""
    dataset = open_dataset(examples)
    fragment = max(dataset.get_fragments(), key=lambda one: one.metadata.num_rows)
    groups, rows = [], 0
    for group in range(fragment.metadata.num_row_groups):
        groups.append(group)
        rows += fragment.metadata.row_group(group).num_rows
        if rows >= PROBE_ROWS:
            break
    part = fragment.subset(row_group_ids=groups)
    table = part.to_table()
    file = ds.FileSystemDataset([part], dataset.schema, dataset.format, dataset.filesystem)
    opened = part.subset(sample_filter(recipe, random_keep=random_keep), schema=dataset.schema).row_groups
    with TemporaryDirectory() as folder:
        write_s = seconds_of(lambda: pq.write_table(table, Path(folder) / "probe.parquet"))
    return Speeds(
        open_s=seconds_of(lambda: open_dataset(examples)),
        read_rows_per_s=rows / seconds_of(part.to_table),
        sample_rows_per_s=max(1, sum(group.num_rows for group in opened))
        / seconds_of(lambda: _drain(sample_of(file, recipe=recipe, random_keep=random_keep))),
        write_rows_per_s=rows / write_s,
    )


def num_rows(pinned: Pin) -> int:
    return int(sum(_files(pinned)["num_records"].to_pylist()))


def num_bytes(pinned: Pin) -> int:
    return int(sum(_files(pinned)["size_bytes"].to_pylist()))


def bytes_of_row_groups(dataset: ds.Dataset, where: ds.Expression) -> int:
    """Compressed bytes of the row groups that the statistics cannot exclude."""
    total = 0
    for fragment in dataset.get_fragments(filter=where):
        for group in fragment.subset(where, schema=dataset.schema).row_groups:
            columns = fragment.metadata.row_group(group.id)
            total += sum(columns.column(place).total_compressed_size for place in range(columns.num_columns))
    return total


def by_day(strata: pa.Table) -> dict[date, list[dict[str, float]]]:
    days: dict[date, list[dict[str, float]]] = {}
    for row in strata.to_pylist():
        days.setdefault(row["day"], []).append(row)
    return days


def seconds_of(action: Callable[[], object]) -> float:
    """Median of three runs; the first of them warms the page cache."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def _materialised(recipe: Recipe, *, home: Home) -> Pin | None:
    if not recipe.materialised:
        return None
    try:
        return pin("marts.training_examples", home=home)
    except PinError:
        return None


def _files(pinned: Pin) -> pa.Table:
    return pa.table(DeltaTable(pinned.path, version=pinned.version).get_add_actions(flatten=True))


def _drain(reader: pa.RecordBatchReader) -> None:
    for _ in reader:
        pass
