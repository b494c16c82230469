"""Rows of a Spark query on the terminal: a table for people, CSV and JSON lines for programs."""

import base64
import csv
import json
import math
import sys
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, Row
from rich.console import Console
from rich.table import Table
from rich.text import Text

NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")


def print_table(answer: DataFrame, *, limit: int) -> None:
    """The first `limit` rows as a table, and a word when there are more."""
    found = answer.limit(limit + 1).collect()
    table = Table()
    for name, type_name in answer.dtypes:
        table.add_column(Text(name), justify="right" if type_name.startswith(NUMBERS) else "left", overflow="fold")
    for row in found[:limit]:
        table.add_row(*(Text(as_text(value)) for value in row))
    # Not on a terminal, no line is folded: whoever reads a pipe splits it himself.
    Console(width=None if sys.stdout.isatty() else 10_000).print(table)
    if len(found) > limit:
        print(f"The first {limit} rows; there are more (--limit, or --format csv for all).", file=sys.stderr)


def print_csv(answer: DataFrame) -> None:
    """A header and all rows, as they arrive; NULL is an empty field."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.columns)
    for row in answer.toLocalIterator():
        writer.writerow("" if value is None else as_text(value) for value in row)


def print_json(answer: DataFrame) -> None:
    """One JSON object per row and line, as they arrive; NaN and infinity, which JSON has not, are null."""
    for row in answer.toLocalIterator():
        print(json.dumps(as_json(row), ensure_ascii=False))


def as_text(value: Any) -> str:
    """A value in a cell: nested values as JSON, times in ISO 8601 without zone (all are UTC), NULL as such."""
    if value is None:
        return "NULL"
    if isinstance(value, Mapping | list | Row):
        return json.dumps(as_json(value), ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    return str(as_json(value)) if isinstance(value, bytes | bytearray) else str(value)


def as_json(value: Any) -> Any:
    """A value as JSON knows it: rows and maps as objects, bytes in base64, decimals and times as strings.

    >>> as_json(Row(id=1, tags=["a"], share=float("nan"), raw=bytearray(b"hi")))
    {'id': 1, 'tags': ['a'], 'share': None, 'raw': 'aGk='}
    """
    if isinstance(value, Row):
        return {name: as_json(part) for name, part in value.asDict().items()}
    if isinstance(value, Mapping):
        return {str(key): as_json(part) for key, part in value.items()}
    if isinstance(value, list):
        return [as_json(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
