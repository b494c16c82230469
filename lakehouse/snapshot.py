"""Snapshots: the states of all users and items at one moment, as Arrow files that ranking servers map into memory.

A snapshot is a folder, online/snapshots/<as_of>-<hash>/, with users.arrow, items.arrow and snapshot.json; the file
`current` beside it names the one to serve. A snapshot is written beside its place and renamed into it, so a server
sees it whole or not at all; several hosts each have their own copy of the folder.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.home import PROJECT, Home
from lakehouse.ingest.ledger import write_durably
from lakehouse.keys import keys_of
from lakehouse.variables import variables
from lakehouse.versions import Pin, pin, read

FOLDER, CURRENT, ABOUT = "snapshots", "current", "snapshot.json"
USERS, ITEMS = "users.arrow", "items.arrow"
TABLES = {USERS: ("marts.user_states", "user_id"), ITEMS: ("marts.item_states", "item_id")}
# Servers that map the one before go on reading it while they load the next.
KEPT = 3
UNFINISHED = ".writing-"


def publish(home: Home, *, inputs: Sequence[Pin] | None = None) -> Path:
    """Write a snapshot of the states and name it the current one; the same states give the same snapshot.

    `inputs`: the versions to take, of the tables in TABLES in their order; by default the newest.
    Raises ValueError if the two tables are of different builds, or two ids fall on one key.
    """
    pins = inputs or [pin(relation, home=home) for relation, _ in TABLES.values()]
    return write({name: read(one) for name, one in zip(TABLES, pins, strict=True)}, inputs=pins, home=home)


def write(states: Mapping[str, pa.Table], *, inputs: Sequence[Pin], home: Home) -> Path:
    """The same of states that were read already, by file."""
    as_of = _moment(states)
    about = {"as_of": as_of, **_knobs(states[ITEMS]), "inputs": [asdict(one) for one in inputs]}
    root = home.online / FOLDER
    root.mkdir(parents=True, exist_ok=True)
    place = root / name_of(as_of, inputs)
    if not place.exists():
        beside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=root))
        beside.chmod(0o755)
        for name, (_, key) in TABLES.items():
            _write(_by_key(states[name], key), beside / name)
        write_durably(beside / ABOUT, json.dumps(about, indent=2) + "\n")
        os.rename(beside, place)
    write_durably(root / CURRENT, place.name + "\n")
    _forget_old(root, keep=place.name)
    return place


def holding(home: Home, users: Collection[str]) -> list[Path]:
    """The snapshots that hold the state of one of these users."""
    keys = keys_of(sorted(users))
    found = sorted((home.online / FOLDER).glob(f"[!.]*/{USERS}"))
    return [users_file.parent for users_file in found if np.isin(keys, _keys(users_file)).any()]


def forget(home: Home, users: Collection[str]) -> list[Path]:
    """Put a snapshot without these users in the place of the current one, and delete all that hold them; those.

    A server goes over to it at once. Killed and run again, it goes on.
    """
    root = home.online / FOLDER
    held = holding(home, users)
    for place in held:
        if place.name == (root / CURRENT).read_text().strip():
            write_durably(root / CURRENT, _without(place, users).name + "\n")
    for place in held:
        shutil.rmtree(place)
    for draft in root.glob(f"{UNFINISHED}*"):
        shutil.rmtree(draft)
    return held


def _without(place: Path, users: Collection[str]) -> Path:
    """The same snapshot without some users, beside it."""
    states = _read(place / USERS)
    kept = states.filter(pa.array(~np.isin(states["key"].to_numpy(), keys_of(sorted(users)))))
    beside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=place.parent))
    beside.chmod(0o755)
    _write(pa.table({name: _anew(kept[name]) for name in kept.column_names}), beside / USERS)
    for name in (ITEMS, ABOUT):
        shutil.copyfile(place / name, beside / name)
    digest = hashlib.sha256(place.name.encode() + (beside / USERS).read_bytes()).hexdigest()
    named = place.with_name(f"{place.name[:10]}-{digest[:8]}")
    if named.exists():
        shutil.rmtree(beside)
    else:
        beside.rename(named)
    return named


def _anew(column: pa.ChunkedArray) -> pa.Array:
    """A column whose dictionary has only the words that are in it."""
    plain = column.combine_chunks()
    return plain.cast(plain.type.value_type).dictionary_encode() if pa.types.is_dictionary(plain.type) else plain


def _keys(file: Path) -> Any:
    return _read(file)["key"].to_numpy()


def _read(file: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(file))).read_all()


def name_of(as_of: str, inputs: Sequence[Pin]) -> str:
    versions = " ".join(one.data_version for one in inputs)
    return f"{as_of[:10]}-{hashlib.sha256(versions.encode()).hexdigest()[:8]}"


def _moment(states: Mapping[str, pa.Table]) -> str:
    moments = {name: set(pc.unique(table["as_of"]).to_pylist()) for name, table in states.items()}
    found = set().union(*moments.values())
    if len(found) != 1 or None in found:
        said = {TABLES[name][0]: sorted(map(str, when)) for name, when in moments.items()}
        raise ValueError(f"the states are of {said}: nothing was built yet, or the two by different builds; build both")
    (as_of,) = found
    assert isinstance(as_of, datetime)
    return as_of.astimezone(UTC).isoformat()


def _knobs(items: pa.Table) -> dict[str, float]:
    """What rates are smoothed with, and the overall rate that they are smoothed towards: of the days before."""
    knobs = variables(PROJECT)
    weight, at_start = float(knobs["click_rate_prior_weight"]), float(knobs["click_rate_at_start"])
    clicks, exposures = (int(pc.sum(items[name]).as_py() or 0) for name in ("clicks", "exposures"))
    return {"prior_weight": weight, "click_rate": (clicks + weight * at_start) / (exposures + weight)}


def _by_key(states: pa.Table, id_column: str) -> pa.Table:
    """The states sorted by key, text in words of a dictionary, without chunks."""
    keys = keys_of(states[id_column].to_pylist())
    order = np.argsort(keys, kind="stable")
    if (np.diff(keys[order]) == 0).any():
        raise ValueError(f"two values of {id_column} have one key; this needs four billion of them or a doubled row")
    columns = {"key": pa.array(keys[order])}
    for name in states.column_names:
        if name not in ("as_of", id_column):
            column = states[name].combine_chunks().take(pa.array(order))
            columns[name] = column.dictionary_encode() if pa.types.is_string(column.type) else column
    return pa.table(columns)


def _write(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    with path.open("rb") as written:
        os.fsync(written.fileno())


def _forget_old(root: Path, *, keep: str) -> None:
    found = sorted((path for path in root.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    finished = [path for path in found if not path.name.startswith(UNFINISHED) and path.name != keep]
    for path in finished[: max(len(finished) - KEPT + 1, 0)]:
        shutil.rmtree(path)
