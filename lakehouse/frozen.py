"""Frozen copies: the rows that a release was made from, in a folder of its own that no build and no vacuum touches.

lake/frozen/<release>/<relation>/ is a Delta table with one version. It is written beside its place and renamed into
it, so that a release is frozen whole or not at all; it is never written again.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
from deltalake import DeltaTable, write_deltalake

from lakehouse.home import Home
from lakehouse.versions import Pin

INDEX = "frozen.json"
UNFINISHED = ".freezing-"


def folder(home: Home, release: str) -> Path:
    """Where the copy of a release is, if it was frozen."""
    return home.lake / "frozen" / release


def copies(home: Home, release: str) -> dict[Pin, Pin]:
    """Each pin of a frozen release and the pin of its copy; empty if the release was not frozen."""
    place = folder(home, release)
    try:
        entries = json.loads((place / INDEX).read_text())
    except FileNotFoundError:
        return {}
    return {Pin(**entry["pin"]): _copy(Pin(**entry["pin"]), place, entry["table_id"]) for entry in entries}


def write(
    home: Home, release: str, rows: Mapping[Pin, pa.Table], *, verify: Callable[[Mapping[Pin, Pin]], None]
) -> Path:
    """Freeze `rows`, the rows that `release` took from each pinned version; returns the folder.

    `verify` is handed the pin of each copy before the copy gets its place, and raises if it does not read back right;
    then nothing is left behind. A release that is frozen already stays as it is.
    """
    place = folder(home, release)
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=place.parent))
    try:
        beside.chmod(0o755)
        index, found = [], {}
        for pin, table in rows.items():
            where = beside / pin.relation
            write_deltalake(where, table, description=f"what {release} took from {pin.relation} {pin.data_version}")
            table_id = str(DeltaTable(where).metadata().id)
            index.append({"pin": asdict(pin), "table_id": table_id})
            found[pin] = _copy(pin, beside, table_id)
        verify(found)
        (beside / INDEX).write_text(json.dumps(index, indent=2) + "\n")
        for path in [*beside.rglob("*"), beside]:
            _sync(path)
        beside.rename(place)
        _sync(place.parent)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return place


def tables(home: Home) -> list[tuple[str, Path]]:
    """What every table of every copy is called, and its folder."""
    found = [log.parent for log in sorted((home.lake / "frozen").glob("[!.]*/*/_delta_log"))]
    return [(f"{table.name}, frozen for {table.parent.name}", table) for table in found]


def drop_rows(table: Path, where: pads.Expression) -> None:
    """Make a version of a copied table without some rows its newest; the release can then not be made again from it."""
    rows = DeltaTable(table).to_pyarrow_dataset().to_table(filter=~where)
    write_deltalake(table, rows, mode="overwrite")


def _copy(pin: Pin, place: Path, table_id: str) -> Pin:
    return Pin(relation=pin.relation, path=str(place / pin.relation), table_id=table_id, version=0)


def _sync(path: Path) -> None:
    """Bring a file or folder to the disk: what it was copied from may be deleted next."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
