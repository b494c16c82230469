"""What is live, what was, and putting the last good one back: production, history, revert, verify."""

import json
from dataclasses import asdict
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lakehouse import server
from lakehouse.home import home
from registry import Artifact, Registry, ReleaseError

NOTHING_YET = "Nothing was released yet. `make demo` trains and releases on public data; `make ui` opens Dagster."


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for machines.")
def production(as_json: bool) -> None:
    """Show what is live: since when, why, taught by whom, and from which table versions.

    Every file of the release is verified on the way.
    """
    registry = _registry()
    try:
        found = _production(registry)
    except ReleaseError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if found["production"] is None:
        click.echo(NOTHING_YET)
        return
    console = Console()
    gate = "no verdict in the journal"
    if found["gate"]:
        gate = f"{found['gate']['verdict']}: {found['gate']['reason']}"
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("in production", found["production"]),
        ("since", found["since"]),
        ("how", f"{found['event']}, pointer version {found['pointer_version']}"),
        ("why", found["reason"]),
        ("gate", gate),
        ("before it", found["previous"] or "nothing"),
        ("teacher", found["teacher"] or "none"),
        ("canary", _share(found["canary"], "nothing")),
        ("holdout", _share(found["holdout"], "nobody")),
        ("long holdout", _share(found["long_holdout"], "nobody")),
        ("recipe", found["recipe"]),
        ("code", found["code_version"]),
    ):
        facts.add_row(f"[bold]{name}", escape(value))
    console.print(facts)
    inputs = Table("relation", "table id @ version", "rows", title="trained from", title_justify="left")
    for source in found["inputs"]:
        inputs.add_row(source["relation"], f"{source['table_id']}@{source['version']}", f"{source['rows']:,}")
    console.print(inputs)
    console.print(f"All of it: stillhouse release {found['production']}", markup=False, highlight=False)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON list, oldest first, for machines.")
def history(as_json: bool) -> None:
    """Show every change since the first release, oldest first: saved, gate, canary, promoted, reverted."""
    registry = _registry()
    try:
        entries = registry.journal()
        live = registry.production()
    except ReleaseError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    if not entries:
        click.echo(NOTHING_YET)
        return
    table = Table("#", box=None, padding=(0, 2, 0, 0))
    for title in ("at (UTC)", "event", "release"):
        table.add_column(title, no_wrap=True)
    table.add_column("reason")
    for entry in entries:
        event = f"gate: {entry.details['verdict']}" if entry.event == "gate" else entry.event
        release = entry.release or ""
        if release == live:
            release = f"[bold]{release}"
        table.add_row(str(entry.number), entry.at[:16].replace("T", " "), event, release, escape(entry.reason))
    Console().print(table)


@click.command()
@click.option("--to", metavar="ID", help="The release to restore. By default the last good one before production.")
@click.option("--because", metavar="TEXT", help="Why; kept in the journal for good.")
def revert(to: str | None, because: str | None) -> None:
    """Put an earlier release back: teacher, serving model and calibrator as one, after verifying every hash.

    The release taken back is marked: it is not promoted again by itself and never becomes a teacher.
    """
    registry = _registry()
    try:
        moved = registry.revert(to=to, reason=because or "reverted by hand, no reason given")
    except ReleaseError as error:
        fail(error)
    click.echo(
        f"{moved.production} is in production again (pointer version {moved.version}); {moved.previous} was taken back."
    )
    show_in_sql(registry)


def show_in_sql(registry: Registry) -> None:
    """Bring ops.releases up to the journal where the lake is up; no change of production waits for it."""
    if server.status(home()) is None:
        click.echo("SQL (ops.releases) will show it after the next retrain: the lake is down, and this needs none.")
        return
    from orchestration.history import publish_history

    publish_history(registry, home=home())


@click.command()
@click.argument("release", metavar="ID")
def verify(release: str) -> None:
    """Check every file of a release against its manifest; ends with an error if anything was touched."""
    registry = _registry()
    try:
        found = registry.verify(release)
    except ReleaseError as error:
        fail(error)
    table = Table("file", "bytes", "sha256", title=f"{found.id} is intact", title_justify="left")
    for name, record in found.manifest.items():
        table.add_row(name, f"{record.size:,}", record.sha256[:16])
    Console().print(table)


def _registry() -> Registry:
    return Registry(home().releases)


def _production(registry: Registry) -> dict[str, Any]:
    """What is live as plain JSON; only {"production": null} before the first release."""
    now = registry.pointer()
    if now.production is None:
        return {"production": None}
    release: Artifact = registry.load(now.production)
    gates = [entry for entry in registry.journal() if entry.event == "gate" and entry.release == now.production]
    brought, lineage = registry.brought(), release.lineage
    assert brought is not None
    return {
        "production": now.production,
        "since": brought.at,
        "event": brought.event,
        "reason": brought.reason,
        "pointer_version": now.version,
        "previous": brought.details["previous"],
        "canary": _served(now.canary, now.canary_share),
        "holdout": _served(now.holdout, now.holdout_share),
        "long_holdout": _served(now.long_holdout, now.long_holdout_share),
        "gate": {"verdict": gates[-1].details["verdict"], "reason": gates[-1].reason} if gates else None,
        "teacher": lineage.teacher,
        "recipe": lineage.recipe,
        "code_version": lineage.code_version,
        "partition": lineage.partition,
        "weights_hash": release.weights_hash,
        "inputs": [asdict(source) for source in lineage.inputs],
    }


def _served(release: str | None, share: float) -> dict[str, Any] | None:
    return None if release is None else {"release": release, "share": share}


def _share(served: dict[str, Any] | None, nothing: str) -> str:
    return nothing if served is None else f"{served['release']}, {served['share']:.0%} of the users"


def fail(error: ReleaseError) -> NoReturn:
    raise click.ClickException(str(error)) from error
