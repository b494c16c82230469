"""One writer at a time: a lock between processes for whatever rebuilds, repairs or vacuums the tables of a home."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from filelock import FileLock, Timeout

from lakehouse.errors import LakeError
from lakehouse.home import Home


class WriterBusy(LakeError):
    """Another process writes the tables of this home; the message says which, since when, and what it does."""


@contextmanager
def writing(home: Home, what: str, *, wait_s: float = 0) -> Iterator[None]:
    """Hold the right to write the tables of `home` inside the block; `what` is said to whoever asks meanwhile.

    The lock goes with its process: nothing is left over from one that was killed. Not to be nested.

    Raises WriterBusy, naming the holder, if the lock is not free within `wait_s` seconds; ValueError if `wait_s` is
    negative (filelock would wait for ever).
    """
    if wait_s < 0:
        raise ValueError(f"wait_s is {wait_s}; it must be 0 (refuse at once) or more")
    home.lake.mkdir(parents=True, exist_ok=True)
    holder = home.lake / "writer.json"
    lock = FileLock(home.lake / "writer.lock", timeout=wait_s)
    try:
        lock.acquire()
    except Timeout:
        raise WriterBusy(
            f"{_said_by(home)}: {what} needs the tables for itself; wait for it, then run it again"
        ) from None
    try:
        draft = holder.with_suffix(".json.new")
        since = datetime.now(UTC).isoformat(timespec="seconds")
        draft.write_text(json.dumps({"pid": os.getpid(), "what": what, "since": since}))
        draft.replace(holder)
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _said_by(home: Home) -> str:
    """Who holds the lock. Between its two steps a holder has the lock and has not said yet what for."""
    try:
        held = json.loads((home.lake / "writer.json").read_text())
    except FileNotFoundError:
        return f"another process holds {home.lake / 'writer.lock'}"
    return f"{held['what']} writes the lake since {held['since'][:16].replace('T', ' ')} UTC (pid {held['pid']})"
