"""Sampling while reading against a filtered scan of an unordered copy of the same table (5 minutes).

The lake server writes both copies: one as the project writes marts.examples, by its own macro and with its settings,
partitions and table properties, one in order of arrival with Spark's own row groups and compression. About 2 % of rows
are acted on. Each read gives every column of the table for the rows that it keeps; both are timed in turns, and the
median counts. Ratios are those of seconds, as kept rows a second.
"""

import argparse
import time
from statistics import median
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks._example_rows import layout, macro, rows_in_order_of_arrival, settings
from benchmarks._figures import FOLDER, Figure, report
from lakehouse.home import Home
from lakehouse.recipes import Recipe
from lakehouse.sampling import open_sample
from lakehouse.server import stop
from lakehouse.session import connect
from lakehouse.versions import Pin, PinError, open_dataset, pin, read

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

GOALS = {0.1: 10, 0.02: 18}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--days", type=int, default=4)
    parser.add_argument("--repetitions", type=int, default=15)
    arguments = parser.parse_args()
    home = Home(FOLDER / "prefix-read-home")
    try:
        ordered, unordered, rates = tables(home, rows=arguments.rows, days=arguments.days)
    finally:
        stop(home)
    figures: list[Figure] = []
    for keep, goal in GOALS.items():
        figures += compare(
            ordered, unordered, rates, keep=keep, goal=goal, rows=arguments.rows, repetitions=arguments.repetitions
        )
    report("prefix_read", figures)


def compare(
    ordered: Pin, unordered: Pin, rates: Pin, *, keep: float, goal: float, rows: int, repetitions: int
) -> list[Figure]:
    """Speed of both reads at one keep probability, and whether they gave the same rows."""
    recipe = recipe_of(keep)
    columns = open_dataset(ordered).schema.names
    where = (pc.field("acted") == 1) | (pc.field("draw") < keep)

    def sampled() -> pa.Table:
        return open_sample(ordered, recipe=recipe, rates=rates, columns=columns).read_all()

    def scanned() -> pa.Table:
        return read(unordered, where=where)

    # Comparing rows takes more memory than reading them, so that it is done once, before anything is timed.
    sample, scan = sampled(), scanned()
    kept, differing = sample.num_rows, num_differing(sample, scan)
    del sample, scan
    seconds: dict[str, list[float]] = {"ours": [], "scan": []}
    for _ in range(repetitions):
        for name, reading in (("ours", sampled), ("scan", scanned)):
            started = time.perf_counter()
            reading()
            seconds[name].append(time.perf_counter() - started)
    ours, baseline = (median(seconds[name]) for name in ("ours", "scan"))
    print(f"{keep:.0%} of negatives: {ours:.3f} s against {baseline:.3f} s, {kept:,} of {rows:,} rows", flush=True)
    speed = Figure(
        figure=f"kept rows a second, {keep:.0%} of negatives ({ours:.3f} s against {baseline:.3f} s)",
        ours=kept / ours,
        baseline=kept / baseline,
        goal=f"≥ {goal} ×",
        holds=baseline / ours >= goal,
    )
    same = Figure(
        figure=f"rows that differ from the scan's, {keep:.0%} of negatives",
        ours=differing,
        baseline=kept,
        goal="0",
        holds=differing == 0,
    )
    return [speed, same]


def num_differing(ours: pa.Table, scan: pa.Table) -> int:
    """Rows that are not the same, in every column, when both are sorted by id."""
    if ours.num_rows != scan.num_rows:
        return abs(ours.num_rows - scan.num_rows)
    first, second = (table.sort_by("event_id").combine_chunks() for table in (ours, scan.select(ours.column_names)))
    same = pa.repeat(True, first.num_rows)
    for name in first.column_names:
        one, other = comparable(first[name]), comparable(second[name])
        equal = pc.fill_null(pc.equal(one, other), False)
        same = pc.and_(same, pc.or_(equal, pc.and_(pc.is_null(one), pc.is_null(other))))
    return int(first.num_rows - pc.sum(same).as_py())


def comparable(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Words written out, and lists of them as text: Arrow compares no lists."""
    if pa.types.is_list(values.type):
        return pc.binary_join(values.cast(pa.list_(pa.string())), "/")
    return values.cast(pa.string()) if pa.types.is_dictionary(values.type) else values


def recipe_of(keep: float) -> Recipe:
    return Recipe(name=f"keep_{keep:g}", materialised=False, rules=(), otherwise=keep, random_share=0)


def tables(home: Home, *, rows: int, days: int) -> tuple[Pin, Pin, Pin]:
    """Pins of the ordered copy, the unordered one and the rates; built where they are not there in this size."""
    schema = f"bench_{rows}_{days}"
    relations = [f"{schema}.{name}" for name in ("ordered", "unordered", "sampling_rates")]
    try:
        ordered, unordered, rates = (pin(relation, home=home) for relation in relations)
    except PinError:
        spark = connect(home)
        spark.sql(f"create schema if not exists {schema}")
        build(spark, schema, rows=rows, days=days)
        ordered, unordered, rates = (pin(relation, home=home) for relation in relations)
    return ordered, unordered, rates


def build(spark: "SparkSession", schema: str, *, rows: int, days: int) -> None:
    def write(name: str, query: str, *, like_the_project: bool) -> None:
        started = time.perf_counter()
        given = layout() if like_the_project else ""
        spark.sql(f"create or replace table {schema}.{name} using delta {given} as {query}")
        print(f"{schema}.{name}: built in {time.perf_counter() - started:.0f} s", flush=True)

    spark.sql("set spark.sql.parquet.compression.codec = snappy")
    write("unordered", rows_in_order_of_arrival(rows=rows, days=days), like_the_project=False)
    spark.sql("reset spark.sql.parquet.compression.codec")
    for setting in settings():
        spark.sql(setting)
    arrived = f"select * from {schema}.unordered"
    write("ordered", f"{arrived} distribute by day {macro('in_prefix_order')}", like_the_project=True)
    recipes = ", ".join(f"'{recipe_of(keep).name}', {keep}D, '{recipe_of(keep).definition}'" for keep in GOALS)
    write(
        "sampling_rates",
        f"select distinct day, recipe, 'otherwise' as stratum, sampling_keep, definition from {schema}.unordered "
        f"lateral view stack({len(GOALS)}, {recipes}) rates as recipe, sampling_keep, definition",
        like_the_project=True,
    )


if __name__ == "__main__":
    main()
