"""Environments for peers, each of its own: what a benchmark compares with is never installed beside the product."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks._figures import FOLDER
from lakehouse.home import PROJECT


def peer_python(name: str, *, requirements: Sequence[str], without: Sequence[str] = ()) -> Path:
    """The interpreter of an environment that holds the requirements; made once, and anew when they change.

    without: packages that these ask for and that are left out, because something among them takes their place.
    """
    folder = FOLDER / "peers" / name
    stamp = folder / "requirements"
    wanted = "\n".join([*requirements, *(f"without {one}" for one in without)])
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {', '.join(requirements)} into {folder}", flush=True)
        uv = shutil.which("uv") or str(PROJECT / ".uv" / "bin" / "uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        (folder / "overrides").write_text("".join(f"{one}; sys_platform == 'never'\n" for one in without))
        install = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")]
        subprocess.run([*install, "--override", str(folder / "overrides"), *requirements], check=True)
        stamp.write_text(wanted)
    return folder / "bin" / "python"


def run_peer(python: Path, script: str, *arguments: object) -> None:
    """Run a script of peers/ under a peer's interpreter."""
    subprocess.run([str(python), str(Path(__file__).parent / "peers" / script), *map(str, arguments)], check=True)
