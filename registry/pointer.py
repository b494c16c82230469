"""The one file that says what is in production, what is canary at which share, and what the holdouts stay on."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from registry.artifact import check_id
from registry.durable import replace
from registry.errors import ReleaseError

FILE = "pointer.json"
Move = Literal[
    "canary_started",
    "canary_ramped",
    "canary_held",
    "canary_resumed",
    "canary_reverted",
    "promoted",
    "reverted",
]


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """`version` counts the changes and fences them: who read version n may only make version n + 1.

    `canary` has the share of users that it got at `canary_since`, and stays there while `canary_held` names a person's
    reason. A share of the users stays on `holdout`, the production before, until the next promotion; another one on
    `long_holdout` for weeks. decisions/assignment.py says who they are.

    `event`, `previous` (production or canary before, whichever the event is about), `by` and `reason` describe the last
    change in full, so that its journal entry can be written from the pointer alone.
    """

    version: int
    production: str | None
    canary: str | None
    canary_share: float
    canary_since: str | None
    canary_held: str | None
    holdout: str | None
    holdout_share: float
    long_holdout: str | None
    long_holdout_share: float
    long_holdout_since: str | None
    event: Move | None
    previous: str | None
    by: str | None
    updated_at: str | None
    reason: str

    @property
    def releases(self) -> tuple[str, ...]:
        """All that answer somebody, each once."""
        named = (self.production, self.canary, self.holdout, self.long_holdout)
        return tuple(dict.fromkeys(release for release in named if release is not None))


NOTHING = Pointer(
    version=0,
    production=None,
    canary=None,
    canary_share=0.0,
    canary_since=None,
    canary_held=None,
    holdout=None,
    holdout_share=0.0,
    long_holdout=None,
    long_holdout_share=0.0,
    long_holdout_since=None,
    event=None,
    previous=None,
    by=None,
    updated_at=None,
    reason="nothing was released yet",
)


def read(root: Path) -> Pointer:
    """The pointer as it stands, `NOTHING` before the first release. Needs no lock: the file is replaced as a whole."""
    path = root / FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return NOTHING
    try:
        pointer = Pointer(**json.loads(content))
        for release_id in filter(None, (*pointer.releases, pointer.previous)):
            check_id(release_id)
        if pointer.version < 1 or pointer.event not in get_args(Move):
            raise ValueError(f"version {pointer.version}, event {pointer.event}")
        for share in (pointer.canary_share, pointer.holdout_share, pointer.long_holdout_share):
            if not 0 <= share <= 1:
                raise ValueError(f"share {share}")
    except (ValueError, TypeError, ReleaseError) as error:
        expected = ", ".join(field.name for field in fields(Pointer))
        raise ReleaseError(
            f"{path} cannot be read ({error}); it must be a JSON object of {expected}. "
            "The last line of journal.jsonl that has a pointer_version holds what it should say."
        ) from error
    return pointer


def write(root: Path, pointer: Pointer) -> None:
    """Replace the pointer, durably. The caller holds the registry's lock."""
    replace(root / FILE, (json.dumps(asdict(pointer), indent=2) + os.linesep).encode())
