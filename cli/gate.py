"""`stillhouse gate`: why a release was passed or refused, the same asked again, and a person's word against it."""

import json
import sys

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.releases import fail, show_in_sql
from decisions.criterion import in_order
from lakehouse.home import home
from registry import Registry, ReleaseError

COLOURS = {
    "block": "red",
    "needs-a-person": "yellow",
    "warn": "magenta",
    "pass": "green",
    "not applicable": "bright_black",
}


@click.group()
def gate() -> None:
    """Show why a release was passed or refused, judge it again, or overrule a refusal."""


@gate.command()
@click.argument("release", metavar="[ID]", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object with every figure and limit, for machines.")
def show(release: str | None, as_json: bool) -> None:
    """Show every criterion that a release was judged by; of the one judged last where none is named.

    What speaks against it comes first.
    """
    registry = Registry(home().releases)
    try:
        judged = [entry.release for entry in registry.journal() if entry.event == "gate"]
        if release is None and not judged:
            raise ReleaseError("the gate has judged nothing yet; `stillhouse retrain` trains a week and asks it")
        found = registry.load(release or str(judged[-1]))
        decision = found.json("gate.json")
        override = registry.overridden().get(found.id)
    except ReleaseError as error:
        fail(error)
    if as_json:
        said = {**override.details, "at": override.at, "reason": override.reason} if override else None
        told = {"teachers": found.lineage.teachers, "dropped_teacher": found.lineage.dropped_teacher}
        click.echo(json.dumps({"release": found.id, **decision, **told, "override": said}, indent=2))
        return
    criteria = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for one in in_order(decision["criteria"]):
        criteria.add_row(f"[{COLOURS[one['status']]}]{one['status']}", escape(one["name"]), escape(one["reason"]))
    console = Console(highlight=False)
    console.print(criteria)
    console.print(f"\n[bold]{found.id}: [{COLOURS[decision['verdict']]}]{decision['verdict']}")
    if found.lineage.dropped_teacher:
        told = found.json("metrics.json")["teacher"]["reason"]
        console.print(f"released without its teacher, {found.lineage.dropped_teacher}: {escape(told)}")
    elif found.lineage.teacher:
        console.print(f"taught by {' ← '.join(found.lineage.teachers or (found.lineage.teacher,))}")
    if override is not None:
        console.print(f"overridden by {escape(override.details['by'])} on {override.at}: {escape(override.reason)}")
    elif decision["verdict"] != "pass":
        console.print(f'To overrule it: stillhouse gate override {found.id} --as NAME --because "…"', markup=False)


@gate.command()
@click.argument("release", metavar="ID")
def again(release: str) -> None:
    """Judge a release once more from its lineage, and say whether the decision is the same.

    \b
    stillhouse gate again 1998-01-05-1f0c9a2b

    Scores the table versions that it was judged on with its own files, beside the production of then, and compares
    every criterion with what was saved. Changes nothing; ends with exit code 1 if anything differs.
    """
    from cli.waiting import Waiting
    from lakehouse.versions import PinError
    from orchestration.again import judge_again

    try:
        with Waiting() as waiting:
            judged = judge_again(release, home=home(), on_progress=waiting.say)
    except (ReleaseError, PinError) as error:
        raise click.ClickException(str(error)) from error
    console = Console(highlight=False)
    verdict = judged.decision.verdict
    if judged.same:
        asked = len(judged.decision.criteria)
        console.print(f"{release}: the same decision, [{COLOURS[verdict]}]{verdict}[/]; {asked} criteria as they were")
        return
    table = Table("criterion", "what", "then", "now", title=f"{release} is judged differently", title_justify="left")
    for one in judged.changes:
        table.add_row(escape(one.criterion), one.field, *(_said(value) for value in (one.then, one.now)))
    console.print(table)
    sys.exit(1)


@gate.command()
@click.argument("release", metavar="ID")
@click.option("--as", "by", metavar="NAME", required=True, help="Who takes it upon themselves; kept for good.")
@click.option("--because", metavar="TEXT", required=True, help="Why; kept for good.")
def override(release: str, by: str, because: str) -> None:
    """Release what its gate did not pass: into production, or where somebody is served, as canary first.

    \b
    stillhouse gate override 1998-01-05-1f0c9a2b --as "Mei Tan" --because "the segment was renamed"

    It must be of production's week or a later one, and never have been taken back. The next student learns from it.
    """
    from online.settings import Settings
    from orchestration.rollout import first_share, is_served

    registry, settings = Registry(home().releases), Settings.load()
    try:
        moved = registry.override(
            release,
            by=by,
            reason=because,
            canary_share=first_share(home(), settings),
            holdouts=settings.holdouts if is_served(home()) else None,
        )
    except ReleaseError as error:
        fail(error)
    if moved.canary == release:
        click.echo(f"{release} is the canary, at {moved.canary_share:.0%} of the users: {moved.reason}.")
        click.echo("To take it back: stillhouse rollout revert")
    else:
        click.echo(f"{moved.production} is in production (pointer version {moved.version}): {moved.reason}.")
        click.echo("To take it back: stillhouse revert")
    show_in_sql(registry)


def _said(value: str | float | None) -> str:
    return "–" if value is None else f"{value:.7g}" if isinstance(value, float) else escape(value)
