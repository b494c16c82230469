"""Rows that nobody trains on by default: those logged by a release that was taken back, and windows that people name.

Both follow from the journal, which keeps for good who left what out and why, so the same rows are left out again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from registry.journal import Entry
from registry.pointer import Pointer
from registry.standing import standings


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """Rows that a release served, or that anybody did in [since, until), ISO times; `number` is the journal entry's.

    A release is left out for as long as it is taken back: put back by a revert, its rows count again.
    """

    number: int
    kind: Literal["release", "window"]
    release: str | None
    since: str | None
    until: str | None
    by: str | None
    at: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def exclusions(now: Pointer, entries: Sequence[Entry]) -> tuple[Exclusion, ...]:
    """What is left out now, oldest first."""
    standing = standings(now, entries)
    readmitted = {entry.details["number"] for entry in entries if entry.event == "readmitted"}
    found: dict[str, Exclusion] = {}
    for entry in entries:
        if entry.event in ("reverted", "canary_reverted"):
            release = entry.details["previous"]
            if standing.get(release) == "reverted":
                found[release] = _of(entry, kind="release", release=release)
        elif entry.event == "excluded" and entry.number not in readmitted:
            found[str(entry.number)] = _of(entry, kind="window", **_window(entry))
    return tuple(sorted(found.values(), key=lambda one: one.number))


def _window(entry: Entry) -> dict[str, Any]:
    return {"since": entry.details["since"], "until": entry.details["until"]}


def _of(entry: Entry, *, kind: Literal["release", "window"], **what: Any) -> Exclusion:
    given: dict[str, Any] = {"release": None, "since": None, "until": None, **what}
    by = entry.details.get("by")
    return Exclusion(number=entry.number, kind=kind, by=by, at=entry.at, reason=entry.reason, **given)
