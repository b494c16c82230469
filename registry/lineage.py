"""What a release was made of: every input by table version, the recipe, the teacher, the code, seeds, environment.

Enough to train it again and get the same weights. It holds no clock: the same training gives the same lineage.
"""

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from importlib.metadata import version
from pathlib import Path

from registry.errors import ReleaseError

# What decides the weights: the rooms that make them, and the SQL that makes their input.
CODE = ("ranker", "lakehouse", "registry", "decisions", "orchestration", "models", "macros", "dbt_project.yml")

# A quarter of weekly releases: what came before taught little of what is there now.
MAX_TEACHERS = 12
# Keys that the first releases were saved without.
LATER = frozenset({"dropped_teacher", "teachers"})


@dataclass(frozen=True, kw_only=True)
class Input:
    """One table as it was read: `table_id` at `version`, the rows taken from it and the hash of their content."""

    relation: str
    path: str
    table_id: str
    version: int
    rows: int
    content_hash: str


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """`partition` is the day that the training data ends before, `windows` the days by use: {"train": (first, last)}.

    `teachers` are its teacher, that one's own, and so on, the nearest first, at most MAX_TEACHERS. `dropped_teacher` is
    the release that was to teach it and did it harm: what was released is the control that it had no part in.

    Raises ValueError if the partition is no ISO day.
    """

    partition: str
    windows: Mapping[str, tuple[str, str]]
    inputs: tuple[Input, ...]
    recipe: str
    teacher: str | None
    code_version: str
    seeds: Mapping[str, int]
    environment: Mapping[str, str]
    dropped_teacher: str | None = None
    teachers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if date.fromisoformat(self.partition).isoformat() != self.partition:
            raise ValueError(f"partition is {self.partition!r}; it must be a day such as 1998-01-05")

    def to_bytes(self) -> bytes:
        return (json.dumps(asdict(self), indent=2, sort_keys=True) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Lineage":
        found = json.loads(content)
        known = {field.name for field in fields(cls)}
        if not isinstance(found, dict) or not known - LATER <= set(found) <= known:
            raise ReleaseError(f"lineage.json must hold the keys {sorted(known)} and no other; train the release again")
        found["windows"] = {use: (first, last) for use, (first, last) in found["windows"].items()}
        found["inputs"] = tuple(Input(**entry) for entry in found["inputs"])
        found["teachers"] = tuple(found.get("teachers", ()))
        return cls(**found)


def environment(*, threads: int) -> dict[str, str]:
    """What the weights may depend on beside code and data: Python, torch, machine and the number of torch threads."""
    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "platform": f"{platform.system()} {platform.machine()}",
        "threads": str(threads),
    }


def code_version(project: Path) -> str:
    """`git:<commit>` where the code is exactly that commit, else `content:<sha256>` of the code's files."""
    top = _git(project, "rev-parse", "--show-toplevel")
    if top is not None and Path(top).resolve() == project.resolve():
        changed = _git(project, "status", "--porcelain", "--", *CODE)
        commit = _git(project, "rev-parse", "HEAD")
        if changed == "" and commit is not None:
            return f"git:{commit}"
    digest = hashlib.sha256()
    for path in _code_files(project):
        digest.update(f"{path.relative_to(project).as_posix()}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"content:{digest.hexdigest()}"


def _code_files(project: Path) -> list[Path]:
    found = [project / name for name in CODE if (project / name).is_file()]
    for name in CODE:
        found += (path for path in (project / name).rglob("*") if path.suffix in {".py", ".sql", ".yml"})
    return sorted(found)


def _git(project: Path, *arguments: str) -> str | None:
    """What git answers, or None where there is no git or no repository."""
    try:
        answer = subprocess.run(["git", "-C", str(project), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
