"""Ten million exposures, delivered twice, contradicted, a month late: each event once, no row lost (30 minutes).

5 % of the events are delivered again unchanged, 1 % with another score (a tenth of them with another day as well), 1 %
first as a candidate and then as seen. A tenth lands late, up to 30 days. They land in four loads, each followed by
`dbt run` in production; what came too late for the look-back is built in at the end by a backfill. The project is a
copy with the models that deduplicate and watch over it, without those that follow: a build counts late rows only once
every incremental model of its project is built.

The oracle goes through the landed rows in plain Python, a tenth of the events at a time, and knows no SQL. Rows are
written straight into raw.exposures: as JSON lines they would take longer to land than all the rest. The ingest drops
lines of the same bytes; what is delivered again here stands for a line that says the same in other bytes.
"""

import argparse
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from benchmarks._dbt_command import run_dbt
from benchmarks._figures import FOLDER, Figure, report
from lakehouse import ops, server
from lakehouse.home import PROJECT, Home
from lakehouse.session import connect
from lakehouse.versions import Pin, open_dataset, pin

FIRST_DAY = date(2026, 1, 1)
DAYS, LOADS, MAXIMUM_LATENESS_DAYS = 40, 4, 30
MODELS = (
    "models/staging",
    "models/intermediate/int_exposures_deduplicated.sql",
    "models/intermediate/int_exposures_conflicts.sql",
    "models/intermediate/int_engagements_unmatched.sql",
    "models/monitoring/quarantine.sql",
    "models/monitoring/late_rows.sql",
)
# The ids of the events end in it.
DIGITS = "0123456789"
EPOCH = date(1970, 1, 1)
MICROSECONDS_OF_DAY = 86_400_000_000
# What a delivery may not change. Another place is a conflict only between deliveries that were both seen.
CONTENT = (
    "request_id", "user_id", "item_id", "surface", "served_at", "traffic", "release_id", "propensity",
    "logging_probability", "logging_draw", "score", "features", "features_as_of",
)  # fmt: skip
COLUMNS = ("event_id", "impressed", "position", "load_id", "source_file", "source_row", *CONTENT)
# A landed row is known by its file and line.
Row = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The tables as they were after some build."""

    kept: Pin
    conflicts: Pin


@dataclass(kw_only=True)
class Tally:
    """What the tables of one moment say against the oracle; numbers of events or rows."""

    events: int = 0
    exact: int = 0
    on_two_days: int = 0
    exact_on_two_days: int = 0
    kept_twice: int = 0
    landed: int = 0
    kept: int = 0
    same_again: int = 0
    conflicts: int = 0
    conflicts_found: int = 0
    conflicts_made_up: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="exposures, without what is delivered twice")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=FOLDER, prefix="dedup-") as folder:
        home = Home(Path(folder).resolve())
        try:
            report("dedup", prove(home, rows=arguments.rows))
        finally:
            server.stop(home)


def prove(home: Home, *, rows: int) -> list[Figure]:
    spark = connect(home)
    ops.create_tables(spark)
    # Late states of users and items are looked for behind what was counted of them; there are none here.
    spark.sql("create schema if not exists intermediate")
    for one in ("user", "item"):
        spark.sql(f"create table intermediate.int_{one}_totals ({one}_id string, last_seen_at timestamp) using delta")
    project = copy_project(home.root / "project")
    for load_id in range(1, LOADS + 1):
        land(home, rows=rows, load_id=load_id)
        build(home, project, f"load {load_id}")
    before = moment(home)
    late = {row.day: row.num_rows for row in query(home, "select day, num_rows from monitoring.late_rows")}
    build(home, project, "backfill", "--vars", f"backfill_from: '{min(late)}'")
    after = moment(home)
    left = query(home, "select count(*) as num from monitoring.late_rows")[0].num
    quarantined = query(
        home, "select count(*) as num from monitoring.quarantine where reason = 'conflicting_duplicate'"
    )[0].num
    landed = pin("raw.exposures", home=home)
    server.stop(home)

    started = time.perf_counter()
    first_days = first_day_of_each_load(landed)
    expected_late: Counter[date] = Counter()
    found, found_before = Tally(), Tally()
    for digit in DIGITS:
        deliveries = deliveries_of(landed, digit)
        for row in chain.from_iterable(deliveries.values()):
            if is_late(row, first_days):
                expected_late[day_of(row)] += 1
        judge(deliveries, after, digit, tally=found)
        in_time = {
            event: kept
            for event, group in deliveries.items()
            if (kept := [one for one in group if not is_late(one, first_days)])
        }
        judge(in_time, before, digit, tally=found_before)
    seconds = time.perf_counter() - started
    print(
        f"the oracle went through {found.landed:,} rows in {seconds:.0f} s: {found.events:,} events, "
        f"{found.conflicts:,} rows that contradict, {found.same_again:,} that say the same again, "
        f"{expected_late.total():,} too late for their build",
        flush=True,
    )
    return figures(found, found_before, late=late, expected_late=expected_late, left=left, quarantined=quarantined)


def figures(
    found: Tally, before: Tally, *, late: dict[date, int], expected_late: Counter[date], left: int, quarantined: int
) -> list[Figure]:
    # Rows that the tables hold as kept or as conflicting, and those that say nothing new.
    accounted = found.kept + found.conflicts_found + found.same_again
    one_day, one_day_exact = before.events - before.on_two_days, before.exact - before.exact_on_two_days
    same_days = sum(number for day, number in late.items() if expected_late[day] == number)

    def all_of(figure: str, ours: int, baseline: int, *, holds: bool = True) -> Figure:
        return Figure(figure=figure, ours=ours, baseline=baseline, goal="all", holds=holds and ours == baseline)

    return [
        all_of("events with one row, the oracle's, after the backfill", found.exact, found.events),
        all_of("events with one row, the oracle's, before it (if of one day)", one_day_exact, one_day),
        all_of(
            "conflicting rows in int_exposures_conflicts, none made up",
            found.conflicts_found,
            found.conflicts,
            holds=not found.conflicts_made_up,
        ),
        all_of("conflicting rows in monitoring.quarantine", quarantined, found.conflicts),
        all_of("landed rows accounted for: kept, conflicting or the same again", accounted, found.landed),
        all_of(
            "rows in monitoring.late_rows before the backfill, by day as the oracle counts; none after",
            same_days,
            expected_late.total(),
            holds=left == 0 and set(late) == set(expected_late),
        ),
        Figure(
            figure="events kept twice before the backfill, of those delivered for two days",
            ours=before.kept_twice,
            baseline=before.on_two_days,
            goal="0",
            holds=before.kept_twice == 0,
        ),
    ]


# Landing and building -----------------------------------------------------------------------------------------------


def land(home: Home, *, rows: int, load_id: int) -> None:
    """What arrives in one of the loads; each but the last ends ten days after the one before."""
    spark = connect(home)
    part = DAYS * 86400 // LOADS
    last = "true" if load_id == LOADS else f"arrived < {load_id * part}"
    started = time.perf_counter()
    spark.sql(
        f"""
        create or replace temporary view delivered as
        with events as (
            select id, cast(id * {DAYS * 86400} div {rows} as bigint) as second, {chance("again")} as fate
            from range({rows})
        ),
        deliveries as (
            -- How often: 5 % unchanged again, 1 % contradicted (of those a tenth with another day), 1 % seen later.
            select
                *,
                explode(
                    case
                        when fate < 0.05 then array('first', 'again')
                        when fate < 0.059 then array('first', 'other score')
                        when fate < 0.06 then array('first', 'other day')
                        when fate < 0.07 then array('candidate', 'first')
                        else array('first')
                    end
                ) as kind
            from events
        ),
        served as (
            select
                *,
                second + if(kind = 'other day', 86400 * (1 + pmod(xxhash64(id, 'day'), 10)), 0) as served_second,
                pmod(xxhash64(id, kind, 'late'), 1000003) / 1000003 as late
            from deliveries
        ),
        arrived as (
            -- A tenth late, half of that by up to a month, most that is delivered again as well.
            select
                *,
                served_second + cast(
                    86400 * case
                        when late < 0.05 or (kind not in ('first', 'candidate') and late < 0.5)
                            then {MAXIMUM_LATENESS_DAYS} * {chance("month", "kind")}
                        when late < 0.1 then 3 * {chance("days", "kind")}
                        else 0
                    end as bigint
                ) as arrived
            from served
        )
        select * from arrived where arrived >= {(load_id - 1) * part} and {last}
        """
    )
    spark.sql(
        f"""
        insert into raw.exposures by name
        select
            concat('e', id) as event_id,
            concat('r', id div 10) as request_id,
            concat('u', pmod(xxhash64(id div 10, 'user'), 20000)) as user_id,
            concat('i', pmod(xxhash64(id, 'item'), 2000)) as item_id,
            if(kind = 'candidate', null, cast(1 + id % 10 as int)) as position,
            if(pmod(xxhash64(id div 10, 'surface'), 2) = 0, 'home', 'mail') as surface,
            timestamp'{FIRST_DAY} 00:00:00' + make_dt_interval(0, 0, 0, served_second) as served_at,
            kind != 'candidate' as impressed,
            'policy' as traffic,
            0.5D as logging_probability,
            0.25D as logging_draw,
            {chance("score")} + if(kind in ('other score', 'other day'), 1, 0) as score,
            concat('{{"affinity":', pmod(id, 10), '}}') as features,
            concat('e', id, '/', kind) as payload_hash,
            'exposures/load-{load_id}.jsonl' as source_file,
            4 * id + case kind when 'first' then 1 when 'candidate' then 2 else 3 end as source_row,
            cast({load_id} as bigint) as load_id,
            now() as ingested_at
        from delivered
        """
    )
    print(f"load {load_id} landed in {time.perf_counter() - started:.0f} s", flush=True)


def chance(purpose: str, *columns: str) -> str:
    """A number in [0, 1) for each event, or for each of its deliveries."""
    return f"(pmod(xxhash64({', '.join(('id', *columns))}, '{purpose}'), 1000003) / 1000003)"


def copy_project(folder: Path) -> Path:
    """The project with MODELS alone, and without what is written about the others."""
    for name in ("dbt_project.yml", "macros", "profiles", "models/_groups.yml", *MODELS):
        source, target = PROJECT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
    return folder


def build(home: Home, project: Path, what: str, *options: str) -> None:
    print(f"{what} built in {run_dbt(home, 'run', *options, project=project).seconds:.0f} s", flush=True)


def moment(home: Home) -> Moment:
    return Moment(
        kept=pin("intermediate.int_exposures_deduplicated", home=home),
        conflicts=pin("intermediate.int_exposures_conflicts", home=home),
    )


def query(home: Home, statement: str) -> list[Any]:
    return connect(home).sql(statement).collect()


# The oracle ---------------------------------------------------------------------------------------------------------


def deliveries_of(landed: Pin, digit: str) -> dict[str, list[dict[str, Any]]]:
    """The landed rows of the events whose id ends in `digit`, by event."""
    deliveries: dict[str, list[dict[str, Any]]] = {}
    for row in rows_of(landed, digit, COLUMNS):
        deliveries.setdefault(row["event_id"], []).append(row)
    return deliveries


def rows_of(pinned: Pin, digit: str, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Rows of a pinned version whose event ends in `digit`; times as microseconds, which Python makes faster."""
    dataset = open_dataset(pinned)
    types = {name: dataset.schema.field(name).type for name in columns}
    projection = {
        name: pc.field(name).cast(pa.int64()) if pa.types.is_timestamp(type_) else pc.field(name)
        for name, type_ in types.items()
    }
    chosen = pc.ends_with(pc.field("event_id"), digit)
    for batch in dataset.scanner(columns=projection, filter=chosen).to_batches():
        values = [batch[name].to_pylist() for name in columns]
        yield from (dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True))


def first_day_of_each_load(landed: Pin) -> dict[int, date]:
    """The first day that the build after each load goes back to: look-back and attribution behind the last newest row.

    Every load brings rows of long ago, so each build goes back as far as it may.
    """
    variables = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    behind = timedelta(days=variables["look_back_days"] + -(-variables["attribution_window_hours"] // 24))
    newest: dict[int, datetime] = {}
    for batch in open_dataset(landed).scanner(columns=["load_id", "served_at"]).to_batches():
        for load_id in pc.unique(batch["load_id"]).to_pylist():
            last = pc.max(batch["served_at"].filter(pc.equal(batch["load_id"], load_id))).as_py()
            newest[load_id] = max(last, newest.get(load_id, last))
    first_days = {1: date.min}
    for load_id in range(2, LOADS + 1):
        first_days[load_id] = max(newest[earlier] for earlier in range(1, load_id)).date() - behind
    return first_days


def is_late(row: dict[str, Any], first_days: dict[int, date]) -> bool:
    return day_of(row) < first_days[row["load_id"]]


def day_of(row: dict[str, Any]) -> date:
    return EPOCH + timedelta(days=row["served_at"] // MICROSECONDS_OF_DAY)


def judge(deliveries: dict[str, list[dict[str, Any]]], tables: Moment, digit: str, *, tally: Tally) -> None:
    """Hold the tables against the deliveries that they were built from; adds to `tally`."""
    table: dict[str, list[Row]] = {}
    for row in rows_of(tables.kept, digit, ("event_id", "source_file", "source_row")):
        table.setdefault(row["event_id"], []).append(identity(row))
    conflicting = {identity(row) for row in rows_of(tables.conflicts, digit, ("event_id", "source_file", "source_row"))}
    expected: set[Row] = set()
    for event, group in deliveries.items():
        group.sort(key=lambda row: (not row["impressed"], row["load_id"], row["source_file"], row["source_row"]))
        first, others = group[0], group[1:]
        found = table.get(event, [])
        is_exact = found == [identity(first)]
        tally.events += 1
        tally.exact += is_exact
        if len({day_of(row) for row in group}) > 1:
            tally.on_two_days += 1
            tally.exact_on_two_days += is_exact
            tally.kept_twice += len(found) > 1
        tally.landed += len(group)
        tally.kept += len(found)
        contradicting = {identity(row) for row in others if contradicts(row, first)}
        tally.same_again += len(others) - len(contradicting)
        expected |= contradicting
    tally.conflicts += len(expected)
    tally.conflicts_found += len(expected & conflicting)
    tally.conflicts_made_up += len(conflicting - expected)


def identity(row: dict[str, Any]) -> Row:
    return row["source_file"], row["source_row"]


def contradicts(row: dict[str, Any], kept: dict[str, Any]) -> bool:
    moved = row["impressed"] and kept["impressed"] and row["position"] != kept["position"]
    return moved or any(row[name] != kept[name] for name in CONTENT)


if __name__ == "__main__":
    main()
