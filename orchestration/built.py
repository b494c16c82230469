"""What the last build of everything left behind, and whether another one would find anything to do.

The tables follow from the project's files and from raw.*; no model asks the clock. While those, and every table that a
build left, are as they were at its end, another build changes no row: a retrain that was killed after its build is run
again without one.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lakehouse.home import PROJECT, Home
from lakehouse.ingest.ledger import write_durably
from lakehouse.landing import STREAMS
from lakehouse.versions import PinError, pin

RAW = ("raw.quarantine", *(stream.table for stream in STREAMS.values()))


def project_files() -> list[Path]:
    """Every file that says what dbt builds."""
    folders = [PROJECT / folder for folder in ("models", "macros", "tests/dbt")]
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [PROJECT / "dbt_project.yml", PROJECT / "profiles" / "profiles.yml", *sorted(files)]


def inputs(home: Home) -> dict[str, Any]:
    """What a build that begins now is made of: the project's files, and the versions of raw.*."""
    content = hashlib.sha256()
    for file in project_files():
        content.update(f"{file.relative_to(PROJECT)}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
    return {"project": content.hexdigest(), "raw": _versions(RAW, home=home)}


def remember(made_of: dict[str, Any], tables: Sequence[str], *, home: Home) -> None:
    """Keep how a build of everything left `tables`, and its `inputs`, taken before it: more may have landed since."""
    record = {**made_of, "tables": _versions(tables, home=home)}
    write_durably(_record(home), json.dumps(record, indent=2) + "\n")


def is_as_left(tables: Sequence[str], *, home: Home) -> bool:
    """Whether the project, raw.* and `tables` are what they were when a build of everything ended."""
    try:
        left: dict[str, Any] = json.loads(_record(home).read_text())
        return left == {**inputs(home), "tables": _versions(tables, home=home)}
    except (FileNotFoundError, PinError):
        return False


def _versions(tables: Sequence[str], *, home: Home) -> dict[str, str]:
    return {table: pin(table, home=home).data_version for table in sorted(tables)}


def _record(home: Home) -> Path:
    return home.dbt / "prod" / "built.json"
