"""`stillhouse hash-id`: what stands for a person in the lake."""

import sys

import click

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
