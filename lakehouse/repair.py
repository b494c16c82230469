"""Mend what `lakehouse.guard` finds: register or delete a table that the catalogue lacks, set a torn commit aside."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import SparkSession

from lakehouse import guard, server
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


def mend_log(home: Home, relation: str) -> list[str]:
    """Move torn commits that no whole one follows, and torn checkpoints, to lake/set-aside/; what was done.

    The lake server, which may remember them, is stopped for it. Raises NotRepaired, before anything is moved, if a
    commit is missing or torn under later ones: only a backup helps.
    """
    faults = [fault for fault in guard.damaged_logs(home) if fault.relation == relation]
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
    """Register a table that the catalogue lacks where it lies or, with `remove`, delete it; what was done.

    A registered one is an external table: dropping it later leaves its folder. Raises NotRepaired for a leftover that
    is not to be removed: nothing in it was committed.
    """
    done = []
    for fault in guard.unregistered(home, spark):
        if fault.relation != relation:
            continue
        if remove:
            shutil.rmtree(fault.path)
            done.append(f"{relation}: {fault.path} was deleted")
            continue
        if fault.kind == "leftover":
            raise NotRepaired(fault.said)
        schema, _, name = relation.partition(".")
        location = str(fault.path).replace("\\", "\\\\").replace("'", "\\'")
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS `{schema}`")
        spark.sql(f"CREATE TABLE `{schema}`.`{name}` USING delta LOCATION '{location}'")
        done.append(f"{relation}: registered as it lies in {fault.path}")
    return done


def _set_aside(home: Home, relation: str, files: list[Path]) -> Path:
    folder = home.lake / "set-aside" / relation / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    folder.mkdir(parents=True)
    for file in files:
        shutil.move(file, folder / file.name)
    return folder
