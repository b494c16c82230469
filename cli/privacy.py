"""`stillhouse hash-id | forget`: what stands for a person in the lake, and a person taken out of it."""

import sys

import click
from rich.console import Console
from rich.table import Table

from lakehouse.home import home


@click.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--field", default="user_id", show_default=True, help="What the ids name, as landing rows call it.")
def hash_id(ids: tuple[str, ...], field: str) -> None:
    """Say what stands for each ID in the lake, one a line; without an ID they are read from standard input.

    \b
    stillhouse hash-id u42
    cut -f1 users.tsv | stillhouse hash-id > hashed

    For whoever lands the users stream while online.yml hashes user_id. The key is that of the services: from
    STILLHOUSE_HASH_KEY, or the file online/hash-key of the home. In Python: online.pseudonyms.pseudonym.
    """
    from online.pseudonyms import Pseudonyms

    pseudonyms = Pseudonyms.of_home((field,), home().online)
    for name in ids or (line.rstrip("\r\n") for line in sys.stdin):
        click.echo(pseudonyms.of(field, name))


@click.command()
@click.argument("users", metavar="USER...", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
def forget(users: tuple[str, ...], dry_run: bool) -> None:
    """Remove people from all that is kept: it wins over every pin, and nothing brings them back.

    \b
    stillhouse forget --dry-run u42
    stillhouse forget u42 u43

    USER is the service's own id; where online.yml hashes user_id, what stands for it goes too. Landing files, feature
    log, quarantine, every table in every version, frozen copies and snapshots lose them; other people's rows stay as
    they are. Releases that were made of theirs are marked: they go on serving, but are neither made nor judged again.

    Stop sending the person's events first. Nothing may ingest, build or retrain meanwhile, and the lake server is
    stopped at the end. Killed, it goes on when it is run again. docs/privacy.md says what is left.
    """
    from cli.waiting import Waiting
    from online.pseudonyms import Pseudonyms
    from online.settings import Settings
    from orchestration.forgetting import forget as forget_users

    pseudonyms = Pseudonyms.of_home(Settings.load().hashed, home().online)
    # What landed before ids were hashed has the service's own.
    known = {name for user in users for name in (user, pseudonyms.of("user_id", user))}
    with Waiting() as waiting:
        found = forget_users(known, home=home(), on_progress=waiting.say, dry_run=dry_run)
    if found.is_nothing:
        click.echo("Nothing is kept of them.")
    else:
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("where", overflow="fold")
        for title in ("would go" if dry_run else "gone", "files"):
            table.add_column(title, justify="right")
        table.add_row("feature log", f"{found.num_requests:,} requests", "")
        lines = sum(file.num_lines for file in found.files)
        table.add_row("landing files", f"{lines:,} lines", f"{len(found.files):,}")
        for one in found.tables:
            table.add_row(one.relation, f"{one.num_rows:,} rows", f"{len(one.files):,}")
        table.add_row("snapshots", "", f"{len(found.snapshots):,}")
        Console().print(table)
    for release, inputs in found.releases.items():
        said = "would not be" if dry_run else "is not"
        click.echo(f"{release} {said} reproducible any more: made from {', '.join(inputs)}")
    for path in found.left:
        click.echo(f"Still names one of them, and is left as it is: {path}", err=True)
    if found.left:
        sys.exit(1)
