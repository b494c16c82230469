"""The journal: one JSON line for every change, kept for good, numbered without a gap."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from registry.durable import sync_folder
from registry.errors import ReleaseError
from registry.pointer import Move

FILE = "journal.jsonl"
Event = Literal[Move, "saved", "gate", "overridden", "excluded", "readmitted", "forgotten", "repaired"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What happened to which release, when and why. `number` counts from 1; `details` belong to the event."""

    number: int
    at: str
    event: Event
    release: str | None
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


def read(root: Path) -> list[Entry]:
    """Every entry, oldest first. A torn last line (nobody was told that it was kept) is left out, nothing else is.

    Raises ReleaseError for a line that cannot be read or whose number is out of turn.
    """
    path = root / FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    entries = []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            entry = Entry(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise ReleaseError(
                f"{path}, line {number} cannot be read ({error}); put the file back from a backup"
            ) from error
        if entry.number != number:
            raise ReleaseError(
                f"{path}, line {number} is entry {entry.number}: lines were lost or added; restore a backup"
            )
        entries.append(entry)
    return entries


def append(root: Path, *, event: Event, at: str, release: str | None, reason: str, details: Mapping[str, Any]) -> Entry:
    """Add an entry, durably. The caller holds the registry's lock and has repaired a torn line."""
    entry = Entry(number=len(read(root)) + 1, at=at, event=event, release=release, reason=reason, details=details)
    path = root / FILE
    fresh = not path.exists()
    with open(path, "ab", buffering=0) as file:
        file.write((json.dumps(asdict(entry)) + "\n").encode())
        os.fsync(file.fileno())
    if fresh:
        sync_folder(root)
    return entry


def repair(root: Path, *, at: str) -> bool:
    """Cut a torn last line off and keep its text in an entry of its own; True if there was one.

    A line without its newline was never acknowledged: its writer was killed, or the disk was full. What it would have
    said is said again by the registry's recovery (the pointer and the release folders know it) or by the caller.
    """
    path = root / FILE
    if not path.exists():
        return False
    content = path.read_bytes()
    whole_bytes = content.rfind(b"\n") + 1
    torn = content[whole_bytes:]
    if not torn:
        return False
    with open(path, "r+b") as file:
        file.truncate(whole_bytes)
        os.fsync(file.fileno())
    details = {"torn": torn.decode(errors="backslashreplace")}
    append(
        root, event="repaired", at=at, release=None, reason="the last line was torn: its writer died", details=details
    )
    return True
