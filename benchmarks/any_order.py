"""Models run in any order while rows land late and twice: always what all rows give (1,000 sequences in 22 minutes).

A sequence lands a few rows at a time: as they happen, late within the look-back, later than that, again, or again with
other content. In between it runs everything, one model, or a backfill. Whenever a build of everything is complete and
waits for no late row, the tables must hold what plain Python makes of all landed rows; at its end each sequence builds
everything and, as `stillhouse backfill` does, the late days. Hypothesis makes sequences and, where one fails, a shorter
one that fails too. The project is cut down to the models up to the features of items, in schemas of its own, so that a
step costs seconds.

25 sequences share the runs of models, and so their cost: worlds of users and items of their own, whose rows land in
orders of their own. How far back the rows of one landing reach is the same for all, so that the days to build again
are as few as for one.
"""

import argparse
import json
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, Phase, example, given, seed, settings
from hypothesis import strategies as st

from benchmarks import _models_in_python as plain
from benchmarks._dbt import Dbt
from benchmarks._figures import FOLDER, Figure, report
from benchmarks._tiny_worlds import NUM_DAYS, START, STREAMS, Happened, Row, World, make_world
from lakehouse import ops, server
from lakehouse.home import Home
from lakehouse.session import connect
from tests import small_lake

NUM_WORLDS = 25
MODELS = (
    "int_exposures_deduplicated",
    "int_engagements_deduplicated",
    "int_exposures_labelled",
    "int_items_by_day",
    "int_item_totals",
    "int_click_rate_before_day",
    "int_exposures_joined_to_items",
)
VIEWS = ("stg_exposures", "stg_engagements", "stg_items", "int_items_valid", "late_rows")


@dataclass(frozen=True)
class Land:
    """The rows of the next days land; some, or all, stay behind."""

    days: int
    chance: int


@dataclass(frozen=True)
class LandLate:
    """Up to so many rows that stayed behind land, none of them older than so many days."""

    rows: int
    days: int
    chance: int


@dataclass(frozen=True)
class LandAgain:
    """Up to so many rows of the last days land again, as they were or with other content."""

    rows: int
    days: int
    chance: int


@dataclass(frozen=True)
class RunAll:
    pass


@dataclass(frozen=True)
class RunOne:
    model: str


@dataclass(frozen=True)
class Backfill:
    """Everything from one day to another, or to the newest."""

    since: int
    until: int | None


Landing = Land | LandLate | LandAgain
Step = Landing | RunAll | RunOne | Backfill
CHANCE = st.integers(0, 2**16)
# Mostly within the look-back: while a later row waits for its backfill, nothing is compared.
DAYS = st.sampled_from((1, 2, 3, 3, NUM_DAYS))
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Land, days=st.integers(1, 4), chance=CHANCE),
    st.builds(LandLate, rows=st.integers(1, 4), days=DAYS, chance=CHANCE),
    st.builds(LandAgain, rows=st.integers(1, 3), days=DAYS, chance=CHANCE),
    st.just(RunAll()),
    st.builds(RunOne, model=st.sampled_from(MODELS)),
    st.builds(Backfill, since=st.integers(0, NUM_DAYS - 1), until=st.one_of(st.none(), st.integers(0, NUM_DAYS - 1))),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=1000, help="rounded up to whole sets that share their runs")
    parser.add_argument("--home", type=Path, help="a lake that is there already: only the set that is written down")
    arguments = parser.parse_args()
    if arguments.home:
        check(Lake(Home(arguments.home)), number=0)
        return
    small_lake.choose()
    folder = FOLDER / "any_order"
    num_sets = -(-arguments.sequences // NUM_WORLDS)
    report("any_order", [run(num_sets, home=Home(folder / "home"), state=folder / "state.json")])
    shutil.rmtree(folder)


def run(num_sets: int, *, home: Home, state: Path) -> Figure:
    """So many sets of sequences; those that were run already are known from the file `state`."""
    state.parent.mkdir(parents=True, exist_ok=True)
    done = json.loads(state.read_text()) if state.exists() else {"sets": 0, "comparisons": 0, "seconds": 0.0}
    try:
        server.ensure(home)
        lake = Lake(home)
        while done["sets"] < num_sets:
            started = time.monotonic()
            done["comparisons"] += check(lake, number=done["sets"])
            done["sets"] += 1
            done["seconds"] += time.monotonic() - started
            state.write_text(json.dumps(done))
            left = (num_sets - done["sets"]) * done["seconds"] / done["sets"] / 60
            said = (
                f"{done['sets'] * NUM_WORLDS} of {num_sets * NUM_WORLDS} sequences, {done['comparisons']} comparisons"
            )
            print(f"{said}, {left:.0f} minutes left", flush=True)
    finally:
        server.stop(home)
    return Figure(
        figure=f"tables that were what plain Python gives, in {num_sets * NUM_WORLDS} sequences",
        # A table that differs ends the run with an error.
        ours=done["comparisons"],
        baseline=done["comparisons"],
        goal="all",
        holds=True,
    )


def check(lake: "Lake", *, number: int) -> int:
    """Run one set of sequences, the first written down here, the others hypothesis's; how many tables were compared.

    In the first, a build of nothing and a backfill of the newest days must leave no gap.
    Raises AssertionError with the shortest sequence found after which tables differ.
    """
    before = lake.num_comparisons

    @seed(number)
    @settings(
        max_examples=1,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if number else [Phase.explicit],
        suppress_health_check=list(HealthCheck),
    )
    @given(chance=CHANCE, steps=st.lists(STEPS, min_size=4, max_size=9))
    @example(chance=1, steps=[Land(3, 1), RunAll(), Land(3, 2), Backfill(5, None)])
    def all_orders_give_the_same(chance: int, steps: list[Step]) -> None:
        lake.empty(chance)
        for step in steps:
            lake.take(step)
        lake.finish()

    all_orders_give_the_same()
    return lake.num_comparisons - before


class Lake:
    """Schemas of its own on a lake, the part of the project that MODELS name, and the worlds whose rows land there."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.num_comparisons = 0
        self.user = "any_order"
        self.spark = connect(home)
        # Tables of a few rows: spreading them out costs more than it brings.
        self.spark.conf.set("spark.sql.shuffle.partitions", "1")
        self.spark.sql(f"create schema if not exists {self.schema('raw')}")
        for stream in STREAMS:
            self.spark.sql(ops.TABLES[f"raw.{stream}"].ddl().replace("raw.", f"{self.schema('raw')}.", 1))
        # What counts late states of users asks for it; no model of ours knows users.
        self.spark.sql(f"create schema if not exists {self.schema('intermediate')}")
        users = f"{self.schema('intermediate')}.int_user_totals"
        self.spark.sql(f"create table if not exists {users} (user_id string, last_seen_at timestamp) using delta")
        self.dbt = Dbt(home, target="dev", user=self.user)
        self.keep_only_the_models()
        if not Path(self.path("intermediate", MODELS[-1])).exists():
            self.run()

    def schema(self, layer: str) -> str:
        return f"dev_{self.user}_{layer}"

    def keep_only_the_models(self) -> None:
        """A project of MODELS alone: a build of them is complete, and each run has less to look at."""
        manifest = self.dbt.manifest
        for name, node in list(manifest.nodes.items()):
            if node.resource_type != "operation" and node.name not in (*MODELS, *VIEWS):
                del manifest.nodes[name]
        manifest.unit_tests.clear()
        manifest.exposures.clear()
        for source in manifest.sources.values():
            source.schema = self.schema("raw")
        manifest.build_parent_and_child_maps()
        manifest.build_flat_graph()

    def path(self, layer: str, table: str) -> str:
        return str(self.home.warehouse / f"{self.schema(layer)}.db" / table)

    def empty(self, chance: int) -> None:
        """Take all rows out of all tables, and begin other worlds."""
        tables = [("raw", stream) for stream in STREAMS] + [("intermediate", model) for model in MODELS]
        for layer, table in (*tables, ("monitoring", "builds"), ("monitoring", "late_row_counts")):
            DeltaTable(self.path(layer, table)).delete()
        names = [f"w{number}" for number in range(NUM_WORLDS)]
        self.worlds = {name: make_world(name, random.Random(f"{chance} {name}")) for name in names}
        self.clock = START
        self.loads = dict.fromkeys(STREAMS, 0)

    def take(self, step: Step) -> None:
        match step:
            case Land(days, _):
                self.clock += timedelta(days=days)
                self.land_of_each(step, lambda world, chance: world.new_rows(until=self.clock, chance=chance))
            case LandLate(rows, days, _) | LandAgain(rows, days, _):
                since = self.clock - timedelta(days=days)
                choose = World.late_rows if isinstance(step, LandLate) else World.rows_again
                self.land_of_each(step, lambda world, chance: choose(world, rows, since=since, chance=chance))
            case RunAll():
                self.run()
                self.compare_if_nothing_is_late()
            case RunOne(model):
                self.run("--select", model)
            case Backfill(since, until):
                bounds = {"backfill_from": since} | ({} if until is None else {"backfill_to": max(since, until)})
                chosen = {name: str((START + timedelta(days=day)).date()) for name, day in bounds.items()}
                self.run("--vars", json.dumps(chosen))

    def finish(self) -> None:
        """Build everything that landed, the late rows by a backfill."""
        self.run()
        late = self.first_late_day()
        if late is not None:
            self.run("--vars", json.dumps({"backfill_from": str(late)}))
        assert self.first_late_day() is None
        self.compare()

    def land_of_each(self, step: Landing, choose: Callable[[World, random.Random], list[Happened]]) -> None:
        """What lands of each world by its own chance, as one load of each stream."""
        self.land({name: choose(world, random.Random(f"{step.chance} {name}")) for name, world in self.worlds.items()})

    def land(self, rows: dict[str, list[Happened]]) -> None:
        """Rows of each world, by its name, as one load of each stream.

        The tables are at rest, so that this may write them without asking the server.
        """
        for stream in STREAMS:
            mine = [(name, row) for name, happened in rows.items() for _, its, row in happened if its == stream]
            if not mine:
                continue
            self.loads[stream] += 1
            origin = {"load_id": self.loads[stream], "source_file": "any-order"}
            landed = [row | origin | {"source_row": number} for number, (_, row) in enumerate(mine, start=1)]
            for (name, _), row in zip(mine, landed, strict=True):
                self.worlds[name].landed[stream].append(row)
            path = self.path("raw", stream)
            columns = pa.schema(DeltaTable(path).schema().to_arrow())
            write_deltalake(path, pa.Table.from_pylist(landed, schema=columns), mode="append")

    def run(self, *arguments: str) -> None:
        said = self.dbt.run(*arguments)
        assert not said, said

    def first_late_day(self) -> date | None:
        day: date | None = self.spark.sql(f"select min(day) from {self.schema('monitoring')}.late_rows").collect()[0][0]
        return day

    def compare_if_nothing_is_late(self) -> None:
        if self.first_late_day() is None:
            self.compare()

    def compare(self) -> None:
        """Every table against plain Python, on the columns that it knows."""
        landed = {stream: [row for world in self.worlds.values() for row in world.landed[stream]] for stream in STREAMS}
        exposures = plain.exposures_deduplicated(landed["exposures"], landed["engagements"])
        engagements = plain.engagements_deduplicated(landed["engagements"])
        items = [row | json.loads(row["attributes"]) for row in landed["items"]]
        items_by_day = plain.items_by_day(exposures, engagements)
        for model, rows in {
            "int_exposures_deduplicated": exposures,
            "int_engagements_deduplicated": engagements,
            "int_exposures_labelled": plain.exposures_labelled(exposures, engagements),
            "int_items_by_day": items_by_day,
            "int_click_rate_before_day": plain.click_rate_before_day(items_by_day),
            "int_exposures_joined_to_items": plain.exposures_joined_to_items(exposures, engagements, items),
        }.items():
            self.compare_table(model, rows)
        through = self.rows("int_item_totals", ["through_day"])
        last = through[0]["through_day"] if through else None
        self.compare_table("int_item_totals", plain.item_totals(items_by_day, through=last))

    def compare_table(self, model: str, expected: list[Row]) -> None:
        table = DeltaTable(self.path("intermediate", model))
        there = [field.name for field in table.schema().fields]
        columns = sorted(set(there) & set().union(*expected)) if expected else there[:1]
        wanted = sorted(", ".join(str(row.get(column)) for column in columns) for row in expected)
        found = sorted(", ".join(str(row[column]) for column in columns) for row in self.rows(model, columns))
        lost, extra = set(wanted) - set(found), set(found) - set(wanted)
        self.num_comparisons += 1
        assert found == wanted, f"{model} {columns}\nlacks {lost}\nand has {extra}"

    def rows(self, model: str, columns: list[str]) -> list[Row]:
        rows: list[Row] = DeltaTable(self.path("intermediate", model)).to_pyarrow_table(columns=columns).to_pylist()
        return rows


if __name__ == "__main__":
    main()
