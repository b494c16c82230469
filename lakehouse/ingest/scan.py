"""What lies in a landing folder: new file versions, read once and cut into segments, and everything not loadable."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BufferedReader
from pathlib import Path

from lakehouse.ingest.ledger import FileVersion, Segment, sync_folder

SUFFIXES = (".jsonl", ".json")

# A task of the lake server holds one segment in about eight forms at once.
SEGMENT_BYTES = 16 * 2**20
LONGEST_LINE_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A path in the landing folder that was not loaded, with the reason in words."""

    path: str
    reason: str


def new_versions(
    folder: Path,
    *,
    known: Mapping[str, FileVersion],
    segments: Path,
    load_id: int,
    read_at: datetime,
) -> tuple[list[FileVersion], list[LeftOut]]:
    """Read every file under `folder` that changed since its `known` version, copying its lines to `segments`.

    A file is unchanged if its size and its times of modification and of status change are; otherwise its bytes decide.
    """
    versions: list[FileVersion] = []
    left_out: list[LeftOut] = []
    for path, reason in _entries(folder):
        name = path.relative_to(folder.parent).as_posix()
        if reason is None:
            try:
                version = _read(
                    path,
                    name=name,
                    known=known.get(name),
                    segments=segments,
                    prefix=f"{len(versions):06}",
                    load_id=load_id,
                    read_at=read_at,
                )
            except OSError as error:
                reason = f"cannot be read: {error.strerror}"
            except LineTooLong as error:
                reason = str(error)
            else:
                if version is not None:
                    versions.append(version)
        if reason is not None:
            left_out.append(LeftOut(path=name.encode(errors="backslashreplace").decode(), reason=reason))
    if segments.exists():
        sync_folder(segments)
    return versions, left_out


def waiting(folder: Path, *, known: Mapping[str, FileVersion]) -> list[str]:
    """Loadable files of which no version, or only an older one, is known: what a load that just ended did not see."""
    names = []
    for path, reason in _entries(folder):
        name = path.relative_to(folder.parent).as_posix()
        if reason is None:
            try:
                with path.open("rb") as file:
                    if name not in known or not _is_same(file, known[name]):
                        names.append(name)
            except OSError:
                continue  # reported as left out by the scan
    return names


def loadable(folder: Path) -> Iterator[Path]:
    """Every file below a folder that an ingest loads, in order of its path."""
    return (path for path, reason in _entries(folder) if reason is None)


class LineTooLong(ValueError):
    """A line too long to be held in memory."""


def _entries(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Every file below a folder in order of its path, with the reason why it cannot be loaded, or None."""
    if not folder.is_dir():
        return
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.name.startswith((".", "_")):
            yield path, "hidden: its name begins with . or _; rename it to load it"
        elif entry.is_dir(follow_symlinks=False):
            try:
                yield from _entries(path)
            except OSError as error:
                yield path, f"cannot be listed: {error.strerror}"
        elif entry.is_dir():
            yield path, "a link to a folder; put the folder itself here"
        elif not entry.is_file():
            yield path, "not a file"
        elif not entry.name.endswith(SUFFIXES):
            yield path, f"not a landing file: its name ends in none of {', '.join(SUFFIXES)}"
        elif not _is_text(path.as_posix()):
            yield path, "its name is not UTF-8; rename it to load it"
        else:
            yield path, None


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(
    path: Path,
    *,
    name: str,
    known: FileVersion | None,
    segments: Path,
    prefix: str,
    load_id: int,
    read_at: datetime,
) -> FileVersion | None:
    """The file's new version, or None if it is the known one."""
    with path.open("rb") as file:
        if known is not None and _is_same(file, known):
            return None
        status = os.fstat(file.fileno())
        digest = hashlib.sha256()
        newlines, last = 0, b"\n"
        written: list[Segment] = []
        try:
            for block in _blocks(file):
                digest.update(block)
                newlines += block.count(b"\n")
                last = block[-1:]
                written.append(_write(segments, f"{prefix}-{len(written):06}", block, after=written))
        except LineTooLong:
            for segment in written:
                (segments / segment.name).unlink()
            raise
    return FileVersion(
        path=name,
        size=status.st_size,
        modified_ns=status.st_mtime_ns,
        changed_ns=status.st_ctime_ns,
        sha256=digest.hexdigest(),
        lines=newlines + (last != b"\n"),
        segments=tuple(written),
        load_id=load_id,
        read_at=read_at,
    )


def _is_same(file: BufferedReader, known: FileVersion) -> bool:
    """Whether the file still is its known version; leaves it at its first byte."""
    status = os.fstat(file.fileno())
    if (status.st_size, status.st_mtime_ns, status.st_ctime_ns) == (known.size, known.modified_ns, known.changed_ns):
        return True
    is_same = hashlib.file_digest(file, "sha256").hexdigest() == known.sha256
    file.seek(0)
    return is_same


def _blocks(file: BufferedReader) -> Iterator[bytes]:
    """The file's bytes in blocks of whole lines; the last may lack its newline."""
    rest = b""
    while chunk := file.read(SEGMENT_BYTES):
        rest += chunk
        end = rest.rfind(b"\n") + 1
        if end:
            yield rest[:end]
            rest = rest[end:]
        if len(rest) > LONGEST_LINE_BYTES:
            raise LineTooLong(f"holds a line of more than {LONGEST_LINE_BYTES:,} bytes; split it or take it out")
    if rest:
        yield rest


def _write(folder: Path, name: str, block: bytes, *, after: Sequence[Segment]) -> Segment:
    """A segment always ends in a newline: Spark passes over empty files, and a lone blank line must not be one."""
    content = block if block.endswith(b"\n") else block + b"\n"
    first_row = after[-1].first_row + after[-1].lines if after else 1
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return Segment(name=name, first_row=first_row, lines=content.count(b"\n"))
