"""dbt on production as a person types it, in a process of its own."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse import server
from lakehouse.home import PROJECT, Home


@dataclass(frozen=True)
class DbtRun:
    """Seconds from the start of the process to its end, and what dbt wrote to run_results.json."""

    seconds: float
    run_results: dict[str, Any]


def run_dbt(home: Home, command: str, *options: str, project: Path = PROJECT) -> DbtRun:
    """Raises RuntimeError with the end of what dbt said if it fails."""
    environment = {**os.environ, **server.environment(home), "DBT_PROJECT_DIR": str(project)}
    dbt = [str(Path(sys.executable).parent / "dbt"), command, "--target", "prod", *options]
    started = time.perf_counter()
    done = subprocess.run(dbt, cwd=project, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{' '.join(dbt[1:])} failed:\n{done.stdout[-4000:]}")
    return DbtRun(seconds, json.loads((home.dbt / "target" / "run_results.json").read_text()))
