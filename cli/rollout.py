"""`stillhouse rollout`: how the canary does, and a person's word on it. `stillhouse exclude`: rows not to train on."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.releases import fail, show_in_sql
from lakehouse.home import home
from registry import Registry, ReleaseError

if TYPE_CHECKING:
    from decisions.rollout import RolloutDecision
    from online.settings import Settings

NO_CANARY = "There is no canary; `stillhouse production` shows what is live."
COLOURS = {"harm": "red", "hold": "yellow", "clear": "green"}
BY = click.option("--as", "by", metavar="NAME", required=True, help="Who says so; kept for good.")
BECAUSE = click.option("--because", "reason", metavar="TEXT", required=True, help="Why; kept for good.")


@click.group(invoke_without_command=True)
@click.pass_context
def rollout(context: click.Context) -> None:
    """Show how the canary does; hold, promote or revert it.

    Where nobody says anything, Dagster's daemon looks every half minute and does what the figures say.
    """
    if context.invoked_subcommand is None:
        context.invoke(status)


@rollout.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object with figures, rules and decision, for machines.")
def status(as_json: bool = False) -> None:
    """Show the canary, its share, and what figures say of it now. Changes nothing, and needs no lake."""
    from orchestration.rollout import look

    registry = Registry(home().releases)
    try:
        found = look(home=home(), registry=registry, settings=settings(), now=datetime.now(UTC))
    except (ReleaseError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(found.to_json() if found else {"release": None}, indent=2))
        return
    if found is None:
        click.echo(NO_CANARY)
        return
    pointer = registry.pointer()
    console = Console(highlight=False)
    console.print(
        f"[bold]{found.release}[/] is the canary, at {pointer.canary_share:.0%} since {pointer.canary_since}; "
        f"production is {pointer.production}"
    )
    show(console, found.decision)
    if found.slow_ms is not None:
        console.print(f"slow: above {found.slow_ms:.2f} ms, which 5 % of production's rankings were before")


def show(console: Console, decision: "RolloutDecision") -> None:
    """What each guardrail says, and the decision that follows."""
    table = Table("", "", box=None, padding=(0, 2, 0, 0))
    for title in ("canary", "control", "requests", "odds of harm", "reverts at"):
        table.add_column(title, justify="right")
    table.add_column("")
    for one in decision.findings:
        colour = COLOURS[one.status]
        table.add_row(
            f"[{colour}]{one.status}",
            one.guardrail,
            _rate(one.canary_rate),
            _rate(one.control_rate),
            f"{one.canary_requests:,}",
            "–" if one.odds is None else f"{one.odds:.3g}",
            f"{one.reverts_at:,.0f}",
            escape(one.reason),
        )
    console.print(table)
    console.print(f"[bold]{decision.action}[/]: {escape(decision.reason)}")


@rollout.command()
@click.option("--release", help="Of one canary; by default of the last one.")
@click.option(
    "--again", is_flag=True, help="Take each decision once more from what was kept; ends with 1 if one differs."
)
def decisions(release: str | None, again: bool) -> None:
    """List the decisions on a canary, with the figures that they were taken on kept for good."""
    from orchestration.rollout import decisions as kept

    found = kept(home(), release)
    if release is None and found:
        found = [one for one in found if one.release == max(found, key=lambda one: one.at).release]
    if not found:
        click.echo("No decision on a canary was taken yet.")
        return
    table = Table("at", "share", "decision", box=None, padding=(0, 2, 0, 0))
    if again:
        table.add_column("again")
    table.add_column("reason")
    differing = 0
    for one in found:
        row = [f"{one.at:%Y-%m-%d %H:%M:%S}", f"{one.rules.shares[one.state.step]:.0%}", one.decision.action]
        if again:
            is_same = one.again() == one.decision
            differing += not is_same
            row.append("the same" if is_same else f"[red]{one.again().action}")
        table.add_row(*row, escape(one.decision.reason))
    console = Console(highlight=False)
    console.print(f"[bold]{found[0].release}")
    console.print(table)
    if differing:
        raise click.ClickException(f"{differing} of {len(found)} decisions differ: the code that decides was changed")


@rollout.command()
@click.argument("release", metavar="ID")
@BECAUSE
def start(release: str, reason: str) -> None:
    """Make a release the canary that passed its gate, and had to wait for another one."""
    from orchestration.rollout import bring

    registry = Registry(home().releases)
    try:
        version = registry.pointer().version
        click.echo(
            bring(release, home=home(), registry=registry, settings=settings(), version=version, reason=reason) + "."
        )
    except ReleaseError as error:
        fail(error)
    show_in_sql(registry)


@rollout.command()
@BY
@BECAUSE
def hold(by: str, reason: str) -> None:
    """Keep the canary at its share until `resume`; harm still takes it back."""
    registry = Registry(home().releases)
    try:
        moved = registry.hold_canary(by=by, reason=reason)
    except ReleaseError as error:
        fail(error)
    click.echo(f"{moved.canary} stays at {moved.canary_share:.0%} until `stillhouse rollout resume`.")
    show_in_sql(registry)


@rollout.command()
@BY
@BECAUSE
def resume(by: str, reason: str) -> None:
    """Let figures decide again about a canary that is held."""
    registry = Registry(home().releases)
    try:
        moved = registry.resume_canary(by=by, reason=reason)
    except ReleaseError as error:
        fail(error)
    click.echo(f"{moved.canary} goes on from {moved.canary_share:.0%} as figures say.")
    show_in_sql(registry)


@rollout.command()
@BY
@BECAUSE
def promote(by: str, reason: str) -> None:
    """Give the canary to everybody but the holdouts now, whatever the figures say."""
    registry = Registry(home().releases)
    try:
        pointer = registry.pointer()
        if pointer.canary is None:
            raise ReleaseError(NO_CANARY)
        moved = registry.promote(
            pointer.canary,
            expected_version=pointer.version,
            reason=f"promoted by {by}: {reason}",
            holdouts=settings().holdouts,
        )
    except ReleaseError as error:
        fail(error)
    click.echo(f"{moved.production} is in production (pointer version {moved.version}); before it: {moved.previous}.")
    click.echo("To take it back: stillhouse revert")
    show_in_sql(registry)


@rollout.command()
@BECAUSE
def revert(reason: str) -> None:
    """Take the canary back: production answers all again.

    The release is marked: it never becomes a teacher, and what it logged is not trained on.
    """
    registry = Registry(home().releases)
    try:
        moved = registry.revert_canary(reason=reason)
    except ReleaseError as error:
        fail(error)
    click.echo(f"{moved.previous} was taken back; {moved.production} answers everybody.")
    show_in_sql(registry)


@click.group(invoke_without_command=True)
@click.pass_context
def exclude(context: click.Context) -> None:
    """List rows that are left out of training, leave a window out, or take it in again.

    \b
    stillhouse exclude window --since 2026-03-02T08:00Z --until 2026-03-02T11:00Z --as "Mei" --because "prices were 0"
    stillhouse retrain

    What a release logged that was taken back is left out by itself.
    """
    if context.invoked_subcommand is None:
        context.invoke(listed)


@exclude.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, for machines.")
def listed(as_json: bool = False) -> None:
    """List what is left out now, and why."""
    try:
        found = Registry(home().releases).exclusions()
    except ReleaseError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps([one.to_json() for one in found], indent=2))
        return
    if not found:
        click.echo("Nothing is left out of training.")
        return
    table = Table("#", "rows", "since when", "by", box=None, padding=(0, 2, 0, 0))
    table.add_column("why")
    for one in found:
        rows = f"of {one.release}" if one.release else f"from {one.since} to {one.until}"
        table.add_row(str(one.number), rows, one.at[:16].replace("T", " "), one.by or "", escape(one.reason))
    Console(highlight=False).print(table)


@exclude.command()
@click.option("--since", required=True, metavar="TIME", help="ISO 8601 with a zone; rows served from here on.")
@click.option("--until", required=True, metavar="TIME", help="Up to here, exclusive.")
@BY
@BECAUSE
def window(since: str, until: str, by: str, reason: str) -> None:
    """Leave out of training and judgement what was served in a window."""
    _say(lambda registry: registry.exclude(since=since, until=until, by=by, reason=reason))
    click.echo("The next retrain leaves it out; `stillhouse retrain` trains the newest week again now.")


@exclude.command()
@click.argument("number", type=int)
@BY
@BECAUSE
def lift(number: int, by: str, reason: str) -> None:
    """Take a window in again, by its number in the list."""
    _say(lambda registry: registry.readmit(number, by=by, reason=reason))
    click.echo("The next retrain takes it in again.")


def _say(what: Any) -> None:
    registry = Registry(home().releases)
    try:
        what(registry)
    except ReleaseError as error:
        fail(error)
    show_in_sql(registry)


def settings() -> "Settings":
    from online.settings import Settings

    return Settings.load()


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3%}"
