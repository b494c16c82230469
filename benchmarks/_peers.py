"""Environments for peers, each of its own: what a benchmark compares with is never installed beside the product."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks._figures import FOLDER
from lakehouse.home import PROJECT


def peer_python(name: str, *, requirements: Sequence[str]) -> Path:
    """The interpreter of an environment that holds the requirements; made once, and anew when they change."""
    folder = FOLDER / "peers" / name
    stamp = folder / "requirements"
    wanted = "\n".join(requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {', '.join(requirements)} into {folder}", flush=True)
        uv = shutil.which("uv") or str(PROJECT / ".uv" / "bin" / "uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *requirements]
        subprocess.run(install, check=True)
        stamp.write_text(wanted)
    return folder / "bin" / "python"


def run_peer(python: Path, script: str, *arguments: object) -> None:
    """Run a script of this folder under a peer's interpreter."""
    subprocess.run([str(python), str(Path(__file__).with_name(script)), *map(str, arguments)], check=True)
