"""The one file that says what is in production, what is canary at which share, and what the holdout stays on."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from registry.artifact import check_id
from registry.durable import replace
from registry.errors import ReleaseError

FILE = "pointer.json"


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """`version` counts the changes and fences them: who read version n may only make version n + 1.

    `event`, `previous` (the production before) and `reason` describe the last change in full, so that its journal
    entry can be written from the pointer alone.
    """

    version: int
    production: str | None
    canary: str | None
    canary_share: float
    holdout: str | None
    event: Literal["promoted", "reverted"] | None
    previous: str | None
    updated_at: str | None
    reason: str


NOTHING = Pointer(
    version=0,
    production=None,
    canary=None,
    canary_share=0.0,
    holdout=None,
    event=None,
    previous=None,
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
        for release_id in (pointer.production, pointer.canary, pointer.holdout, pointer.previous):
            if release_id is not None:
                check_id(release_id)
        if pointer.version < 1 or pointer.event not in ("promoted", "reverted"):
            raise ValueError(f"version {pointer.version}, event {pointer.event}")
    except (ValueError, TypeError, ReleaseError) as error:
        expected = ", ".join(field.name for field in fields(Pointer))
        raise ReleaseError(
            f"{path} cannot be read ({error}); it must be a JSON object of {expected}. "
            "The last promoted or reverted line of journal.jsonl holds what it should say."
        ) from error
    return pointer


def write(root: Path, pointer: Pointer) -> None:
    """Replace the pointer, durably. The caller holds the registry's lock."""
    replace(root / FILE, (json.dumps(asdict(pointer), indent=2) + os.linesep).encode())
