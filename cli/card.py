"""`stillhouse release`: all that is known of one release, in the terminal, as JSON, or as its page."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.gate import COLOURS
from cli.releases import NOTHING_YET, fail
from decisions.criterion import STATUSES, in_order
from lakehouse.home import home
from orchestration.card import CARD, actions_of, card, figures_of, json_of, settings_of, sides_of
from orchestration.page import figure
from registry import Artifact, Entry, Registry, ReleaseError
from registry.standing import standings

# The rest is on the page.
FIGURES_SHOWN = ("AUC", "log loss", "PCOC", "churn")


@click.command()
@click.argument("release", metavar="[ID]", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object with everything, for machines.")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), help="Write its card, a page with pictures, to FILE."
)
def release(release: str | None, as_json: bool, html: Path | None) -> None:
    """Show all that is known of a release, however old; of the one in production where none is named.

    \b
    stillhouse release 1998-01-05-1f0c9a2b
    stillhouse release 1998-01-05-1f0c9a2b --html card.html

    The verdict and what speaks against it, the figures beside production and without a teacher, every table version
    that it was made from, its teachers, and what happened to it since. Every file of it is verified on the way.
    """
    registry = Registry(home().releases)
    try:
        chosen = release or registry.production()
        if chosen is None:
            click.echo(NOTHING_YET)
            return
        found = registry.load(chosen)
        entries = registry.journal()
        standing = standings(registry.pointer(), entries).get(found.id, "candidate")
    except ReleaseError as error:
        fail(error)
    events = events_of(found.id, entries)
    if html is not None:
        # The card that was saved with it is what was read then; a release of before cards gets one now.
        html.write_bytes(found.files.get(CARD) or card(found.files, lineage=found.lineage))
        click.echo(f"{html} holds the card of {found.id}.")
    elif as_json:
        click.echo(json.dumps(_as_json(found, standing=standing, events=events), indent=2))
    else:
        _show(found, standing=standing, events=events, folder=registry.root / found.id)


def events_of(release: str, entries: Iterable[Entry]) -> list[tuple[str, str, str]]:
    """What the journal knows of a release, oldest first: when, what, and the reason or the other release."""
    events = []
    for entry in entries:
        other = str(entry.release)
        if entry.release == release:
            what = {
                "gate": f"gate: {entry.details.get('verdict')}",
                "overridden": f"overridden by {entry.details.get('by')}",
                "reverted": "put back",
                "canary_started": f"canary, {entry.details.get('canary_share', 0):.0%}",
                "canary_ramped": f"canary, {entry.details.get('canary_share', 0):.0%}",
                "canary_held": f"held by {entry.details.get('by')}",
                "canary_resumed": f"let go on by {entry.details.get('by')}",
                "canary_reverted": "taken back as canary",
            }.get(entry.event, entry.event)
            events.append((entry.at, what, entry.reason))
        elif entry.event == "reverted" and entry.details.get("previous") == release:
            events.append((entry.at, "taken back", f"for {other}: {entry.reason}"))
        elif entry.event == "promoted" and entry.details.get("previous") == release:
            events.append((entry.at, "replaced", f"by {other}"))
        elif entry.event == "saved" and entry.details.get("teacher") == release:
            events.append((entry.at, "taught", other))
    return events


def _as_json(found: Artifact, *, standing: str, events: Iterable[tuple[str, str, str]]) -> dict[str, Any]:
    return {
        "release": found.id,
        "standing": standing,
        "gate": json_of(found.files, "gate.json") or None,
        "metrics": json_of(found.files, "metrics.json"),
        "lineage": asdict(found.lineage),
        "training": json_of(found.files, "training.json"),
        "events": [{"at": at, "event": what, "reason": why} for at, what, why in events],
        "files": {name: asdict(record) for name, record in found.manifest.items()},
    }


def _show(
    found: Artifact,
    *,
    standing: str,
    events: Iterable[tuple[str, str, str]],
    folder: Path,
) -> None:
    console = Console(highlight=False)
    lineage = found.lineage
    decision, metrics, settings = (
        json_of(found.files, name) for name in ("gate.json", "metrics.json", "training.json")
    )
    verdict = decision.get("verdict", "never judged")
    console.print(f"[bold]{found.id}: [{COLOURS.get(verdict, 'default')}]{verdict}[/][/bold], now {standing}")

    criteria = in_order(decision.get("criteria", []))
    counts = Counter(one["status"] for one in criteria)
    against = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for one in criteria:
        if one["status"] in ("block", "needs-a-person"):
            against.add_row(f"[{COLOURS[one['status']]}]{one['status']}", escape(one["name"]), escape(one["reason"]))
    console.print(", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status]))
    if against.row_count:
        console.print(against)

    sides = sides_of(metrics)
    figures = Table("", *sides, "95 %", box=None, padding=(0, 2, 0, 0))
    for action in actions_of(metrics, settings):
        for metric in figures_of(sides, action):
            if metric.name in FIGURES_SHOWN:
                values = [figure(metric.values[side]) for side in sides]
                interval = " to ".join(map(figure, metric.interval)) if metric.interval else ""
                figures.add_row(escape(f"{action}: {metric.name}"), *values, interval)
    if figures.row_count:
        console.print()
        console.print(figures)

    console.print("\n[bold]Made from")
    for source in lineage.inputs:
        console.print(f"{escape(source.relation)}, {source.rows:,} rows")
        console.print(f"  [bright_black]version[/] {source.table_id}@{source.version}", soft_wrap=True)
        console.print(f"  [bright_black]content[/] {source.content_hash}", soft_wrap=True)

    console.print()
    facts = Table.grid(padding=(0, 2))
    facts.add_row("teachers", " ← ".join(found.lineage.teachers) or "none")
    for use, (first, end) in sorted(lineage.windows.items(), key=lambda window: window[1]):
        facts.add_row(use, f"{first} until before {end}")
    for name, value in (
        ("recipe", lineage.recipe),
        ("code", lineage.code_version),
        *((f"seed: {name}", str(seed)) for name, seed in lineage.seeds.items()),
        *lineage.environment.items(),
        *settings_of(settings, {}).items(),
    ):
        facts.add_row(escape(name), escape(value))
    console.print(facts)

    console.print("\n[bold]What happened")
    happened = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for at, what, why in events:
        happened.add_row(at[:16].replace("T", " "), escape(what), escape(why))
    console.print(happened)

    console.print(f"\nEvery criterion: stillhouse gate show {found.id}", markup=False)
    if CARD in found.files:
        console.print(f"The card: {folder / CARD}", markup=False, soft_wrap=True)
    else:
        console.print(f"As a page: stillhouse release {found.id} --html card.html", markup=False)
