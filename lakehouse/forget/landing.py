"""Landing files without some people's lines, and a ledger that agrees, so that the ingest takes none for a new one."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lakehouse.forget.names import Names
from lakehouse.home import Home
from lakehouse.ingest.ledger import Ledger, sync_folder
from lakehouse.ingest.scan import loadable
from lakehouse.landing import STREAMS

# Hidden: an ingest passes over it.
DRAFT = ".forgetting-"


@dataclass(frozen=True, kw_only=True)
class LandedFile:
    """A landing file with lines of theirs."""

    path: Path
    num_lines: int


def landed_files(home: Home, names: Names) -> list[LandedFile]:
    """The landing files that hold lines of theirs."""
    found = []
    for name, stream in STREAMS.items():
        for path in loadable(home.landing / name):
            with path.open("rb") as file:
                num_lines = sum(names.are_in_line(line, stream) for line in file)
            if num_lines:
                found.append(LandedFile(path=path, num_lines=num_lines))
    return found


def rewrite(home: Home, files: list[LandedFile], names: Names) -> None:
    """Put files without their lines in the place of the files; the caller keeps the ingest away.

    The ledger knows the new content before the file has it. Killed in between and run again, the same is done again.
    """
    ledger = Ledger(home)
    for file in files:
        path = file.path
        relative = path.relative_to(home.landing).as_posix()
        stream = STREAMS[relative.partition("/")[0]]
        draft = path.with_name(f"{DRAFT}{path.name}")
        digest, lines, size = hashlib.sha256(), 0, 0
        with path.open("rb") as before, draft.open("wb") as after:
            for line in before:
                if not names.are_in_line(line, stream):
                    after.write(line)
                    digest.update(line)
                    lines, size = lines + 1, size + len(line)
            after.flush()
            os.fsync(after.fileno())
        status = path.stat()
        draft.chmod(status.st_mode & 0o777)
        os.utime(draft, ns=(status.st_atime_ns, status.st_mtime_ns))
        ledger.restate(relative, size=size, sha256=digest.hexdigest(), lines=lines)
        draft.rename(path)
        sync_folder(path.parent)


def drafts(home: Home) -> Iterator[Path]:
    """What a rewriting that was killed left."""
    return home.landing.glob(f"*/**/{DRAFT}*")
