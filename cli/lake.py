"""`stillhouse up | status | down | env | sql`: the lake server, and questions to it."""

import shlex
import sys
from datetime import UTC, datetime

import click

from lakehouse import cluster as spark_cluster
from lakehouse import server
from lakehouse.home import home


@click.command()
@click.option("--jdbc", is_flag=True, help="Open a JDBC door too, restarting a lake that has none.")
@click.option(
    "--cluster", is_flag=True, help="Leave the work to a Spark master and two workers, started on this machine."
)
def up(jdbc: bool, cluster: bool) -> None:
    """Start the lake and say where it listens. It stays up until `stillhouse down`.

    Spark Connect is open on loopback behind a token (`eval "$(stillhouse env)"` hands it out). JDBC knows no
    passwords: with --jdbc every local user can read and write as the lake's owner.

    --cluster shows that the project needs no single machine; on one, it is no faster. The lake stays on the cluster
    until `stillhouse down`, which stops both.
    """
    _show(server.ensure(home(), jdbc=jdbc, on_cluster=cluster, progress=_progress))


@click.command()
def status() -> None:
    """Say whether the lake runs, since when and where; exit code 1 when it does not."""
    running = server.status(home())
    if running is None:
        click.echo(f"The lake of {home().root} is down. It starts by itself when a command needs it.")
        sys.exit(1)
    _show(running)


@click.command()
def down() -> None:
    """Stop the lake. What it holds stays, and the next command that needs it starts it again."""
    stopped = server.stop(home())
    click.echo(f"The lake of {home().root} is down." if stopped else "No lake was running.")


@click.command()
def env() -> None:
    """Print what dbt, dagster and pyspark need to find the lake, which is started: eval "$(stillhouse env)"

    TZ is set to UTC as well: clients turn times into the local zone, and dbt takes them for UTC. Refused while a table
    is damaged, for whoever asks for this is about to build.
    """
    from lakehouse import guard, ops
    from lakehouse.session import connect
    from orchestration.runs import prepare_instance

    server.ensure(home(), progress=_progress)
    guard.check_tables(home(), connect(home()))
    ops.create_tables(connect(home()))
    prepare_instance(home())
    for name, value in server.environment(home()).items():
        click.echo(f"export {name}={shlex.quote(value)}")


@click.command()
@click.argument("query")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", help="json: one object per line."
)
@click.option("--limit", type=click.IntRange(min=1), help="Rows shown at most; 100 in a table, else all of them.")
def sql(query: str, form: str, limit: int | None) -> None:
    """Ask the lake a question in SQL.

    \b
    stillhouse sql "show tables in marts"
    stillhouse sql "select * from marts.sampling_audit" --format csv > audit.csv
    """
    from cli import rows
    from lakehouse.session import connect

    if server.status(home()) is None:
        server.ensure(home(), progress=_progress)
    answer = connect(home()).sql(query.strip().removesuffix(";"))
    if not answer.columns:
        click.echo("Done.", err=True)
    elif form == "table":
        rows.print_table(answer, limit=limit or 100)
    else:
        chosen = answer.limit(limit) if limit else answer
        rows.print_csv(chosen) if form == "csv" else rows.print_json(chosen)


def _show(running: server.Server) -> None:
    minutes = int((datetime.now(UTC) - running.started_at).total_seconds() // 60)
    click.echo(f"The lake of {home().root} is up since {running.started_at:%Y-%m-%d %H:%M} UTC ({minutes} min).")
    click.echo(f"  Spark Connect  {running.remote}")
    click.echo(f"  JDBC           {running.jdbc_url or 'closed (stillhouse up --jdbc opens it)'}")
    click.echo(f"  work is done   {_workers(running)}")
    click.echo(f"  process        {running.pid}")
    click.echo(f"  log            {running.log}")


def _workers(running: server.Server) -> str:
    if running.cluster_url is None:
        return "in the server itself (stillhouse up --cluster leaves it to workers)"
    workers = spark_cluster.status(home())
    if workers is None or workers.url != running.cluster_url:
        return f"by {running.cluster_url}, which is gone: stillhouse up --cluster"
    return f"by {workers.num_workers()} of {len(workers.workers)} workers of {workers.url}, shown at {workers.page}"


def _progress(line: str) -> None:
    click.echo(line, err=True)
