"""The ledger of file versions handed to the lake: one immutable manifest per load, written before the load begins.

A load holds what had landed in all streams when somebody looked.

A load is in one of three states, read from two files: no manifest (not begun), a manifest alone (begun, to be
finished by whoever comes next), a manifest and its receipt (done).
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from lakehouse.home import Home


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Whole lines of one landing file, copied so that a load reads the same bytes however often it is begun."""

    name: str
    first_row: int
    lines: int


@dataclass(frozen=True, kw_only=True)
class FileVersion:
    """One landing file with the content it had when it was read; `path` is relative to landing/."""

    path: str
    size: int
    modified_ns: int
    changed_ns: int
    sha256: str
    lines: int
    segments: tuple[Segment, ...]
    load_id: int
    read_at: datetime

    @property
    def stream(self) -> str:
        return self.path.partition("/")[0]

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "read_at": self.read_at.isoformat()}, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> "FileVersion":
        content = json.loads(line)
        content["segments"] = tuple(Segment(**segment) for segment in content["segments"])
        content["read_at"] = datetime.fromisoformat(content["read_at"])
        return cls(**content)


class Ledger:
    """The manifests and receipts of one home."""

    def __init__(self, home: Home) -> None:
        self.manifests = home.lake / "manifests"
        self.receipts = home.lake / "receipts"
        self.checkpoint = home.lake / "checkpoint"
        self._segments = home.lake / "segments"

    def segments(self, load_id: int) -> Path:
        """The folder with the load's copy of its files, one folder a stream."""
        return self._segments / f"{load_id:010}"

    def next_load_id(self) -> int:
        return max((int(path.stem) for path in self._manifest_files()), default=0) + 1

    def versions(self, load_id: int) -> list[FileVersion]:
        return [FileVersion.from_json(line) for line in self._manifest(load_id).read_text().splitlines()]

    def latest(self) -> dict[str, FileVersion]:
        """The version handed over last, by path."""
        loads = sorted(int(path.stem) for path in self._manifest_files())
        return {version.path: version for load_id in loads for version in self.versions(load_id)}

    def begun(self) -> list[int]:
        """Loads that have a manifest and no receipt, oldest first."""
        manifests = {int(path.stem) for path in self._manifest_files()}
        receipts = {int(path.stem) for path in self.receipts.glob("*.json")}
        return sorted(manifests - receipts)

    def begin(self, load_id: int, versions: list[FileVersion]) -> None:
        write_durably(self._manifest(load_id), "".join(version.to_json() + "\n" for version in versions))

    def finish(self, load_id: int, receipt: Sequence[Mapping[str, object]]) -> None:
        """Keep the fates of the load's lines, one entry a stream, and give back the room of its segments."""
        write_durably(self.receipts / f"{load_id:010}.json", json.dumps(receipt) + "\n")
        shutil.rmtree(self.segments(load_id), ignore_errors=True)

    def restate(self, path: str, *, size: int, sha256: str, lines: int) -> None:
        """Take other content for the version of a file that was handed over last, so that nobody loads it as a new one.

        The stream that watches the manifests knows them by their names, and does not look at this one again. Nothing
        happens if the file was never handed over.
        """
        known = self.latest().get(path)
        if known is not None:
            now = replace(known, size=size, sha256=sha256, lines=lines, segments=())
            self.begin(known.load_id, [now if one == known else one for one in self.versions(known.load_id)])

    def _manifest(self, load_id: int) -> Path:
        return self.manifests / f"{load_id:010}.jsonl"

    def _manifest_files(self) -> Iterator[Path]:
        return self.manifests.glob("[0-9]*.jsonl")


def write_durably(path: Path, content: str) -> None:
    """Write a whole file or none of it: write beside it, fsync, rename, fsync the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")  # hidden: the stream that watches the folder passes over it
    with draft.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
