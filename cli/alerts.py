"""`stillhouse alerts`: what somebody should look at now."""

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime

import click
from rich.console import Console

from lakehouse.home import home


@click.command()
@click.option("--send", is_flag=True, help="Deliver what nobody was told yet; for hosts without Dagster's daemon.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, for machines.")
def alerts(send: bool, as_json: bool) -> None:
    """List the causes for an alert that exist now, each with where to look and what to do next.

    The daemon (make ui, or dagster-daemon run) delivers each one once, to the webhook that STILLHOUSE_ALERT_WEBHOOK or
    the file alert-webhook in the home names. Without a daemon, let cron run `stillhouse alerts --send`.
    """
    # Dagster reads its settings from there; the lake need not be up.
    os.environ["DAGSTER_HOME"] = str(home().dagster)
    import dagster as dg

    from orchestration.alerts import found_now, tell
    from orchestration.runs import close_killed_runs, prepare_instance

    prepare_instance(home())
    now = datetime.now(UTC)
    with dg.DagsterInstance.get() as instance:
        close_killed_runs(instance)
        found = found_now(home(), instance, now=now)
        told = tell(home(), instance, now=now) if send else []
    if as_json:
        click.echo(json.dumps([asdict(cause) for cause in found], indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    for cause in found:
        console.print(f"[bold red]{cause.kind}[/]", end="  ")
        console.print(cause.text, markup=False)
        console.print(f"    where: {cause.link}\n" * bool(cause.link) + f"    next:  {cause.next_step}", markup=False)
    if not found:
        console.print("Nothing needs anybody.")
    if send:
        console.print(f"Delivered: {len(told)}")
