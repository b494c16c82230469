"""What one more day costs after a long history, against the second day of a log (40 minutes at 100 days).

Raw rows are written straight into raw.*: `--rows` exposures a day, a click on 5 %, 20,000 users, 2,000 items; the
history is built at once. Both sides build the whole dbt project, models and data tests, with the project's own command;
seconds are those that dbt reports, without the start of its process. Each side is warmed up by the build before it.
"""

import argparse
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks._dbt_command import run_dbt
from benchmarks._figures import FOLDER, Figure, report
from lakehouse import ops, server
from lakehouse.home import Home
from lakehouse.session import connect

FIRST_DAY = date(2026, 1, 1)
USERS, ITEMS, CLICK_EVERY = 20_000, 2_000, 20
GOAL = 1.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=100, help="days of history before the one that is measured")
    parser.add_argument("--rows", type=int, default=200_000, help="exposures a day")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    baseline = cost_of_last_day([1, 1], rows=arguments.rows)
    ours = cost_of_last_day([arguments.days - 1, 1, 1], rows=arguments.rows)
    figure = Figure(
        figure=f"build seconds of a day of {arguments.rows:,} exposures after {arguments.days} days, baseline day 2",
        ours=ours,
        baseline=baseline,
        goal=f"≤ {GOAL} × day 2",
        holds=ours <= GOAL * baseline,
    )
    report("incremental_cost", [figure])


def cost_of_last_day(steps: list[int], *, rows: int) -> float:
    """Land and build so many days at a time, in a lake of its own; the seconds of the last build."""
    seconds, day = 0.0, 0
    with TemporaryDirectory(dir=FOLDER, prefix="incremental-") as folder:
        home = Home(Path(folder).resolve())
        try:
            server.ensure(home)
            ops.create_tables(connect(home))
            for load_id, num_days in enumerate(steps, start=1):
                land(home, first=day, num_days=num_days, rows=rows, load_id=load_id)
                seconds = build(home)
                day += num_days
                print(f"days {day - num_days + 1} to {day} of {sum(steps)}: {seconds:.1f} s", flush=True)
        finally:
            server.stop(home)
    return seconds


def land(home: Home, *, first: int, num_days: int, rows: int, load_id: int) -> None:
    """Exposures of some days with their clicks, and on the first day everybody's state, as one load per stream."""
    spark = connect(home)
    origin = (
        f"'bench.jsonl' as source_file, id as source_row, cast({load_id} as bigint) as load_id, now() as ingested_at"
    )
    start = FIRST_DAY + timedelta(days=first)
    spark.sql(
        f"""
        create or replace temporary view bench as
        select
            id,
            concat('e{load_id}-', id) as event_id,
            concat('r{load_id}-', id div 4) as request_id,
            concat('u', pmod(xxhash64(id div 4, {load_id}), {USERS})) as user_id,
            concat('i', pmod(xxhash64(id, 'item', {load_id}), {ITEMS})) as item_id,
            cast(1 + id % 4 as int) as position,
            timestamp'{start} 00:00:00' + make_dt_interval(0, 0, 0, id div 4 * 4 * 86400.0 / {rows}) as served_at
        from range({num_days * rows})
        """
    )
    spark.sql(
        f"""
        insert into raw.exposures by name
        select
            event_id, request_id, user_id, item_id, position, 'home' as surface, served_at, true as impressed,
            'policy' as traffic, 0.5D as logging_probability, 0.25D as logging_draw, '{{}}' as features,
            event_id as payload_hash, {origin}
        from bench
        """
    )
    spark.sql(
        f"""
        insert into raw.engagements by name
        select
            concat(event_id, '-c') as event_id, request_id, user_id, item_id, 'click' as action,
            served_at + interval 5 seconds as engaged_at, event_id as payload_hash, {origin}
        from bench where pmod(xxhash64(id, 'click'), {CLICK_EVERY}) = 0
        """
    )
    if first == 0:
        for stream, letter, number, attributes in (
            ("users", "u", USERS, '{"segment":"regular"}'),
            ("items", "i", ITEMS, '{"content_type":"video","categories":["news","sport"]}'),
        ):
            spark.sql(
                f"""
                insert into raw.{stream} by name
                select
                    concat('{letter}', id) as {stream[:-1]}_id,
                    timestamp'{start} 00:00:00' - interval 1 hour as updated_at,
                    '{attributes}' as attributes,
                    cast(id as string) as payload_hash,
                    {origin}
                from range({number})
                """
            )


def build(home: Home) -> float:
    """`dbt build` of production; the seconds from its first node to its last."""
    # Unit tests judge the SQL; and these rows came by no landing file that could be counted.
    left_out = ["--exclude-resource-type", "unit_test", "--exclude", "ingest_accounts_for_every_line"]
    return float(run_dbt(home, "build", *left_out).run_results["elapsed_time"])


if __name__ == "__main__":
    main()
