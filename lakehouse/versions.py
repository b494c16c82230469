"""Pins: one version of one Delta table, named exactly and read exactly, without the JVM."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from lakehouse.home import Home


class PinError(RuntimeError):
    """A pinned table version is not there (any more), or is another table's."""


@dataclass(frozen=True, kw_only=True)
class Pin:
    """Relation, path, table id at that version, and version: `create or replace` makes a new id, drop and create
    starts again at version 0, and an id alone finds no table."""

    relation: str
    path: str
    table_id: str
    version: int

    @property
    def data_version(self) -> str:
        """`<table id>@<version>`, the same for the same content."""
        return f"{self.table_id}@{self.version}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Pin":
        """Raises ValueError if `text` does not hold exactly the four fields."""
        content = json.loads(text)
        try:
            return cls(**content)
        except TypeError:
            raise ValueError(f"text is {text!r}; a pin holds relation, path, table_id and version") from None


def pin(relation: str, *, home: Home) -> Pin:
    """The newest version of a managed table, such as `marts.examples_v1`, at this moment.

    Raises ValueError if `relation` is not `schema.table`, PinError if there is no such Delta table (a view has none:
    pin the table that it reads).
    """
    schema, dot, name = relation.partition(".")
    if not (schema and dot and name) or "." in name or "/" in relation:
        raise ValueError(f"relation is {relation!r}; it must be <schema>.<table>")
    path = home.warehouse / f"{schema}.db" / name
    try:
        table = DeltaTable(path)
    except (TableNotFoundError, FileNotFoundError, DeltaError) as error:
        raise PinError(
            f"{relation} has no Delta table at {path}: build it first, and pin a table, not a view "
            f"({_first_line(error)})"
        ) from error
    return Pin(relation=relation, path=str(path), table_id=str(table.metadata().id), version=table.version())


def read(pin: Pin, *, columns: Sequence[str] | None = None, where: ds.Expression | None = None) -> pa.Table:
    """Exactly the pinned version as an Arrow table; `columns` and `where` are pushed down to the parquet files.

    The order of rows is that of the files in the table's log, and not to be relied upon.

    Raises PinError if the version is gone or belongs to another table, ValueError if a column is not in it.
    """
    dataset = open_dataset(pin)
    unknown = set(columns or ()) - set(dataset.schema.names)
    if unknown:
        raise ValueError(f"columns names {sorted(unknown)}; {pin.relation} has {dataset.schema.names}")
    return dataset.to_table(columns=None if columns is None else list(columns), filter=where)


def open_dataset(pin: Pin) -> ds.Dataset:
    """The pinned version as an Arrow dataset, for reading in batches. Raises PinError as `read` does.

    Arrow reads the files itself: through the handler of delta-rs each read would ask for Python's lock, and a process
    that ends while a dataset is alive would abort.
    """
    return _open(pin).to_pyarrow_dataset(filesystem=SubTreeFileSystem(pin.path, LocalFileSystem()))


def fault(pin: Pin) -> str | None:
    """Why the pinned version can no longer be read, in words; None if it can. Reads the log, not the data.

    Readable means: the log leads to the version, it belongs to the pinned table, and every data file of it exists.
    """
    try:
        _open(pin)
    except PinError as error:
        return str(error)
    return None


def _open(pin: Pin) -> DeltaTable:
    if not Path(pin.path).is_dir():
        raise PinError(f"{pin.relation} is pinned at {pin.path}, which is not there: was the data cleaned or moved?")
    try:
        table = DeltaTable(pin.path, version=pin.version)
    except DeltaError as error:
        raise PinError(
            f"version {pin.version} of {pin.relation} cannot be read from {pin.path}: vacuumed, or the table was "
            f"dropped and built again ({_first_line(error)})"
        ) from error
    found = str(table.metadata().id)
    if found != pin.table_id:
        raise PinError(
            f"version {pin.version} of {pin.relation} belongs to table {found}, and the pin names {pin.table_id}: "
            "the table was dropped and built again since"
        )
    files = data_files(table, Path(pin.path))
    if missing := sum(not file.exists() for file in files):
        raise PinError(
            f"version {pin.version} of {pin.relation} lacks {missing} of its {len(files)} data files: it was vacuumed"
        )
    return table


def data_files(table: DeltaTable, folder: Path) -> list[Path]:
    """The data files of an open version of the table in `folder`, there or not.

    The log holds their paths with what is special in them escaped, relative to the folder (of a clone: absolute).
    """
    paths = pa.table(table.get_add_actions())["path"].to_pylist()
    return [folder / unquote(path).removeprefix("file:") for path in paths]


def content_hash(table: pa.Table) -> str:
    """sha256 over names, types and values, whatever files and chunks they came from; the order of rows counts."""
    digest = hashlib.sha256()
    for name in sorted(table.column_names):
        buffer = pa.BufferOutputStream()
        column = pa.table({name: _plainly_named(table[name].combine_chunks())}).combine_chunks()
        with pa.ipc.new_stream(buffer, column.schema) as stream:
            stream.write_table(column)
        digest.update(buffer.getvalue())
    return digest.hexdigest()


def _plainly_named(column: pa.Array) -> pa.Array:
    """A map with its entries called `entries`: each writer of files has a name for them, kept in the type."""
    if not pa.types.is_map(column.type):
        return column
    mask = column.is_null() if column.null_count else None
    return pa.MapArray.from_arrays(column.offsets, column.keys, column.items, mask=mask)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
