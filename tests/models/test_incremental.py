"""Production built day by day, from rows in any order, against the same rows built at once.

One of the builds is killed on the way and run again. During the others an analyst asks through JDBC: two clients of one
lake must not disturb each other.
"""

import json
import random
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from conftest import kill_dbt, land, run_dbt
from tiny_world import Row, World, make_world

from lakehouse import server
from lakehouse.home import Home
from lakehouse.jars import SPARK_HOME
from lakehouse.session import connect
from lakehouse.versions import pin, read
from tests.planted_joins import DATA_TESTS

pytestmark = pytest.mark.lake

# Between the analyst's questions, so that the build gets most of the machine.
PAUSE_S = 3
# What was built of every day; the totals and what counts builds belong to the last build alone.
LAYERS = ("intermediate", "marts", "monitoring")
OF_A_BUILD = (
    "int_item_totals",
    "int_user_totals",
    "int_user_category_totals",
    "builds",
    "late_row_counts",
    "late_rows",
)


@dataclass
class Loads:
    """What lands on the tiny world: mostly as it happens, some of it late, some twice, some never."""

    second: World
    too_late: World
    conflicting: set[str]
    unlogged: set[str]


def loads(world: World) -> Loads:
    """The three days that follow, with rows of the days before; and three rows of the first day, too late."""
    chance = random.Random(11)
    newest = max(row["served_at"] for row in world.exposures)
    lately = newest - timedelta(days=2)
    after = make_world(num_requests=720)
    known = {row["event_id"] for row in (*world.exposures, *world.engagements)}
    engagements = [dict(row) for row in after.engagements if row["event_id"] not in known]
    clicked = {(row["request_id"], row["item_id"]): row for row in engagements}
    unlogged: set[str] = set()
    exposures: list[Row] = []
    for number, row in enumerate(row for row in after.exposures if row["event_id"] not in known):
        key = row["request_id"], row["item_id"]
        if row["traffic"] == "policy" and key in clicked and number % 6 == 0:
            # Not kept by the collector, but acted upon: the action carries what makes an example.
            carried = ("served_at", "position", "traffic", "surface", "features", "logging_probability")
            clicked[key].update({name: row[name] for name in carried})
            unlogged.add("/".join(key))
        else:
            exposures.append(row)
    again = [row | {"score": 0.5} for row in exposures[::40]]
    again += [row | {"score": 0.5} for row in world.exposures[::40] if row["served_at"] > lately]
    # Delivered again for a later day: of both deliveries one is kept, so the day of the first is built again too.
    reached = newest.date() - timedelta(days=4)
    moved = [row for row in world.exposures if row["served_at"].date() == reached][:3]
    again += [row | {"served_at": row["served_at"] + timedelta(days=3)} for row in moved]

    # Requests of the same days that nobody had told of.
    strangers = make_world(seed=8, num_requests=480)
    untold = [row | {name: f"x{row[name]}" for name in ("event_id", "request_id")} for row in strangers.exposures]
    late = [row for row in untold[::5] if row["served_at"] > lately]
    unanswered = [row for row in world.exposures if row["impressed"] and f"{row['event_id']}-a" not in known]
    engagements += [
        {name: row[name] for name in ("request_id", "user_id", "item_id")}
        | {
            "event_id": f"{row['event_id']}-late",
            "action": "click",
            "engaged_at": row["served_at"] + timedelta(hours=1),
        }
        for row in (*late[::3], *(row for row in unanswered[::25] if row["served_at"] > lately))
    ]
    users = [dict(world.users[0], updated_at=lately, attributes='{"segment":"devoted","age":70}')]
    second = [*exposures, *again, *late]
    chance.shuffle(second)
    conflicting = {row["event_id"] for row in again}
    return Loads(World(second, engagements, users, []), World(untold[50:53], [], [], []), conflicting, unlogged)


@dataclass
class Answers:
    """What an analyst was told: the counts, and what went wrong."""

    counts: list[int]
    errors: str


@dataclass
class Grown:
    home: Home
    landed: Loads
    answers: Answers


@pytest.fixture(scope="module")
def grown(built: Home, world: World) -> Grown:
    """The lake built again after more has landed, by a dbt that was killed and run again; some rows landed too late."""
    landed = loads(world)
    land(landed.second, built, load_id=2)
    environment = server.environment(built)
    kill_dbt("run", "--target", "prod", at="OK created sql incremental model", environment=environment)
    land(landed.too_late, built, load_id=3)
    with asked_through_jdbc(built) as answers:
        run_dbt("run", "--target", "prod", environment=environment)
    return Grown(built, landed, answers)


@contextmanager
def asked_through_jdbc(home: Home) -> Iterator[Answers]:
    """An analyst who counts the training examples over and over in one session of beeline, until the block ends."""
    running = server.ensure(home, jdbc=True)
    assert running.jdbc_url is not None
    options = ["--silent=true", "--showHeader=false", "--outputformat=csv2"]
    beeline = subprocess.Popen(
        [str(SPARK_HOME / "bin" / "beeline"), "-u", running.jdbc_url, "-n", "analyst", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    answers = Answers([], "")
    done = threading.Event()

    def ask() -> None:
        assert beeline.stdin is not None
        while not done.wait(PAUSE_S):
            beeline.stdin.write("select count(*) from marts.training_examples;\n")
            beeline.stdin.flush()

    with ThreadPoolExecutor() as pool:
        analyst = pool.submit(ask)
        try:
            yield answers
        finally:
            done.set()
            analyst.result()
            said, errors = beeline.communicate(timeout=300)
    answers.counts = [int(line) for line in said.splitlines() if line.strip().isdigit()]
    answers.errors = errors if beeline.returncode or "Error" in errors else ""


def rows(home: Home, statement: str) -> list[dict[str, Any]]:
    return [row.asDict() for row in connect(home).sql(statement).collect()]


def test_what_days_built_again_say_was_known_agrees_with_a_recount(grown: Grown) -> None:
    run_dbt("test", "--target", "prod", "--select", *DATA_TESTS, environment=server.environment(grown.home))
    results = json.loads((grown.home.dbt / "target" / "run_results.json").read_text())["results"]
    judged = [result["unique_id"].split(".") for result in results if result["status"] == "pass"]
    assert {name for kind, _, name in judged if kind == "test"} == set(DATA_TESTS)


def test_a_build_goes_back_to_what_changed_and_no_further_than_the_look_back(grown: Grown, world: World) -> None:
    reached = max(row["served_at"] for row in world.exposures).date() - timedelta(days=4)
    # The first run, which was killed, went back to an event that was delivered again for a later day. Then rows of
    # the first day landed: the second went back three days of look-back and one of attribution, and no further.
    for event, load in (("started", 2), ("started", 3), ("complete", 3)):
        found = rows(
            grown.home,
            f"select first_day from monitoring.builds where event = '{event}' and exposures_load = {load} order by at",
        )
        assert found[0]["first_day"] == reached, (event, load)


def test_what_lands_too_late_is_counted_and_left_out(grown: Grown) -> None:
    home, landed = grown.home, grown.landed
    late = {row["event_id"] for row in landed.too_late.exposures}
    assert rows(home, "select stream, sum(num_rows) as num from monitoring.late_rows group by stream") == [
        {"stream": "exposures", "num": len(landed.too_late.exposures)}
    ]
    built = {row["event_id"] for row in rows(home, "select event_id from intermediate.int_exposures_deduplicated")}
    assert late - built == late


def test_conflicts_and_actions_on_what_did_not_land_are_accounted_for(grown: Grown) -> None:
    home, landed = grown.home, grown.landed
    conflicts = {row["event_id"] for row in rows(home, "select event_id from intermediate.int_exposures_conflicts")}
    assert conflicts == landed.conflicting
    examples = rows(home, "select event_id, acted, logging_probability from marts.examples where event_id like '%/%'")
    assert {row["event_id"] for row in examples} <= landed.unlogged
    assert len(examples) > 10
    assert all(row["acted"] == 1 and row["logging_probability"] == 1.0 for row in examples)


def test_a_build_of_production_and_an_analyst_s_queries_do_not_disturb_each_other(grown: Grown) -> None:
    assert grown.answers.errors == ""
    assert len(grown.answers.counts) > 5


def test_after_a_backfill_every_table_is_what_one_build_of_everything_gives(grown: Grown) -> None:
    home = grown.home
    day = rows(home, "select cast(min(day) as string) as day from monitoring.late_rows")[0]["day"]
    environment = server.environment(home) | {"STILLHOUSE_USER": "whole"}
    run_dbt("run", "--target", "prod", "--vars", f"backfill_from: '{day}'", environment=environment)
    assert rows(home, "select * from monitoring.late_rows") == []
    with asked_through_jdbc(home) as answers:
        run_dbt("run", "--target", "dev", environment=environment)
    assert answers.errors == ""
    assert len(answers.counts) > 5
    compared = []
    for layer in LAYERS:
        for folder in sorted((home.warehouse / f"{layer}.db").iterdir()):
            if folder.name not in OF_A_BUILD:
                assert content(f"{layer}.{folder.name}", home) == content(f"dev_whole_{layer}.{folder.name}", home)
                compared.append(folder.name)
    assert {"examples_v1", "int_exposures_joined_to_features", "feature_statistics", "training_examples"} <= set(
        compared
    )


def content(table: str, home: Home) -> Counter[str]:
    """The rows of a table, in no order."""
    found = read(pin(table, home=home))
    return Counter(map(repr, found.select(sorted(found.schema.names)).to_pylist()))
