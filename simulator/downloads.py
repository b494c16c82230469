"""Public logs travel inside wheels of the Python package index: fetch the wheel, check its hash, never install it."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lakehouse.home import Home


class FetchError(RuntimeError):
    """A log could not be fetched; the message is one line that says what to do."""


@dataclass(frozen=True)
class Wheel:
    """One file of the package index, known by its hash."""

    name: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}-py3-none-any.whl"


def fetch_wheel(wheel: Wheel, home: Home, *, progress: Callable[[str], None]) -> Path:
    """The wheel's path after its hash was checked; downloaded only if it is not there yet.

    It is kept in `downloads/` of the home, or in STILLHOUSE_DOWNLOADS, which several homes can share.
    The index is the one that pip is configured for, or uv by its environment.

    Raises FetchError if the index cannot be reached or the content is not what the hash says.
    """
    folder = Path(os.environ.get("STILLHOUSE_DOWNLOADS") or home.downloads).expanduser()
    path = folder / wheel.file_name
    if path.exists():
        _check_hash(path, wheel)
        return path

    progress(f"Downloading {wheel.file_name} from the configured Python package index")
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as temporary:
        arrived = _download(wheel, Path(temporary))
        _check_hash(arrived, wheel)
        os.replace(arrived, path)
    return path


def _check_hash(path: Path, wheel: Wheel) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != wheel.sha256:
        raise FetchError(
            f"{path} has sha256 {found}, not {wheel.sha256}: it was not read. Delete it and fetch again; "
            "if that repeats, the package index serves another file than the published one"
        )


def _download(wheel: Wheel, folder: Path) -> Path:
    requirement = f"{wheel.name}=={wheel.version}"
    # The wheel is only read, so what its package needs, and which Python, does not matter.
    options = [
        "--no-deps",
        "--only-binary=:all:",
        "--ignore-requires-python",
        "--quiet",
        "--retries=2",
        f"--dest={folder}",
    ]
    command = [*_pip(), "download", *options, requirement]
    result = subprocess.run(command, capture_output=True, text=True, env=_index_environment(), check=False)
    path = folder / wheel.file_name
    if result.returncode != 0 or not path.exists():
        lines = [line.strip() for line in result.stderr.splitlines() if line.startswith("ERROR")]
        reason = lines[-1].removeprefix("ERROR: ") if lines else f"pip ended with status {result.returncode}"
        raise FetchError(
            f"{requirement} could not be downloaded ({reason}); check the network and pip's index (`pip config list`), "
            f"or put {wheel.file_name} into {folder.parent} yourself"
        )
    return path


def _pip() -> list[str]:
    """A pip to run: the environment's own, the one that Python carries for new environments, or the one on PATH."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if ensurepip := importlib.util.find_spec("ensurepip"):
        bundled = sorted(Path(ensurepip.origin or "").parent.glob("_bundled/pip-*.whl"))
        if bundled:
            return [sys.executable, str(bundled[-1] / "pip")]
    if on_path := shutil.which("pip3") or shutil.which("pip"):
        return [on_path]
    raise FetchError("no pip was found to download with: install pip for this Python, or put pip3 on the PATH")


def _index_environment() -> dict[str, str]:
    """The environment for pip, which then knows the index that was named to uv alone."""
    environment = dict(os.environ)
    named_to_uv = environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL")
    if named_to_uv:
        environment.setdefault("PIP_INDEX_URL", named_to_uv)
    return environment
