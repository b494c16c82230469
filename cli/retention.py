"""`stillhouse versions | vacuum | freeze`: what releases need of the lake, and what can go."""

import json
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lakehouse.home import home


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON list, oldest release first, for machines.")
def versions(as_json: bool) -> None:
    """List the table versions that each release was made from, and whether they can still be read.

    production, canary and holdout are live; rollback was live and was not taken back; candidate may still go live.
    The versions of these are kept by `stillhouse vacuum`; those of reverted and passed over releases are not, nor
    those of a release that was frozen. Readable: the log leads to the version, it is the same table's, and all its data
    files are there. A release of which somebody was forgotten (`stillhouse forget`) cannot be made again, whatever is
    left of its versions. Needs no lake.
    """
    from orchestration.retention import Need, needs

    def where(need: Need) -> str:
        if need.forgotten:
            return f"NO: somebody was forgotten on {need.forgotten}"
        if need.copy:
            return "frozen" if need.fault is None else "frozen copy only"
        return "yes" if need.fault is None else f"NO: {need.fault}"

    found = needs(home())
    if as_json:
        shown: list[dict[str, Any]] = [
            {
                "release": need.release,
                "standing": need.standing,
                **asdict(need.pin),
                "rows": need.rows,
                "readable": need.fault is None,
                "fault": need.fault,
                "frozen": need.copy.path if need.copy else None,
                "kept": need.is_kept,
                "forgotten": need.forgotten,
            }
            for need in found
        ]
        click.echo(json.dumps(shown, indent=2))
        return
    if not found:
        click.echo("No release was saved yet, so none needs anything.")
        return
    table = Table("release", box=None, padding=(0, 2, 0, 0))
    for title in ("standing", "relation", "version", "rows", "kept"):
        table.add_column(title, no_wrap=True, justify="right" if title in ("version", "rows") else "left")
    table.add_column("readable")
    before = None
    for need in found:
        first = need.release != before
        before = need.release
        table.add_row(
            need.release if first else "",
            need.standing if first else "",
            need.pin.relation,
            str(need.pin.version),
            f"{need.rows:,}",
            "yes" if need.is_kept else "no",
            escape(where(need)),
        )
    Console().print(table)


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
@click.option(
    "--older-than",
    "days",
    metavar="DAYS",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    help="Only what left its table longer ago than this.",
)
def vacuum(dry_run: bool, days: int) -> None:
    """Delete data files that no release and no reader needs.

    Kept are: the newest version of every table, every version that was the newest within the last DAYS days, and every
    version that a live release, or one that may come back or go live, was made from (`stillhouse versions`). Nothing is
    written to the tables. Refused while something builds.
    """
    from orchestration import retention

    done = retention.vacuum(home(), older_than_days=days, dry_run=dry_run)
    table = Table("table", box=None, padding=(0, 2, 0, 0))
    for title in ("would go" if dry_run else "gone", "MB", "MB left"):
        table.add_column(title, justify="right")
    table.add_column("older versions kept")
    for one in done.tables:
        kept = ", ".join(str(version) for version in one.kept_versions)
        table.add_row(one.relation, f"{one.num_files:,}", _mb(one.num_bytes), _mb(one.kept_bytes), kept)
    table.add_row(
        "all",
        f"{sum(one.num_files for one in done.tables):,}",
        _mb(sum(one.num_bytes for one in done.tables)),
        _mb(sum(one.kept_bytes for one in done.tables)),
        "",
        style="bold",
    )
    Console().print(table)
    for fault in done.left_alone:
        click.echo(f"Left alone: {fault.said}", err=True)
    for need in done.gone:
        click.echo(f"Gone before this: {need.release} ({need.standing}) needs what {need.fault}", err=True)


@click.command()
@click.argument("release", metavar="ID")
def freeze(release: str) -> None:
    """Copy what a release was made from into a folder of its own, so that it outlives the tables.

    The copy holds the very rows that the release was trained, calibrated and evaluated on, verified against the content
    hashes in its lineage. Vacuum then need not keep their versions, and `stillhouse retrain --like ID` reads the copy
    once they are gone. To drop a copy, delete its folder.
    """
    from cli.waiting import Waiting
    from orchestration.freezing import freeze as freeze_release

    with Waiting() as waiting:
        folder = freeze_release(release, home=home(), on_progress=waiting.say)
    num_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    click.echo(f"{release} is frozen in {folder} ({_mb(num_bytes)} MB).")


def _mb(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f}"
