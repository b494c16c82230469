"""`stillhouse ingest`: landing files into raw.*, with a table of what became of every line."""

import json

import click
from rich.console import Console
from rich.table import Table


@click.command("ingest")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def ingest(as_json: bool) -> None:
    """Load new landing files into raw.*, each exactly once.

    Lines that do not fit the contract (docs/landing.md) go to raw.quarantine with their reason. It is safe to run this
    at any time and as often as you like: what is loaded already is passed over, what was interrupted is finished.
    """
    from lakehouse.home import home
    from lakehouse.ingest import IngestReport, ingest

    def say(line: str) -> None:
        click.echo(line, err=True)

    report: IngestReport = ingest(home(), progress=say)
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
        return
    table = Table("stream", "files", "landed", "loaded", "duplicate", "quarantined", box=None)
    for row in report.streams:
        numbers = (row.files, row.landed, row.loaded, row.duplicate, row.quarantined)
        table.add_row(row.stream, *(f"{number:,}" for number in numbers))
    console = Console(highlight=False)
    console.print(table)
    for row in report.streams:
        for reason, number in row.reasons.items():
            console.print(f"{row.stream}: {number:,} in quarantine: {reason}")
        for name in row.waiting:
            console.print(f"{name} came or changed during the load; run this again to load it", markup=False)
    for left_out in report.left_out:
        console.print(f"not loaded: landing/{left_out.path}: {left_out.reason}", markup=False)
