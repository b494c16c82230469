"""`stillhouse retrain | demo`: one week again, one release again, or the whole story from a log."""

import json
import os
import sys
from pathlib import Path

import click

from lakehouse import server
from lakehouse.home import home


@click.command()
@click.option("--partition", metavar="MONDAY", help="The week to retrain, by its first day; the newest by default.")
@click.option("--like", metavar="ID", help="Train again from the lineage of a release, and compare the weights.")
@click.option("--warm", is_flag=True, help="Go on from production, with the rows served since it was trained.")
@click.option(
    "--ranks",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes of the cluster (stillhouse up --cluster) that share the training out.",
)
def retrain(partition: str | None, like: str | None, warm: bool, ranks: int) -> None:
    """Retrain one week as the schedule would, or make a release again from its own lineage.

    \b
    stillhouse retrain --partition 1998-01-05
    stillhouse retrain --like 1998-01-05-1f0c9a2b

    A week goes through everything: ingest, dbt build, train, calibrate, evaluate, gate, release; its run is in the
    Dagster UI (make ui). --like reads the table versions that the release names, trains with its seed and teacher,
    changes nothing, and ends with exit code 1 if the weights differ.
    """
    if like and (partition or warm or ranks > 1):
        raise click.UsageError("--like makes a release again as it was made; the other options are for a new one")
    os.environ.update(server.environment(home()))
    from cli.waiting import Waiting

    if like:
        from orchestration.again import train_again

        with Waiting() as waiting:
            comparison = train_again(like, home=home(), on_progress=waiting.say)
        click.echo(comparison.text)
        sys.exit(0 if comparison.same else 1)

    from orchestration.runs import latest_partition, run_partition

    with Waiting() as waiting:
        outcome = run_partition(
            partition or latest_partition(), home=home(), on_progress=waiting.say, warm=warm, ranks=ranks
        )
    click.echo(outcome.text)
    sys.exit(1 if outcome.failed else 0)


@click.command()
@click.option("--data", type=click.Choice(["movielens", "open-bandit", "simulated"]), default="movielens")
@click.option(
    "--build", type=click.Path(path_type=Path), default=Path("build"), help="Where demo.json and demo.html go."
)
@click.option(
    "--retrains", type=click.IntRange(min=1), help="Stop after so many, and go on another time; all by default."
)
def demo(data: str, build: Path, retrains: int | None) -> None:
    """Land a log, retrain over its calendar week by week, and show what was released and why.

    Run again, it goes on where it stopped; `make clean-data` starts over.
    """
    from cli.waiting import Waiting
    from orchestration.demo import run_demo
    from orchestration.demo_page import page, table

    with Waiting() as waiting:
        rows = run_demo(data, home=home(), retrains=retrains, on_progress=waiting.say, on_share=waiting.share)
    build.mkdir(parents=True, exist_ok=True)
    (build / "demo.json").write_text(json.dumps(rows, indent=2) + "\n")
    (build / "demo.html").write_text(page(rows, data=data, home=home()))
    table(rows)
    click.echo(f"Written: {build / 'demo.json'}, {build / 'demo.html'}")
    click.echo("\nNow look at it:")
    click.echo("  make ui                                          the asset graph, every run, every picture")
    click.echo("  .venv/bin/stillhouse production                  what is live, since when, why, from which data")
    click.echo('  .venv/bin/stillhouse sql "select * from marts.sampling_audit order by day desc"')
    click.echo("  .venv/bin/stillhouse sql \"select * from ops.gate_decisions where criterion = 'overall'\"")
