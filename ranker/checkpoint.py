"""Where a training stands, in a file from which it goes on to the same weights after it was killed."""

import hashlib
import os
from pathlib import Path
from typing import Any

import torch

from ranker.rows import TrainingRows

SECONDS_BETWEEN = 60.0


def fingerprint(rows: TrainingRows, **settings: Any) -> str:
    """What a training is made from: its settings, and which rows it has."""
    keys = sum(int(part.key_B.sum()) for part in rows.parts())
    about = {"rows": rows.ranks.each((rows.num_rows_P.tolist(), keys)), "settings": sorted(settings.items())}
    return hashlib.sha256(repr(about).encode()).hexdigest()


def write(path: Path, state: dict[str, Any], *, of: str) -> None:
    """Replace the file whole, so that a kill leaves the one before or this one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        torch.save({**state, "of": of}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def read(path: Path, *, of: str) -> dict[str, Any] | None:
    """The state that was written last; None if there is no file.

    Raises ValueError for a file that cannot be read, or of a training with other rows or settings.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as a checkpoint ({error}); delete it to train from the start"
        ) from error
    if state.get("of") != of:
        raise ValueError(
            f"{path} is of a training with other rows or settings; give this one a file of its own, or delete that one"
        )
    return state
