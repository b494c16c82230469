"""Delete data files that no kept version of a table needs.

delta-rs says which files these are (`vacuum(keep_versions=…)`, as a dry run) and we delete them. Its own vacuum would
commit twice to the log of a table that the lake server owns: two more versions that hold nothing new, and two commits
that the server's could collide with. Nothing is committed here.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from lakehouse import guard
from lakehouse.delta_log import Log
from lakehouse.errors import LakeError, short_error
from lakehouse.home import Home
from lakehouse.versions import Pin, data_files
from lakehouse.writer import writing


@dataclass(frozen=True, kw_only=True)
class Vacuumed:
    """One table: the older versions that were kept for a pin, and the files that went (in a dry run: would go).

    `kept_bytes` are those of the data files that stay, needed or not yet old enough.
    """

    relation: str
    path: Path
    kept_versions: tuple[int, ...]
    num_files: int
    num_bytes: int
    kept_bytes: int


def vacuum(
    home: Home, *, keep: Collection[Pin], older_than_days: float, dry_run: bool = False, leave: Collection[Path] = ()
) -> list[Vacuumed]:
    """Delete the data files of all tables but those in `leave` that neither the newest nor a pinned version needs.

    A file goes only when it left its table (or, if no commit ever named it, was written) more than `older_than_days`
    ago: every version that was the newest one since then stays readable. Below a day, the caller must know that nobody
    writes: a file that is about to be committed looks like one that nobody needs. A pin whose version is gone already
    protects nothing and stops nothing.

    Raises TableFault if a log is damaged, LakeError if a pinned version has its log and cannot be read (its files may
    be needed), WriterBusy while something else writes the lake, ValueError if `older_than_days` is negative.
    """
    if older_than_days < 0:
        raise ValueError(f"older_than_days is {older_than_days}; it must be 0 or more")
    if dry_run:
        return [planned.table for planned in _plan(home, keep=keep, older_than_days=older_than_days, leave=leave)]
    with writing(home, "stillhouse vacuum"):
        plan = _plan(home, keep=keep, older_than_days=older_than_days, leave=leave)
        for planned in plan:
            for file in planned.files:
                file.unlink()
                # Hadoop's own checksum of the file, where it keeps one.
                file.with_name(f".{file.name}.crc").unlink(missing_ok=True)
    return [planned.table for planned in plan]


@dataclass(frozen=True, kw_only=True)
class _Planned:
    """What is to be deleted of one table."""

    table: Vacuumed
    files: frozenset[Path]


def _plan(home: Home, *, keep: Collection[Pin], older_than_days: float, leave: Collection[Path]) -> list[_Planned]:
    """The whole plan, for all tables: what cannot be read stops it before anything is deleted."""
    guard.check_tables(home)
    return [
        _plan_one(
            relation,
            path,
            keep_versions=sorted({pin.version for pin in keep if _protects(pin, relation=relation, path=path)}),
            older_than_days=older_than_days,
        )
        for relation, path in guard.tables(home)
        if path not in set(leave)
    ]


def _protects(pin: Pin, *, relation: str, path: Path) -> bool:
    """Whether `path` holds the pinned version. A home that was moved keeps its pins: the relation finds the folder."""
    if pin.relation != relation and Path(pin.path) != path:
        return False
    log = Log.of(path)
    if not log.can_rebuild(pin.version):
        return False
    try:
        return str(DeltaTable(path, version=pin.version).metadata().id) == pin.table_id
    except DeltaError as error:
        raise LakeError(
            f"{relation} is pinned at version {pin.version}, whose log is at {log.folder} and cannot be read "
            f"({short_error(error, num_lines=1)}): nothing was deleted; restore the log from a backup"
        ) from error


def _plan_one(relation: str, path: Path, *, keep_versions: list[int], older_than_days: float) -> _Planned:
    try:
        newest = DeltaTable(path)
    except DeltaError as error:
        raise LakeError(
            f"{relation} at {path} cannot be read ({short_error(error, num_lines=1)}); nothing was deleted"
        ) from error
    listed = newest.vacuum(
        retention_hours=round(older_than_days * 24),
        enforce_retention_duration=False,
        dry_run=True,
        full=True,
        keep_versions=keep_versions,
    )
    # delta-rs calls this option experimental: hold its list against the files of each kept version once more.
    needed = set(data_files(newest, path))
    for version in keep_versions:
        needed.update(data_files(DeltaTable(path, version=version), path))
    files = frozenset(file for name in listed if (file := _file(path, name)) is not None)
    if wrong := files & needed:
        raise LakeError(
            f"{relation}: {len(wrong)} files that a kept version needs were listed for deletion, such as "
            f"{min(wrong)}; nothing was deleted"
        )
    num_bytes = sum(file.stat().st_size for file in files)
    there = sum(file.stat().st_size for file in path.rglob("*.parquet") if "_delta_log" not in file.parts)
    table = Vacuumed(
        relation=relation,
        path=path,
        kept_versions=tuple(version for version in keep_versions if version != newest.version()),
        num_files=len(files),
        num_bytes=num_bytes,
        kept_bytes=there - num_bytes,
    )
    return _Planned(table=table, files=files)


def _file(table: Path, name: str) -> Path | None:
    """The data file that delta-rs lists as `name`; None for what is no data file, such as Hadoop's checksums."""
    for path in (table / name, table / unquote(name)):
        if path.is_file():
            return None if path.name.startswith((".", "_")) else path
    return None
