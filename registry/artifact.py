"""A release folder: its files, and the manifest that names every one with its size and sha256.

Written beside its place, brought to the disk and renamed into it: a release is there whole or not at all. Read once:
the bytes that are returned are the bytes that were verified.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.durable import sync_folder, write_new
from registry.errors import ReleaseError
from registry.kinds import check_content, check_name
from registry.lineage import Lineage

RELEASE_ID = re.compile(r"\d{4}-\d{2}-\d{2}-[0-9a-f]{8}")
MANIFEST = "manifest.json"
LINEAGE = "lineage.json"
# Without these there is nothing to serve, to distil from or to explain.
REQUIRED = frozenset(
    {"teacher.safetensors", "serving.safetensors", "calibrator.json", "spec.json", "config.json", "metrics.json"}
)
UNFINISHED = ".saving-"
MAX_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """A file's size in bytes and the sha256 of its content, in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A verified release: its id, the sha256 of its manifest, the manifest, and every file's bytes."""

    id: str
    hash: str
    manifest: Mapping[str, FileRecord]
    files: Mapping[str, bytes]

    @property
    def lineage(self) -> Lineage:
        return Lineage.from_bytes(self.files[LINEAGE])

    @property
    def weights_hash(self) -> str:
        """One hash over both sets of weights: equal for two trainings that ended in the same model."""
        pair = (self.manifest[name].sha256 for name in ("teacher.safetensors", "serving.safetensors"))
        return hashlib.sha256("\n".join(pair).encode()).hexdigest()

    def json(self, name: str) -> Any:
        """The content of a JSON file of the release, such as `metrics.json`."""
        if name not in self.files:
            raise ReleaseError(f"release {self.id} holds no {name}; it holds {', '.join(sorted(self.files))}")
        return json.loads(self.files[name])


def check_id(release_id: str) -> str:
    """The id itself; raises ReleaseError unless it looks like 1998-01-05-0a1b2c3d. Nothing else becomes a path."""
    if not RELEASE_ID.fullmatch(release_id):
        raise ReleaseError(
            f"{release_id!r} is not a release id: one looks like 1998-01-05-0a1b2c3d; `stillhouse history` lists them"
        )
    return release_id


def write(root: Path, files: Mapping[str, bytes], *, lineage: Lineage) -> Artifact:
    """Save a release under `root`. The same content gives the same id, and saving it again changes nothing.

    id = <partition day>-<first 8 hex digits of the manifest's sha256>. Neither files nor manifest may depend on the
    clock. Raises ReleaseError for a file name or content that no release may hold, and for a missing file.
    """
    for name, content in files.items():
        check_name(name)
        if name in (MANIFEST, LINEAGE):
            raise ReleaseError(f"{name} is written by the registry; leave it out of the files")
        check_content(name, content)
    if absent := REQUIRED - set(files):
        raise ReleaseError(f"a release is one thing; {', '.join(sorted(absent))} is missing from the files to save")

    whole = {**files, LINEAGE: lineage.to_bytes()}
    manifest = {
        name: FileRecord(size=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in sorted(whole.items())
    }
    manifest_bytes = _manifest_bytes(manifest)
    manifest_hash = hashlib.sha256(manifest_bytes).hexdigest()
    release_id = f"{lineage.partition}-{manifest_hash[:8]}"
    place = root / release_id
    if os.path.lexists(place):
        try:
            found = read(root, release_id)
        except ReleaseError as error:
            raise ReleaseError(f"{error}. Move {place} away, then save the release again") from error
        if found.hash != manifest_hash:
            raise ReleaseError(f"{place} holds another release of the same id; change a seed and train again")
        return found

    beside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=root))
    try:
        beside.chmod(0o755)
        for name, content in {**whole, MANIFEST: manifest_bytes}.items():
            write_new(beside / name, content)
        sync_folder(beside)
        os.rename(beside, place)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync_folder(root)
    return Artifact(id=release_id, hash=manifest_hash, manifest=manifest, files=whole)


def read(root: Path, release_id: str) -> Artifact:
    """Every byte of a release, after all of it was verified.

    Raises ReleaseError for a release that is not there, a file that is missing, extra, changed, not a plain file (a
    link, a folder) or of a kind that no release may hold, and for a manifest that is not the one the id was made from.
    """
    folder = root / check_id(release_id)
    try:
        is_folder = stat.S_ISDIR(os.lstat(folder).st_mode)
    except FileNotFoundError:
        raise ReleaseError(f"there is no release {release_id} in {root}; `stillhouse history` lists them") from None
    if not is_folder:
        raise ReleaseError(f"release {release_id} is refused: {folder} is not a folder (a link?)")

    manifest_bytes = _read_plain(folder / MANIFEST, release_id, limit=MAX_MANIFEST_BYTES)
    manifest_hash = hashlib.sha256(manifest_bytes).hexdigest()
    if not release_id.endswith(manifest_hash[:8]):
        raise ReleaseError(f"release {release_id} is refused: {MANIFEST} was changed, its hash is {manifest_hash[:8]}…")
    manifest = _parse_manifest(manifest_bytes, release_id)

    present = {entry.name for entry in os.scandir(folder)} - {MANIFEST}
    if absent := set(manifest) - present:
        raise ReleaseError(f"release {release_id} is refused: {', '.join(sorted(absent))} is missing from {folder}")
    if extra := present - set(manifest):
        raise ReleaseError(f"release {release_id} is refused: its manifest does not name {', '.join(sorted(extra))}")
    if unnamed := (REQUIRED | {LINEAGE}) - set(manifest):
        raise ReleaseError(f"release {release_id} is refused: its manifest lacks {', '.join(sorted(unnamed))}")

    files = {}
    for name, record in manifest.items():
        content = _read_plain(folder / name, release_id, limit=record.size)
        if len(content) != record.size or hashlib.sha256(content).hexdigest() != record.sha256:
            raise ReleaseError(f"release {release_id} is refused: {name} was changed after it was saved")
        check_content(name, content)
        files[name] = content
    if not release_id.startswith(Lineage.from_bytes(files[LINEAGE]).partition):
        raise ReleaseError(f"release {release_id} is refused: its lineage names another partition")
    return Artifact(id=release_id, hash=manifest_hash, manifest=manifest, files=files)


def _manifest_bytes(manifest: Mapping[str, FileRecord]) -> bytes:
    content = {"files": {name: {"size": record.size, "sha256": record.sha256} for name, record in manifest.items()}}
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def _parse_manifest(content: bytes, release_id: str) -> dict[str, FileRecord]:
    try:
        entries = json.loads(content)["files"]
        manifest = {name: FileRecord(**entry) for name, entry in entries.items()}
        sound = all(type(record.size) is int and type(record.sha256) is str for record in manifest.values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ReleaseError(f"release {release_id} is refused: {MANIFEST} cannot be read") from error
    if not sound:
        raise ReleaseError(f"release {release_id} is refused: {MANIFEST} holds a size or hash of the wrong type")
    for name in manifest:
        check_name(name)
    return manifest


def _read_plain(path: Path, release_id: str, *, limit: int) -> bytes:
    """At most limit + 1 bytes of a plain file (one more than the limit shows that it grew); follows no link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise ReleaseError(
            f"release {release_id} is refused: {path.name} cannot be opened ({error.strerror})"
        ) from error
    # Looked at before Python's file is made of it, which refuses a folder with an error of its own.
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ReleaseError(f"release {release_id} is refused: {path.name} is not a plain file")
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit + 1)
