"""`stillhouse compare-recipes`: two recipes judged by the rankers that they train."""

import os
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from lakehouse import server
from lakehouse.home import home

if TYPE_CHECKING:
    from orchestration.comparing import RecipeComparison


@click.command("compare-recipes")
@click.argument("first")
@click.argument("second")
@click.option("--partition", metavar="MONDAY", help="Compare on this week's windows; the newest by default.")
@click.option(
    "--rates",
    metavar="TABLE",
    default="marts.sampling_rates",
    show_default=True,
    help="Where the recipes were built, such as dev_me_marts.sampling_rates.",
)
def compare_recipes(first: str, second: str, partition: str | None, rates: str) -> None:
    """Train a ranker on FIRST and one on SECOND, over the same days, and judge both on the same later rows.

    \b
    stillhouse compare-recipes standard lean

    Both are sampled while reading, without a teacher and with one seed: nothing but the recipe differs. Intervals are
    of a paired bootstrap by user; what another seed would change is not in them. Nothing is written.
    """
    os.environ.update(server.environment(home()))
    from cli.waiting import Waiting
    from orchestration.comparing import compare_recipes as compare
    from orchestration.runs import latest_partition

    with Waiting() as waiting:
        found = compare(
            (first, second),
            partition=partition or latest_partition(),
            home=home(),
            rates=rates,
            on_progress=waiting.say,
        )
    show(found, Console(highlight=False))


def show(found: "RecipeComparison", console: Console) -> None:
    console.print(f"Week of {found.partition}, judged on {found.judged_rows:,} rows of its last days.\n")
    costs = Table("", *(side.recipe for side in found.sides), box=None)
    costs.add_row("rows to train on", *(f"{side.rows:,}" for side in found.sides))
    costs.add_row("MB read", *(f"{side.bytes / 1e6:,.1f}" for side in found.sides))
    costs.add_row("s to read and encode", *(f"{side.read_s:,.1f}" for side in found.sides))
    costs.add_row("s to train", *(f"{side.train_s:,.1f}" for side in found.sides))
    console.print(costs)

    figures = Table("", *(side.recipe for side in found.sides), "difference", "95 % by user", box=None)
    for action, differences in found.differences.items():
        for name, digits in (("auc", 4), ("log_loss", 5)):
            low, high = differences[name].interval()
            figures.add_row(
                f"{name} of {action}",
                *(number(side.report["actions"][action][name], digits) for side in found.sides),
                f"{differences[name].estimate:+.{digits}f}",
                f"[{low:+.{digits}f}, {high:+.{digits}f}]".replace("[", "\\["),
            )
    console.print(figures)

    [action, *_] = found.differences
    pcoc = Table(f"PCOC of {action}", *(side.recipe for side in found.sides), "positives", box=None)
    of_action = [side.report["actions"][action] for side in found.sides]
    pcoc.add_row("all", *(number(one["pcoc"], 3) for one in of_action), f"{of_action[0]['positives']:,}")
    for segment, values in of_action[0]["segments"].items():
        for value, group in values.items():
            both = (one["segments"][segment][value]["pcoc"] for one in of_action)
            pcoc.add_row(f"{segment}={value}", *(number(one, 3) for one in both), f"{group['positives']:,}")
    console.print(pcoc)


def number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
