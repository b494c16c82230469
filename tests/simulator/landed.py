"""What lies in a landing zone, and where it breaks the contract."""

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from lakehouse.home import Home
from lakehouse.landing import STREAMS, Column


def rows_of(home: Home, stream: str) -> list[dict[str, Any]]:
    """The rows of a stream in the order of files and lines."""
    return [row for path in sorted((home.landing / stream).glob("*")) for row in _rows_in(path)]


@cache
def _rows_in(path: Path) -> list[dict[str, Any]]:
    """Landing files never change, so several tests share what was read."""
    return [orjson.loads(line) for line in path.open("rb")]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def breaches(home: Home) -> list[str]:
    """Every value of the landed files that the contract does not allow, in words."""
    found: list[str] = []
    for stream in STREAMS.values():
        columns = {column.name: column for column in stream.columns}
        required = {column.name for column in stream.columns if not column.optional}
        rows = rows_of(home, stream.name)
        # Only our own server writes how its rankings went.
        assert rows or stream.name == "requests", f"no {stream.name} landed"
        for row in rows:
            if not required <= set(row) <= set(columns):
                found.append(f"{stream.name}: keys {sorted(row)}")
                continue
            found += [f"{stream.name}.{name}: {row[name]!r}" for name in row if not _fits(columns[name], row[name])]
            if stream.name == "exposures":
                if row["impressed"] and row["position"] is None:
                    found.append(f"{row['event_id']} was seen nowhere")
                if row["traffic"] == "random" and (row["propensity"] is None or row["logging_probability"] != 1):
                    found.append(f"{row['event_id']} is random without its probabilities")
    return found


def _fits(column: Column, value: Any) -> bool:
    if value is None:
        return column.nullable
    match column.kind:
        case "string":
            return isinstance(value, str) and value != "" and (not column.values or value in column.values)
        case "time":
            return datetime.fromisoformat(value).tzinfo is not None
        case "integer" | "number":
            kinds = int if column.kind == "integer" else int | float
            return isinstance(value, kinds) and not isinstance(value, bool) and _in_range(column, value)
        case "boolean":
            return isinstance(value, bool)
        case "object":
            return isinstance(value, dict)


def _in_range(column: Column, value: float) -> bool:
    return (
        (column.at_least is None or value >= column.at_least)
        and (column.above is None or value > column.above)
        and (column.at_most is None or value <= column.at_most)
        and (column.below is None or value < column.below)
    )
