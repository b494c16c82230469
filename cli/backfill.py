"""`stillhouse backfill`: build days again that a plain build leaves alone."""

import os
import sys
from datetime import date, datetime

import click

from lakehouse import server
from lakehouse.home import Home, home

DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command()
@click.option("--from", "since", type=DAY, metavar="DATE", help="First day to build; the earliest late one by default.")
@click.option("--to", "until", type=DAY, metavar="DATE", help="Last day to build; the newest by default.")
def backfill(since: datetime | None, until: datetime | None) -> None:
    """Build days again, from the first one to the newest.

    A build by itself goes back as far as var look_back_days; what lands later is counted in monitoring.late_rows and
    waits for this command. Later days follow because their features count what came before. With --to they do not,
    until you build them too: use it to fill a long history piece by piece, oldest first.
    """
    if since and until and until < since:
        raise click.UsageError(f"--to {until.date()} lies before --from {since.date()}")
    os.environ.update(server.environment(home()))
    from cli.waiting import Waiting
    from orchestration.runs import run_backfill

    first = since.date() if since else earliest_late_day(home())
    if first is None:
        click.echo("Nothing landed late: every row is built in. Name a day with --from to build it again all the same.")
        return
    last_day = until.date().isoformat() if until else None
    with Waiting() as waiting:
        outcome = run_backfill(first.isoformat(), last_day=last_day, home=home(), on_progress=waiting.say)
    click.echo(outcome.text)
    if until and not outcome.failed:
        click.echo(f"Days after {last_day} still count what came before them as it was: build them too.")
    sys.exit(1 if outcome.failed else 0)


def earliest_late_day(home: Home) -> date | None:
    """The first day that rows in monitoring.late_rows wait for."""
    from lakehouse.session import connect

    spark = connect(home)
    if not spark.catalog.tableExists("monitoring.late_rows"):
        return None
    day: date | None = spark.table("monitoring.late_rows").selectExpr("min(day)").collect()[0][0]
    return day
