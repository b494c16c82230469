"""Before anything reads or builds: is the log of every table whole, and does the catalogue know every table?

A first CREATE that is killed between its commit and its registration leaves a table that no SQL sees, and that a build
would start again from nothing.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.delta_log import Fault, Kind, Log, damage
from lakehouse.errors import LakeError
from lakehouse.home import Home

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Another client may be between the commit and the registration of a new table right now.
REGISTERED_WITHIN_S = 5.0
# The schemas of an ingest.
OURS = ("raw.", "ops.")
# Tables that are made by plain CREATEs, which a folder without a commit stands in the way of: those of an ingest, and
# what a build writes down of itself, in production's schema or a person's own.
MADE_PLAINLY = re.compile(r"(raw|ops)\..+|(.+_)?monitoring\.(builds|late_row_counts)")


class TableFault(LakeError):
    """Tables are not what a build or a reader may rely on: one line for each, with the repair."""


def check_tables(home: Home, spark: "SparkSession | None" = None) -> None:
    """Raise TableFault, one line for each, if a log in the warehouse is damaged or a table is not in the catalogue.

    The logs are read without the lake: every name and size, and the content of the commits since the last checkpoint.
    Only a `spark` session knows the catalogue; without one that half is passed over. A leftover without a commit is no
    fault where dbt builds a model, which replaces it (and may be at work on it), but one of MADE_PLAINLY is.
    """
    faults = damaged_logs(home)
    if not faults and spark is not None:
        found = unregistered(home, spark)
        faults = [fault for fault in found if fault.kind == "unregistered" or MADE_PLAINLY.fullmatch(fault.relation)]
    if faults:
        raise TableFault("\n".join(fault.said for fault in faults))


def tables(home: Home) -> Iterator[tuple[str, Path]]:
    """Relation and folder of every Delta table in the warehouse, registered or not, in order of their names."""
    for relation, path in _folders(home):
        log = Log.of(path)
        if log.commits or log.checkpoints:
            yield relation, path


def damaged_logs(home: Home) -> list[Fault]:
    """What is wrong with the logs of all tables: torn commits and checkpoints, and gaps."""
    return [fault for relation, path in _folders(home) for fault in damage(relation, path)]


def unregistered(home: Home, spark: "SparkSession") -> list[Fault]:
    """Folders of the warehouse that the catalogue does not know: tables, and leftovers of creates without a commit."""
    faults = _unregistered(home, spark)
    if faults:
        time.sleep(REGISTERED_WITHIN_S)
        still = {fault.path for fault in _unregistered(home, spark)}
        faults = [fault for fault in faults if fault.path in still]
    return faults


def _folders(home: Home) -> Iterator[tuple[str, Path]]:
    """Every folder where a managed table can be; the schema `default` lies in the warehouse itself."""
    if not home.warehouse.is_dir():
        return
    for outer in _plain(home.warehouse):
        if outer.name.endswith(".db"):
            for inner in _plain(outer):
                yield f"{outer.name.removesuffix('.db')}.{inner.name}", inner
        else:
            yield f"default.{outer.name}", outer


def _plain(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))


def _unregistered(home: Home, spark: "SparkSession") -> list[Fault]:
    schemas = {row[0] for row in spark.sql("SHOW SCHEMAS").collect()}
    known: dict[str, set[str]] = {}
    faults = []
    for relation, path in _folders(home):
        schema, _, name = relation.partition(".")
        if schema not in known:
            rows = spark.sql(f"SHOW TABLES IN `{schema}`").collect() if schema in schemas else []
            known[schema] = {row.tableName for row in rows}
        if name in known[schema] or not any(path.iterdir()):
            continue
        log = Log.of(path)
        if log.commits or log.checkpoints:
            kind: Kind = "unregistered"
            said = (
                f"{relation} has a Delta log at {path} and no entry in the catalogue: its create was killed before it "
                f"was registered. `stillhouse repair {relation}` registers it, with --remove it deletes it"
            )
        else:
            kind = "leftover"
            said = (
                f"{path} holds files without a commit: a create of {relation} was killed before it committed. "
                f"`stillhouse repair {relation} --remove` deletes them"
            )
        faults.append(Fault(kind=kind, relation=relation, path=path, said=said))
    return faults
