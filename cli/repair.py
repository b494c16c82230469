"""`stillhouse repair`: tables whose log is damaged, or that the catalogue does not know."""

import sys

import click

from lakehouse.home import home


@click.command()
@click.argument("relation", metavar="[TABLE]", required=False)
@click.option("--remove", is_flag=True, help="Delete a table that is not in the catalogue instead of registering it.")
def repair(relation: str | None, remove: bool) -> None:
    """Mend a table after a crash; without TABLE, list what is wrong with all of them.

    \b
    stillhouse repair
    stillhouse repair marts.examples_v1
    stillhouse repair marts.examples_v1 --remove

    A create that was killed between its commit and its registration leaves a folder that the catalogue does not know:
    it is registered as it lies, or deleted with --remove. A power cut can leave the newest commits torn: they are set
    aside in lake/set-aside, as if they had never been made. What only a backup can mend is said so.
    """
    from lakehouse import guard
    from lakehouse.repair import repair as mend
    from lakehouse.session import connect

    if relation is not None:
        for line in mend(home(), relation, connect=connect, remove=remove):
            click.echo(line)
        return
    if remove:
        raise click.UsageError("--remove deletes one table: name it")
    faults = guard.damaged_logs(home()) or guard.unregistered(home(), connect(home()))
    for fault in faults:
        click.echo(fault.said)
    if faults:
        sys.exit(1)
    click.echo("Every log is whole, and the catalogue knows every table.")
