"""`stillhouse compare` and `compare-recipes`: two releases side by side, or two recipes by what they train."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lakehouse import server
from lakehouse.home import home

if TYPE_CHECKING:
    from orchestration.comparing import RecipeComparison
    from orchestration.diagnosis import Diagnosis
    from ranker import SegmentChange

# What moved least is left to --all.
ROWS_SHOWN = 8
COLOURS = {"worse": "red", "better": "green", "not shown": "bright_black"}
MARKS = {"worse": " worse", "better": " better", "not shown": ""}


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--all", "show_all", is_flag=True, help="Every segment and feature, not only those that moved most.")
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), help="Also draw the segments, into this PNG file."
)
def compare(first: str, second: str, show_all: bool, picture: Path | None) -> None:
    """Say where release B differs from release A: in which segments, features, tables and settings.

    \b
    stillhouse compare 1998-01-05-1f0c9a2b 1998-01-12-77aa0c31 --picture segments.png

    Both are judged, calibrated, on the rows that the later of the two was judged on. Intervals are of a paired
    bootstrap by user; those of segments hold for all of them at once. Nothing is written to the lake.
    """
    os.environ.update(server.environment(home()))
    from cli.waiting import Waiting
    from orchestration.diagnosis import compare_releases
    from ranker import segment_diagram

    with Waiting() as waiting:
        found = compare_releases(first, second, home=home(), on_progress=waiting.say)
    show_diagnosis(found, Console(highlight=False), num_rows=None if show_all else ROWS_SHOWN)
    if picture is not None:
        title = f"{found.figures[0].action}: {second} beside {first}"
        picture.write_bytes(segment_diagram(found.segments, title=title))
        click.echo(f"{picture} shows the segments.")


def show_diagnosis(found: "Diagnosis", console: Console, *, num_rows: int | None) -> None:
    first, second = found.releases
    console.print(f"A is {first}, B is {second}. Judged on the {found.rows:,} rows of {found.judged_on}.\n")
    figures = Table("", "A", "B", "B − A", "95 % by user", box=None)
    for one in found.figures:
        for name, values, digits in (("auc", one.auc, 4), ("log_loss", one.log_loss, 5)):
            difference = one.differences[name]
            low, high = difference.interval()
            figures.add_row(
                f"{name} of {one.action}",
                *(f"{value:.{digits}f}" for value in values),
                f"{difference.estimate:+.{digits}f}",
                f"\\[{low:+.{digits}f}, {high:+.{digits}f}]",
            )
        figures.add_row(f"pcoc of {one.action}", *(f"{value:.3f}" for value in one.pcoc))
    console.print(figures)

    action = found.figures[0].action
    console.print(f"\n[bold]Segments[/bold]: what each adds to the log loss of {action} over all rows, in 1e-5 nats")
    segments = Table("segment", "positives", "PCOC A", "PCOC B", "added, 95 % over all", box=None)
    for change in _outermost(found.segments, num_rows):
        bounds = ", ".join(f"{1e5 * bound:+,.0f}" for bound in (change.low, change.high))
        segments.add_row(
            escape(change.name),
            f"{change.positives:,}",
            f"{change.baseline_pcoc:.2f}",
            f"{change.candidate_pcoc:.2f}",
            f"[{COLOURS[change.verdict]}]{1e5 * change.change:+,.0f} \\[{bounds}]{MARKS[change.verdict]}",
        )
    console.print(segments)

    console.print("\n[bold]Features[/bold]: between the weeks that the two were judged on, and log loss gained without")
    features = Table("feature", "moved (0 to 1)", "missing then", "missing now", "A leans", "B leans", box=None)
    for one_feature in found.features[:num_rows]:
        shift = one_feature.shift
        features.add_row(
            escape(shift.feature),
            number(None if shift.distance != shift.distance else shift.distance, 3),
            f"{shift.missing_before:.1%}",
            f"{shift.missing_after:.1%}",
            *(number(lean, 4) for lean in one_feature.leans),
        )
    console.print(features)

    tables = Table("table", "A", "B", "rows A", "rows B", box=None)
    for table in found.tables:
        tables.add_row(
            table.relation,
            _short(table.versions[0]),
            _short(table.versions[1]) if table.changed else "the same",
            *("–" if rows is None else f"{rows:,}" for rows in table.rows),
        )
    console.print("\n[bold]Made from")
    console.print(tables)
    settings = Table("setting", "A", "B", box=None)
    for setting in found.settings:
        settings.add_row(*map(escape, setting))
    if found.settings:
        console.print(settings)


def _short(version: str | None) -> str:
    """The beginning of a table's id is enough to tell it from another."""
    table_id, _, number = (version or "").partition("@")
    return f"{table_id[:8]}@{number}" if version else "–"


def _outermost(changes: list["SegmentChange"], num_rows: int | None) -> list["SegmentChange"]:
    """The worst and the best of them."""
    if num_rows is None or len(changes) <= 2 * num_rows:
        return changes
    return [*changes[:num_rows], *changes[-num_rows:]]


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
