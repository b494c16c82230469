"""A snapshot as a server reads it: mapped into memory, each user and item found by bisection over its key.

Shapes: K candidates.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lakehouse.keys import keys_of

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
# Where an id is in no snapshot.
UNKNOWN = -1
NEVER = np.iinfo(np.int64).min


class States:
    """A table of states, sorted by key. Columns without null stay where they are mapped; others are copied, once."""

    def __init__(self, table: pa.Table) -> None:
        self._columns = {name: table[name].combine_chunks() for name in table.column_names}
        self._arrays: dict[str, NDArray[Any]] = {}
        self.keys: NDArray[np.uint64] = self._columns["key"].to_numpy()

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, column: str) -> bool:
        return column in self._columns

    @property
    def text_columns(self) -> list[str]:
        return [name for name, column in self._columns.items() if pa.types.is_dictionary(column.type)]

    def rows(self, ids: Sequence[str]) -> Ints:
        """The row of each id, UNKNOWN for one that is not there."""
        wanted = keys_of(ids)
        if not len(self):
            return np.full(len(ids), UNKNOWN)
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self) - 1)
        return np.where(self.keys[at] == wanted, at, UNKNOWN)

    def numbers(self, name: str, rows: Ints, *, unknown: float = 0.0) -> Floats:
        """The values of a numeric column; NaN for null, `unknown` for an unknown row."""
        return self._taken(name, rows, unknown).astype(np.float64)

    def times(self, name: str, rows: Ints) -> Ints:
        """The values of a time in microseconds since 1970 UTC; NEVER for null and for an unknown row."""
        return self._taken(name, rows, NEVER)

    def words(self, name: str) -> tuple[Ints, list[str]]:
        """A text column as codes, one a row, into its words; −1 for null."""
        column = self._columns[name]
        return pc.fill_null(pc.cast(column.indices, pa.int64()), -1).to_numpy(), column.dictionary.to_pylist()

    def value(self, name: str, row: int) -> Any:
        """One value as a Python object; None for null and for an unknown row."""
        return None if row == UNKNOWN else self._columns[name][row].as_py()

    def lists(self, name: str) -> list[list[str]]:
        """A column of lists of text, as Python objects."""
        return self._columns[name].to_pylist()

    def _taken(self, name: str, rows: Ints, unknown: float) -> NDArray[Any]:
        if not len(self):
            return np.full(len(rows), unknown)
        if name not in self._arrays:
            column = self._columns[name]
            if pa.types.is_timestamp(column.type):
                column = pc.fill_null(pc.cast(pc.cast(column, pa.timestamp("us", column.type.tz)), pa.int64()), NEVER)
            self._arrays[name] = column.to_numpy(zero_copy_only=False)
        return np.where(rows == UNKNOWN, unknown, self._arrays[name][rows])


@dataclass(frozen=True)
class Snapshot:
    """The states of all users and items at `as_of`, and what rates are smoothed with."""

    name: str
    as_of: datetime
    click_rate: float
    prior_weight: float
    users: States
    items: States

    @classmethod
    def open(cls, folder: Path) -> "Snapshot":
        """Map a snapshot. Raises ValueError for a folder that is none, or of another layout."""
        try:
            about = json.loads((folder / "snapshot.json").read_text())
            return cls(
                name=folder.name,
                as_of=datetime.fromisoformat(about["as_of"]),
                click_rate=float(about["click_rate"]),
                prior_weight=float(about["prior_weight"]),
                users=States(_mapped(folder / "users.arrow")),
                items=States(_mapped(folder / "items.arrow")),
            )
        except (OSError, ValueError, KeyError, pa.ArrowInvalid) as error:
            raise ValueError(f"{folder} is no snapshot ({error}); `stillhouse snapshot` writes one") from error


def _mapped(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
