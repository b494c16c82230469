"""Simulated exposures per minute, from the seed to landing files and truth on disk.

The baseline only writes the same rows, ready made, one by one with the standard library's json.
"""

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks._figures import Figure, report
from lakehouse.home import Home
from simulator.simulate import simulate

GOAL_PER_MINUTE = 1_000_000
BASELINE_ROWS = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exposures", type=int, default=2_000_000)
    parser.add_argument("--weeks", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        home = Home(Path(folder))
        start = time.perf_counter()
        simulate(home, exposures=arguments.exposures, weeks=arguments.weeks, seed=arguments.seed)
        minutes = (time.perf_counter() - start) / 60
        landed = sorted((home.landing / "exposures").iterdir())
        num_rows = sum(path.read_bytes().count(b"\n") for path in landed)
        baseline = standard_library_rows_per_minute(landed[0])
    ours = num_rows / minutes
    figure = Figure(
        figure=f"exposures a minute, all files written ({num_rows:,} rows, seed {arguments.seed})",
        ours=ours,
        baseline=baseline,
        goal=f"≥ {GOAL_PER_MINUTE:,}",
        holds=ours >= GOAL_PER_MINUTE,
    )
    report("simulate", [figure])


def standard_library_rows_per_minute(path: Path) -> float:
    """How fast the rows of a landed file are written row by row with `json`, without simulating them."""
    rows = [json.loads(line) for line in path.read_text().splitlines()[:BASELINE_ROWS]]
    start = time.perf_counter()
    with path.with_suffix(".baseline").open("w") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
    return len(rows) / (time.perf_counter() - start) * 60


if __name__ == "__main__":
    main()
