"""Mend what `lakehouse.guard` finds: register or delete a table that the catalogue lacks, set a torn commit aside."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import SparkSession

from lakehouse import guard, server
from lakehouse.delta_log import PLACEHOLDER, Fault, Log
from lakehouse.home import Home
from lakehouse.writer import writing


class NotRepaired(guard.TableFault):
    """There is nothing to repair, or only a backup can."""


def repair(home: Home, relation: str, *, connect: Callable[[Home], SparkSession], remove: bool = False) -> list[str]:
    """Mend everything that is wrong with `relation` and say what was done, one line each.

    First its log (see `mend_log`), then its entry in the catalogue (see `mend_entry`); `connect` opens the session in
    between, for mending a log stops the lake. Raises NotRepaired if nothing is wrong with `relation`, and WriterBusy
    while something writes.
    """
    with writing(home, f"stillhouse repair {relation}"):
        done = [*mend_log(home, relation), *mend_entry(home, relation, spark=connect(home), remove=remove)]
    if not done:
        raise NotRepaired(f"nothing is wrong with {relation}; `stillhouse repair` lists every table that needs it")
    return done


def heal(home: Home, spark: SparkSession) -> list[str]:
    """Register, unasked, what a killed create left behind, where nobody can have seen it; what was done.

    That is a table whose log is a single commit: whole, and never in the catalogue. (One with more commits was there
    once, and whoever lost it should look.) In raw.* and ops.*, where it stands in the way of the next create, also a
    folder is removed that holds no file, or only a commit that was never named. The caller is the one writer.
    """
    done = []
    for fault in guard.unregistered(home, spark):
        if fault.kind == "unregistered" and Log.of(fault.path).commits == (0,):
            done.append(_register(fault, spark))
        elif fault.kind == "leftover" and fault.relation.startswith(guard.OURS) and not _holds_files(fault.path):
            done.append(_remove(fault))
    return done


def mend_log(home: Home, relation: str) -> list[str]:
    """Move torn commits that no whole one follows, and torn checkpoints, to lake/set-aside/; what was done.

    The lake server, which may remember them, is stopped for it. Raises NotRepaired, before anything is moved, if a
    commit is missing or torn under later ones: only a backup helps.
    """
    found = [fault for fault in guard.damaged_logs(home) if fault.relation == relation]
    faults = [fault for fault in found if fault.kind != "interrupted"]
    if hopeless := [fault for fault in faults if not fault.can_be_mended]:
        raise NotRepaired("\n".join(fault.said for fault in hopeless))
    if faults:
        server.stop(home)
    done = []
    for fault in faults:
        what = "checkpoint" if fault.kind == "torn-checkpoint" else "commit"
        begins = f"{fault.version:020}.checkpoint" if what == "checkpoint" else f"{fault.version:020}."
        # Checksums of a file carry its name behind a dot.
        files = [file for file in fault.log.iterdir() if file.name.lstrip(".").startswith(begins)]
        # The hint may name the checkpoint that goes; readers that find none look for themselves.
        files += [file for file in fault.log.glob("_last_checkpoint") if file.exists()]
        done.append(f"{relation}: {what} {fault.version} was set aside in {_set_aside(home, relation, files)}")
    return done


def mend_entry(home: Home, relation: str, *, spark: SparkSession, remove: bool) -> list[str]:
    """Register a table that the catalogue lacks, as it lies, or, with `remove`, delete it; what was done.

    Raises NotRepaired for a leftover that is not to be removed: nothing in it was committed.
    """
    done = [
        _restore(relation, version=fault.version - 1, spark=spark)
        for fault in guard.damaged_logs(home)
        if fault.relation == relation and fault.kind == "interrupted" and fault.version is not None
    ]
    for fault in guard.unregistered(home, spark):
        if fault.relation == relation:
            if fault.kind == "leftover" and not remove:
                raise NotRepaired(fault.said)
            done.append(_remove(fault) if remove else _register(fault, spark))
    return done


def _register(fault: Fault, spark: SparkSession) -> str:
    """Create the table over its own log, and take it back to the version before: only so is it a managed table.

    `CREATE TABLE … LOCATION` would make it an external one, whose folder outlives a `drop table`; every CREATE without
    a SELECT is refused, because the folder is not empty.
    """
    schema, _, name = fault.relation.partition(".")
    spark.sql(f"CREATE SCHEMA IF NOT EXISTS `{schema}`")
    # Spark takes no table back to a version that is older than what the table, as it is now, promises to keep.
    spark.sql(
        f"CREATE OR REPLACE TABLE `{schema}`.`{name}` USING delta TBLPROPERTIES ("
        "'delta.logRetentionDuration' = 'interval 36500 days', "
        f"'delta.deletedFileRetentionDuration' = 'interval 36500 days') AS SELECT true AS {PLACEHOLDER}"
    )
    return _restore(fault.relation, version=Log.of(fault.path).commits[-1] - 1, spark=spark)


def _restore(relation: str, *, version: int, spark: SparkSession) -> str:
    schema, _, name = relation.partition(".")
    spark.sql(f"RESTORE TABLE `{schema}`.`{name}` TO VERSION AS OF {version}")
    return f"{relation}: registered with the content of its version {version}"


def _remove(fault: Fault) -> str:
    shutil.rmtree(fault.path)
    return f"{fault.relation}: {fault.path} was deleted"


def _holds_files(folder: Path) -> bool:
    """Whether there is more than what Delta writes before it gives a commit its name: `.<name>.json.<random>.tmp`."""
    return any(path.is_file() and not path.match("_delta_log/.*.tmp") for path in folder.rglob("*"))


def _set_aside(home: Home, relation: str, files: list[Path]) -> Path:
    folder = home.lake / "set-aside" / relation / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    folder.mkdir(parents=True)
    for file in files:
        shutil.move(file, folder / file.name)
    return folder
