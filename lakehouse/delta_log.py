"""The log of a Delta table by its files: which versions it leads to, and what a crash did to it.

A log on a local disk is not brought to the disk commit by commit: a power cut can leave the newest ones empty or cut
short, and Spark reads an empty commit as one that changed nothing.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

COMMIT = re.compile(r"(\d{20})\.json")
CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.(?:(?:\d{10}\.\d{10}\.)?parquet|[0-9a-f-]{36}\.(?:json|parquet))")
# The one column of the version that a repair writes for a moment to get a table into the catalogue.
PLACEHOLDER = "stillhouse_repair_was_interrupted"
Kind = Literal["torn", "torn-checkpoint", "gap", "interrupted", "unregistered", "leftover"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong with one table: what, and what to do, in one line. `version`: where the log is."""

    kind: Kind
    relation: str
    path: Path
    said: str
    version: int | None = None
    can_be_mended: bool = True

    @property
    def log(self) -> Path:
        return self.path / "_delta_log"


@dataclass(frozen=True, kw_only=True)
class Log:
    """The names in a table's `_delta_log`: its commits and checkpoints by version, oldest first."""

    table: Path
    commits: tuple[int, ...]
    checkpoints: tuple[int, ...]

    @classmethod
    def of(cls, table: Path) -> "Log":
        names = os.listdir(table / "_delta_log") if (table / "_delta_log").is_dir() else []
        commits = sorted(int(found[1]) for name in names if (found := COMMIT.fullmatch(name)))
        checkpoints = sorted({int(found[1]) for name in names if (found := CHECKPOINT.fullmatch(name))})
        return cls(table=table, commits=tuple(commits), checkpoints=tuple(checkpoints))

    @property
    def folder(self) -> Path:
        return self.table / "_delta_log"

    def commit(self, version: int) -> Path:
        return self.folder / f"{version:020}.json"

    def can_rebuild(self, version: int, *, without: Iterable[int] = ()) -> bool:
        """Whether the names suffice to read `version`: every commit since a checkpoint, or since version 0.

        `without` names checkpoints that are not to be relied upon.
        """
        bases = (-1, *(base for base in self.checkpoints if base not in set(without)))
        commits = set(self.commits)
        return any(base <= version and commits.issuperset(range(base + 1, version + 1)) for base in bases)


def damage(relation: str, table: Path) -> Iterator[Fault]:
    """What is wrong with the log of one table: torn commits and checkpoints, and gaps.

    Every name and size is looked at, and the content of the commits since the last checkpoint, which a reader of the
    newest version reads. A commit that was cut exactly between two of its lines looks whole.
    """
    log = Log.of(table)
    if not log.commits:
        return
    torn_checkpoints = [version for version in log.checkpoints if not _is_whole_checkpoint(log, version)]
    sound = [version for version in log.checkpoints if version not in torn_checkpoints]
    newest, oldest = log.commits[-1], log.commits[0]
    for version in torn_checkpoints:
        rebuilds = log.can_rebuild(newest, without=torn_checkpoints)
        if rebuilds:
            advice = f"`stillhouse repair {relation}` sets it aside, its commits hold the same"
        else:
            advice = "and the commits before it are gone: restore the folder from a backup"
        yield Fault(
            kind="torn-checkpoint",
            relation=relation,
            path=log.table,
            version=version,
            can_be_mended=rebuilds,
            said=f"{relation}: checkpoint {version} in {log.folder} is cut short; {advice}",
        )
    for before, after in zip(log.commits, log.commits[1:], strict=False):
        if after != before + 1:
            yield _gap(relation, log, first=before + 1, last=after - 1)
    if oldest > 0 and not any(checkpoint >= oldest - 1 for checkpoint in sound):
        yield _gap(relation, log, first=0, last=oldest - 1)
    read_anew = max((version for version in sound if version < newest), default=-1)
    torn = [version for version in log.commits if _is_torn(log.commit(version), whole=version > read_anew)]
    for version in torn:
        # A power cut can tear several commits at once; the newest whole one then is the table.
        is_last = set(torn).issuperset(later for later in log.commits if later > version)
        yield _torn(relation, log, version, is_last=is_last)
    if newest not in torn and _is_placeholder(log.commit(newest)):
        yield Fault(
            kind="interrupted",
            relation=relation,
            path=log.table,
            version=newest,
            said=f"{relation}: its repair was interrupted at version {newest}; `stillhouse repair {relation}` ends it",
        )


def _gap(relation: str, log: Log, *, first: int, last: int) -> Fault:
    versions = f"version {first} is" if first == last else f"versions {first} to {last} are"
    return Fault(
        kind="gap",
        relation=relation,
        path=log.table,
        version=first,
        can_be_mended=False,
        said=f"{relation}: {versions} missing from {log.folder}; restore the files from a backup",
    )


def _torn(relation: str, log: Log, version: int, *, is_last: bool) -> Fault:
    path = log.commit(version)
    advice = "later commits build on it: restore the file from a backup"
    if is_last:
        advice = (
            f"no whole one follows: `stillhouse repair {relation}` sets it aside, as if it had never been made; then "
            "run again what wrote it"
        )
    return Fault(
        kind="torn",
        relation=relation,
        path=log.table,
        version=version,
        can_be_mended=is_last,
        said=f"{relation}: commit {version} is {_how_torn(path)} ({path}); {advice}",
    )


def _is_torn(path: Path, *, whole: bool) -> bool:
    """Judged by its content if `whole`, else (behind a checkpoint, where only old versions need it) by its size."""
    return _how_torn(path) != "whole" if whole else path.stat().st_size == 0


def _how_torn(path: Path) -> str:
    """`whole`, or what is wrong with a commit: one JSON object a line, at least one, and nothing else."""
    content = path.read_bytes()
    if not content.strip(b"\0 \r\n"):
        return "empty"
    try:
        actions = [orjson.loads(line) for line in content.splitlines() if line.strip()]
    except orjson.JSONDecodeError:
        return "cut short or not JSON"
    return "whole" if all(isinstance(action, dict) for action in actions) else "not a list of actions"


def _is_placeholder(path: Path) -> bool:
    """Whether a commit makes the table the placeholder of a repair; the one that ends the repair names it elsewhere."""
    lines = [line for line in path.read_bytes().splitlines() if PLACEHOLDER.encode() in line]
    return any(PLACEHOLDER in orjson.loads(line).get("metaData", {}).get("schemaString", "") for line in lines)


def _is_whole_checkpoint(log: Log, version: int) -> bool:
    """Whether every parquet file of a checkpoint ends as parquet does."""
    return all(_ends_as_parquet(path) for path in log.folder.glob(f"{version:020}.checkpoint*.parquet"))


def _ends_as_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 4, 0))
        return file.read() == b"PAR1"
