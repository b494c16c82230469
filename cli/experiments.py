"""`stillhouse experiments`: where each running one stands, for whoever asks whether the last publish was good."""

import json
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lakehouse.home import home
from lakehouse.versions import PinError, pin, read

COLOURS = {"better": "green", "worse": "red"}
EVERYBODY = "all"
NONE = "No experiment runs. A promotion begins one where online.yml has a holdout_share or long_holdout_share."
Row = dict[str, Any]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON list, with every look and segment, for machines.")
def experiments(as_json: bool) -> None:
    """Say how the experiments do that run now: sample ratio, lift of each metric with its interval, verdict.

    Intervals hold however often one looks. Figures are those of the last retrain; the lake need not be up.
    """
    try:
        tables = [read(pin(f"ops.{name}", home=home())).to_pylist() for name in ("experiments", "experiment_results")]
    except PinError:
        tables = [[], []]
    running = [
        {**one, "results": [row for row in tables[1] if row["experiment"] == one["experiment"]]}
        for one in tables[0]
        if one["ended_at"] is None
    ]
    if as_json:
        click.echo(json.dumps(running, indent=2, default=lambda value: value.isoformat()))
        return
    if not running:
        click.echo(NONE)
    for one in running:
        _show(Console(highlight=False), one)


def _show(console: Console, one: Row) -> None:
    treatment = one["treatment_release"] or "whatever is in production"
    console.print(
        f"[bold]{one['experiment']}[/]: {treatment} against {one['control_release']}, on which "
        f"{one['control_share']:.1%} of the users stay, since {one['began_at']:%Y-%m-%d %H:%M}"
    )
    looks = sorted({row["day"] for row in one["results"]})
    if not looks:
        console.print("no look yet: the first day is looked at once its attribution window has closed\n")
        return
    last = [row for row in one["results"] if row["day"] == looks[-1]]
    table = Table("", box=None, padding=(0, 2, 0, 0))
    for title in ("treatment", "control", "lift", "from", "to"):
        table.add_column(title, justify="right")
    for row in sorted((row for row in last if row["segment"] == EVERYBODY), key=lambda row: str(row["metric"])):
        values = [f"{row[side]:.4g}" if row[side] is not None else "–" for side in ("treatment", "control")]
        table.add_row(row["metric"], *values, *(_percent(row[name]) for name in ("lift", "lower", "upper")))
    console.print(table)
    told = last[0]
    console.print(
        f"look of {looks[-1]}, {len(looks)} of at most {one['planned_days']}; "
        f"{told['treatment_users']:,} and {told['control_users']:,} users"
    )
    verdict = told["verdict"] or ("[red]void[/]" if told["sample_ratio_alarm"] else "no verdict yet")
    colour = COLOURS.get(told["verdict"], "default")
    console.print(f"[bold {colour}]{verdict}[/]: {escape(told['reason'])}\n")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1%}"
