"""Joins shifted into the future, planted in the models of many small worlds: how many the data tests catch (3 minutes).

The worlds stand side by side in one lake: their ids never meet, so that one run of a data test judges each of them. A
world is caught if a data test names a feature of the plant on one of its exposures. A shift, drawn from one hour to two
days, that changes no feature of a world is no leak and does not count; the figure says of how many worlds it did.
The data tests look at as many examples a world as they do of a whole build.
"""

import argparse
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from benchmarks._dbt_command import run_dbt
from benchmarks._figures import FOLDER, Figure, report
from lakehouse import ops, server
from lakehouse.home import Home
from lakehouse.session import connect
from tests.models.tiny_world import World, make_world
from tests.planted_joins import DATA_TESTS, GROUPS, Plant, compiled, faults

IDS = ("event_id", "request_id", "user_id", "item_id")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--requests", type=int, default=200, help="of a world, three exposures each")
    arguments = parser.parse_args()
    print(f"worlds of seeds 0 to {arguments.worlds - 1}", flush=True)
    home = Home(FOLDER / f"planted-leaks-{arguments.worlds}-{arguments.requests}")
    try:
        # Built once, so that a run that was cut off goes on; delete the folder after a change of the models.
        if not (home.warehouse / "marts.db" / "examples_v1").exists():
            shutil.rmtree(home.root, ignore_errors=True)
            server.ensure(home)
            land([make_world(seed=seed, num_requests=arguments.requests) for seed in range(arguments.worlds)], home)
            run_dbt(home, "run", "--select", "+examples")
        run_dbt(home, "compile", "--select", "+examples", *DATA_TESTS)
        report("planted_leaks", list(judged(home, num_worlds=arguments.worlds)))
    finally:
        server.stop(home)


def judged(home: Home, *, num_worlds: int) -> Iterator[Figure]:
    """The clean joins, then each plant in all worlds."""
    sql = compiled(home.dbt / "target" / "compiled")
    for test in DATA_TESTS:
        sql[test] = re.sub(r"limit (\d+)", lambda found: f"limit {int(found[1]) * num_worlds}", sql[test])
    flagged = worlds_of(faults(connect(home), sql))
    print(f"clean: {len(flagged)} of {num_worlds} flagged", flush=True)
    yield Figure(
        figure="clean worlds that are flagged", ours=len(flagged), baseline=num_worlds, goal="0", holds=not flagged
    )
    for plants in GROUPS:
        found = faults(connect(home), sql, plants)
        for plant in plants:
            caught = worlds_of(event for event, features in found.items() if features & plant.features)
            leaking = leaking_by(plant, home)
            print(f"{plant.name}: {len(caught & leaking)} of {len(leaking)} caught", flush=True)
            yield Figure(
                figure=f"worlds caught whose {plant.name} is known too early",
                ours=len(caught & leaking),
                baseline=len(leaking),
                goal="all",
                holds=caught >= leaking and len(leaking) > num_worlds / 2,
            )


def leaking_by(plant: Plant, home: Home) -> set[str]:
    """The worlds in which the plant, which is in place, changed one of its features."""
    changed = " or ".join(f"not (planted.{feature} <=> clean.{feature})" for feature in plant.features)
    rows = connect(home).sql(
        "select planted.event_id from planted.examples_v1 as planted "
        f"inner join marts.examples_v1 as clean on planted.event_id = clean.event_id where {changed}"
    )
    return worlds_of(row.event_id for row in rows.collect())


def worlds_of(events: Any) -> set[str]:
    return {event.partition("-")[0] for event in events}


def land(worlds: list[World], home: Home) -> None:
    """The worlds' rows as one load of each stream, the ids of the fourth behind `w3-`."""
    spark = connect(home)
    ops.create_tables(spark)
    for stream in ("exposures", "engagements", "users", "items"):
        rows = [
            row | {name: f"w{number}-{row[name]}" for name in IDS if name in row}
            for number, world in enumerate(worlds)
            for row in getattr(world, stream)
        ]
        origin = {"load_id": 1, "source_file": f"{stream}/worlds.jsonl"}
        numbered = [row | origin | {"source_row": place, "payload_hash": str(place)} for place, row in enumerate(rows)]
        ops.append(spark, f"raw.{stream}", pa.Table.from_pylist(numbered), home=home)


if __name__ == "__main__":
    main()
