"""Vacuum against releases: every kept one still reads its exact rows, and what nobody needs is gone (6 minutes).

Weeks of builds through the lake server: tables that are replaced whole (a new table id each time), one that is replaced
by day (its versions share files), one that is appended to. A week ends in a release; some are taken back, some never
go live, and some builds belong to no release. Then everything is old enough to go. Which files a version needs is read
from the JSON of the logs, by code that shares nothing with the vacuum. The baseline is `VACUUM … RETAIN 0 HOURS` in
Spark on a copy of the same tables.
"""

import argparse
import hashlib
import json
import shutil
import struct
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
from pyspark.sql import SparkSession

from benchmarks._figures import Figure, report
from lakehouse import ops, server
from lakehouse.home import Home
from lakehouse.session import connect
from lakehouse.versions import Pin, PinError, content_hash, pin, read
from orchestration.retention import needs, pin_of, vacuum
from registry import Input, Lineage, Registry

FIRST_WEEK = date(2024, 1, 1)
DAYS = 28
PROPERTIES = ", ".join(f"'{name}' = '{value}'" for name, value in ops.PROPERTIES.items())
GOAL_SHARE_GONE = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kept", type=int, default=20, help="releases that are live, may come back or may go live")
    parser.add_argument("--rows", type=int, default=50_000, help="rows of marts.examples_v1")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        home = Home(Path(folder).resolve() / "home")
        try:
            report("vacuum", compare(home, num_kept=arguments.kept, rows=arguments.rows))
        finally:
            server.stop(home)


def compare(home: Home, *, num_kept: int, rows: int) -> list[Figure]:
    spark = connect(home)
    num_releases = make_history(home, spark, num_kept=num_kept, rows=rows)
    wanted = {need.pin for need in needs(home) if need.is_kept}
    kept = sorted({need.release for need in needs(home) if need.is_kept})
    needed, waste = split(home, wanted)
    waste_bytes = sum(path.stat().st_size for path in waste)
    print(
        f"{num_releases} releases, {len(kept)} of them kept; {len(wanted)} pinned versions; {len(needed)} data files "
        f"needed ({megabytes(needed):.1f} MB), {len(waste)} not ({waste_bytes / 1e6:.1f} MB)"
    )

    copy = Home(home.root.with_name("copy"))
    shutil.copytree(home.warehouse, copy.warehouse)
    shutil.copytree(home.releases, copy.releases)
    plain_vacuum(spark, copy)
    done = vacuum(home, older_than_days=0, dry_run=False)
    print(f"{sum(one.num_files for one in done.tables)} files went, of {len(done.tables)} tables")

    exact, exact_plain = (sum(reads_its_rows(where, release) for release in kept) for where in (home, copy))
    names = {path.relative_to(home.root) for path in waste}
    gone, gone_plain = (
        1 - sum(size for path, size in sizes(where) if path in names) / waste_bytes for where in (home, copy)
    )
    left, left_plain = (
        sum((where.root / path.relative_to(home.root)).exists() for path in needed) for where in (home, copy)
    )
    return [
        Figure(
            figure="releases that read their exact rows (content hash)",
            ours=exact,
            baseline=exact_plain,
            goal=f"{num_kept} of {num_kept}",
            holds=exact == len(kept) == num_kept,
        ),
        Figure(
            figure="share gone of the bytes that nobody needs",
            ours=gone,
            baseline=gone_plain,
            goal=f"≥ {GOAL_SHARE_GONE}",
            holds=gone >= GOAL_SHARE_GONE,
        ),
        Figure(
            figure="needed data files that are still there",
            ours=left,
            baseline=left_plain,
            goal=f"all {len(needed)}",
            holds=left == len(needed),
        ),
    ]


def make_history(home: Home, spark: SparkSession, *, num_kept: int, rows: int) -> int:
    """Weeks of builds and releases until `num_kept` of them are to be kept; the number of all releases."""
    ops.create_tables(spark)
    for schema in ("intermediate", "marts"):
        spark.sql(f"create schema if not exists {schema}")
    registry = Registry(home.releases)
    week, num_good = 0, 0
    while num_good < num_kept:
        build(spark, week=week, rows=rows)
        if week % 3 == 1:
            # Somebody tried a change and built again: versions that no release is made from.
            build(spark, week=week + 1000, rows=rows)
        monday = FIRST_WEEK + timedelta(weeks=week)
        release = save(home, registry, monday=monday)
        is_last = num_good == num_kept - 1
        if is_last or week % 7 == 3:
            # The last one waits for a person. The others of its kind are passed over by the next week.
            num_good += is_last
        else:
            registry.promote(release, expected_version=registry.pointer().version, reason="passed")
            if week % 5 == 4:
                registry.revert(reason="clicks fell")
            else:
                num_good += 1
        week += 1
    return week


def build(spark: SparkSession, *, week: int, rows: int) -> None:
    """One build of everything; its content depends on `week`."""
    example = f"""
        select
            concat('e', lpad(id, 9, '0')) as event_id,
            date_add(date'2024-01-01', cast(id % {DAYS} as int)) as day,
            concat('u', id % 997) as user_id,
            xxhash64(id, {week}) % 1000000 / 1e6 as strength,
            cast(pmod(xxhash64(id, {week}, 'click'), 10) = 0 as int) as clicked
        from range({rows})
    """
    if week % 8 == 0:
        spark.sql(
            f"create or replace table marts.examples_v1 using delta partitioned by (day) "
            f"tblproperties ({PROPERTIES}) as {example}"
        )
    else:
        day = f"day = date_add(date'2024-01-01', {week % DAYS})"
        spark.sql(
            f"insert into marts.examples_v1 by name replace where {day} "
            f"select * from ({example}) as example where {day}"
        )
    for table, where in (
        ("intermediate.int_exposures_labelled", "true"),
        ("marts.training_examples", f"clicked = 1 or pmod(xxhash64(event_id, {week}), 4) = 0"),
    ):
        spark.sql(
            f"create or replace table {table} using delta tblproperties ({PROPERTIES}) as "
            f"select * from marts.examples_v1 where {where}"
        )
    spark.sql(
        f"""insert into ops.teacher_scores by name
        select '{teacher(week)}' as release_id, event_id, map('click', strength) as logits from marts.training_examples
        """
    )


def teacher(week: int) -> str:
    return f"teacher-{week}"


def save(home: Home, registry: Registry, *, monday: date) -> str:
    """A release that was made from the tables as they are now, with the content hashes of the rows that it took."""
    week = (monday - FIRST_WEEK).days // 7
    inputs = []
    for relation, use in (
        ("marts.training_examples", "train"),
        ("marts.examples_v1", "calibrate"),
        ("marts.examples_v1", "evaluate"),
        ("ops.teacher_scores", "teach"),
    ):
        pinned = pin(relation, home=home)
        rows = take(pinned, use, week=week)
        inputs.append(Input(**asdict(pinned), rows=rows.num_rows, content_hash=content_hash(rows)))
    seed = hashlib.sha256(monday.isoformat().encode()).digest()[0]
    header = json.dumps({"weight": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    tensors = struct.pack("<Q", len(header)) + header + bytes([seed])
    plain = ("calibrator.json", "spec.json", "config.json", "metrics.json")
    files = {"teacher.safetensors": tensors, "serving.safetensors": tensors, **dict.fromkeys(plain, b"{}")}
    lineage = Lineage(
        partition=monday.isoformat(),
        windows={},
        inputs=tuple(inputs),
        recipe="standard",
        teacher=None,
        code_version="benchmark",
        seeds={},
        environment={},
    )
    return registry.save(files, lineage=lineage).id


def take(pinned: Pin, use: str, *, week: int) -> pa.Table:
    """The rows that a release of `week` takes from a pinned version, by use."""
    day, first = ds.field("day"), FIRST_WEEK + timedelta(days=week % 7)
    where = {
        "train": None,
        "calibrate": (day >= first) & (day < first + timedelta(days=7)),
        "evaluate": (day >= first + timedelta(days=7)) & (day < first + timedelta(days=14)),
        "teach": ds.field("release_id") == teacher(week),
    }[use]
    return read(pinned, where=where).sort_by("event_id")


def reads_its_rows(home: Home, release: str) -> bool:
    """Whether every input of a release reads back with the hash that its lineage names, in this copy of the lake."""
    lineage = Registry(home.releases).load(release).lineage
    week = (date.fromisoformat(lineage.partition) - FIRST_WEEK).days // 7
    for source, use in zip(lineage.inputs, ("train", "calibrate", "evaluate", "teach"), strict=True):
        schema, _, name = source.relation.partition(".")
        here = replace(pin_of(source), path=str(home.warehouse / f"{schema}.db" / name))
        try:
            if content_hash(take(here, use, week=week)) != source.content_hash:
                return False
        except PinError:
            return False
    return True


def split(home: Home, wanted: set[Pin]) -> tuple[set[Path], set[Path]]:
    """All data files: those that the newest or a wanted version of their table needs, and the others."""
    needed: set[Path] = set()
    for table in (path.parent for path in home.warehouse.glob("*.db/*/_delta_log")):
        commits = sorted((table / "_delta_log").glob("*.json"))
        versions = {pin.version for pin in wanted if Path(pin.path) == table} | {len(commits) - 1}
        live: set[Path] = set()
        for version, commit in enumerate(commits):
            for line in commit.read_text().splitlines():
                action = json.loads(line)
                if "add" in action:
                    live.add(table / unquote(action["add"]["path"]))
                elif "remove" in action:
                    live.discard(table / unquote(action["remove"]["path"]))
            if version in versions:
                needed |= live
    files = {path for path in home.warehouse.glob("*.db/*/**/*.parquet") if "_delta_log" not in path.parts}
    return needed, files - needed


def plain_vacuum(spark: SparkSession, home: Home) -> None:
    """What a person would run who knows of no releases, on every table that has older versions."""
    spark.sql("set spark.databricks.delta.retentionDurationCheck.enabled = false")
    # Spark lists the folders in 10,000 tasks otherwise, half a minute for each table.
    spark.sql("set spark.sql.sources.parallelPartitionDiscovery.parallelism = 2")
    for log in sorted(home.warehouse.glob("*.db/*/_delta_log")):
        if len(list(log.glob("*.json"))) > 1:
            spark.sql(f"vacuum delta.`{log.parent}` retain 0 hours")


def sizes(home: Home) -> Iterator[tuple[Path, int]]:
    for path in home.warehouse.glob("*.db/*/**/*.parquet"):
        yield path.relative_to(home.root), path.stat().st_size


def megabytes(files: set[Path]) -> float:
    return sum(path.stat().st_size for path in files) / 1e6


if __name__ == "__main__":
    main()
