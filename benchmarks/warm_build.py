"""A day more in a lake of 1 M simulated exposures: a warm `dbt build`, and where each of its seconds goes (15 minutes).

All days but the last few land and are built at once: the baseline. Then each of the last days lands and is built; the
median of these builds counts, from the start of the process to its end, data tests and unit tests included. A second of
a build is shared equally by the nodes that ran in it; seconds without a node are dbt's own.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from benchmarks._dbt_command import run_dbt
from benchmarks._figures import FOLDER, Figure, report
from lakehouse import server
from lakehouse.home import Home
from lakehouse.ingest import ingest
from simulator.files import Period
from simulator.simulate import simulate
from simulator.world import START

GOAL_S = 60
WEEKS = 4
SHOWN = 15


@dataclass(frozen=True, kw_only=True)
class Build:
    seconds: float
    seconds_of: dict[str, float]

    @property
    def seconds_of_kinds(self) -> dict[str, float]:
        kinds: defaultdict[str, float] = defaultdict(float)
        for name, seconds in self.seconds_of.items():
            kinds[name.partition(" ")[0]] += seconds
        return kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exposures", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=5, help="days that land one by one")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=FOLDER, prefix="warm-build-") as folder:
        home = Home(Path(folder).resolve())
        try:
            server.ensure(home)
            # Of the day after the last nothing lands: it closes the period.
            end = START + timedelta(weeks=WEEKS)
            mornings = [end - timedelta(days=number) for number in range(arguments.days, -1, -1)]
            builds = []
            for since, until in zip([None, *mornings], mornings, strict=False):
                period = Period(since=since, until=until)
                simulate(home, exposures=arguments.exposures, weeks=WEEKS, seed=arguments.seed, period=period)
                num_rows = sum(stream.loaded for stream in ingest(home).streams if stream.stream == "exposures")
                builds.append(build(home))
                print(f"until {until}: {num_rows:,} exposures landed, built in {builds[-1].seconds:.1f} s", flush=True)
        finally:
            server.stop(home)
    show(builds[-1])
    first, *days = builds
    ours = median(one.seconds for one in days)
    figure = Figure(
        figure=f"seconds of a warm dbt build, a day more at {arguments.exposures:,} exposures, baseline all at once",
        ours=ours,
        baseline=first.seconds,
        goal=f"≤ {GOAL_S} s",
        holds=ours <= GOAL_S,
    )
    report("warm_build", [figure])


def build(home: Home) -> Build:
    """`dbt build` of production as a person types it, and the seconds of its wall clock by node."""
    done = run_dbt(home, "build")
    spans = []
    for result in done.run_results["results"]:
        kind, _, name = result["unique_id"].split(".")[:3]
        times = [datetime.fromisoformat(one[end]) for one in result["timing"] for end in ("started_at", "completed_at")]
        if times:
            spans.append((f"{kind} {name}", min(times).timestamp(), max(times).timestamp()))
    shared = share_of_time(spans)
    return Build(seconds=done.seconds, seconds_of={**shared, "dbt itself": done.seconds - sum(shared.values())})


def share_of_time(spans: Iterable[tuple[str, float, float]]) -> dict[str, float]:
    """Seconds of each name, a moment shared equally by those that ran in it, from (name, start, end).

    >>> share_of_time([("a", 0.0, 4.0), ("b", 2.0, 6.0)])
    {'a': 3.0, 'b': 3.0}
    """
    running: set[str] = set()
    seconds: defaultdict[str, float] = defaultdict(float)
    events = sorted((at, ends, name) for name, *both in spans for ends, at in enumerate(both))
    last = 0.0
    for at, ends, name in events:
        for one in running:
            seconds[one] += (at - last) / len(running)
        last = at
        (running.discard if ends else running.add)(name)
    return dict(seconds)


def show(last: Build) -> None:
    """Where the seconds of a build went: by kind, and the nodes that took most."""
    table = Table("what", "seconds", "share", title="the last build, second by second")
    for kind, seconds in largest(last.seconds_of_kinds):
        table.add_row(f"[bold]all of kind {kind}[/]", f"{seconds:.1f}", f"{seconds / last.seconds:.0%}")
    for name, seconds in largest(last.seconds_of)[:SHOWN]:
        table.add_row(name, f"{seconds:.1f}", f"{seconds / last.seconds:.0%}")
    Console().print(table)


def largest(seconds_of: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(seconds_of.items(), key=lambda one: -one[1])


if __name__ == "__main__":
    main()
