"""The catalogue answers dbt wrongly, 50 times: every run must stop, and no table may change (7 minutes).

One model is run at a time, on a lake with a tiny world, and one kind of statement is answered wrongly while it runs: an
error, an empty list, a list without this table or without what kind of table it is. The baseline is the same faults
without the project's own guards, `refuse_to_start_anew` and the one in `check_columns`.
"""

import argparse
import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
from dbt.adapters.spark.session import Cursor
from dbt.contracts.graph.nodes import ModelNode
from dbt_common.exceptions import DbtRuntimeError
from pyspark.sql import Row

from benchmarks._dbt import Dbt
from benchmarks._dbt_command import run_dbt
from benchmarks._figures import FOLDER, Figure, report
from benchmarks._tiny_logs import Part, make_parts
from lakehouse import guard, ops, server
from lakehouse.home import Home
from lakehouse.session import connect
from lakehouse.versions import pin
from tests import small_lake

SEED = 3
LISTING = "show table extended in {schema} like '*'"
DESCRIBE = "describe extended {schema}.{table}"
Rows = list[Row]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A wrong answer to one kind of statement: `error` is raised in its place, or else `answer` makes the rows that dbt
    gets of the right ones and the name of the table."""

    name: str
    statement: str
    error: str | None = None
    answer: Callable[[Rows, str], Rows] = lambda rows, _: rows


def _changed(rows: Rows, table: str, change: Callable[[str], str]) -> Rows:
    """A listing in which what is told of one table is changed."""
    return [
        Row(**(row.asDict() | {"information": change(row.information)})) if row.tableName == table else row
        for row in rows
    ]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run did under a fault: whether it stopped, what it said, and the tables that are not as they were."""

    stopped: bool
    changed: list[str]
    said: str


FAULTS = (
    Fault(name="the listing is empty", statement=LISTING, answer=lambda rows, table: []),
    Fault(
        name="the listing lacks the table",
        statement=LISTING,
        answer=lambda rows, table: [row for row in rows if row.tableName != table],
    ),
    Fault(
        name="the listing says that there is no such schema",
        statement=LISTING,
        error="[SCHEMA_NOT_FOUND] The schema `{schema}` cannot be found.",
    ),
    Fault(
        name="the listing says that some table is not there",
        statement=LISTING,
        error="[TABLE_OR_VIEW_NOT_FOUND] The table or view `{table}` cannot be found.",
    ),
    Fault(name="the listing fails", statement=LISTING, error="MetaException: the connection to Derby was lost"),
    Fault(
        name="the listing does not say what kind of table it is",
        statement=LISTING,
        answer=lambda rows, table: _changed(rows, table, lambda _: ""),
    ),
    Fault(
        name="the listing says parquet",
        statement=LISTING,
        answer=lambda rows, table: _changed(
            rows, table, lambda said: said.replace("Provider: delta", "Provider: parquet")
        ),
    ),
    Fault(
        name="the listing says that it is a view",
        statement=LISTING,
        answer=lambda rows, table: _changed(rows, table, lambda said: re.sub("Type: [A-Z]+", "Type: VIEW", said)),
    ),
    Fault(
        name="the columns say that the table is not there",
        statement=DESCRIBE,
        error="[TABLE_OR_VIEW_NOT_FOUND] The table or view `{table}` cannot be found.",
    ),
    Fault(name="the columns are empty", statement=DESCRIBE, answer=lambda rows, table: []),
    Fault(name="the columns fail", statement=DESCRIBE, error="MetaException: the connection to Derby was lost"),
    Fault(
        name="the columns lack two of them",
        statement=DESCRIBE,
        answer=lambda rows, table: rows[2:],
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=50, help="how many runs, each with one fault")
    parser.add_argument("--home", type=Path, help="a lake that is built already: only say what happened there")
    arguments = parser.parse_args()
    if arguments.home:
        dbt = Dbt(Home(arguments.home), target="prod")
        for fault, model in chosen(dbt, num=arguments.faults):
            print(json.dumps(asdict(run_with(fault, model, dbt=dbt, home=Home(arguments.home)))), flush=True)
        return
    small_lake.choose()
    report("catalog_faults", compare(arguments.faults, folder=FOLDER / "catalog_faults"))


def compare(num: int, *, folder: Path) -> list[Figure]:
    """What was done already is read from `folder`, so that this can be stopped and run again."""
    home = Home(folder / "home")
    try:
        build(home)
        dbt = Dbt(home, target="prod")
        cases = chosen(dbt, num=num)
        guarded = outcomes(cases, dbt=dbt, home=home, done=folder / "guarded.jsonl")
        take_away_the_guards(dbt)
        bare = outcomes(cases, dbt=dbt, home=home, done=folder / "bare.jsonl")
    finally:
        server.stop(home)
    shutil.rmtree(folder)
    harmless, harmless_bare = (sum(one.stopped and not one.changed for one in ran) for ran in (guarded, bare))
    changed, changed_bare = (sum(bool(one.changed) for one in ran) for ran in (guarded, bare))
    return [
        Figure(
            figure="runs under a catalogue fault that stopped, with every table as it was",
            ours=harmless,
            baseline=harmless_bare,
            goal=f"{num} of {num}",
            holds=harmless == num,
        ),
        Figure(
            figure="runs under a catalogue fault that changed a table",
            ours=changed,
            baseline=changed_bare,
            goal="0",
            holds=changed == 0,
        ),
    ]


def build(home: Home) -> None:
    """A lake with a tiny log, built by one plain build of production."""
    if (home.root / "built").exists():
        return
    server.ensure(home)
    land(make_parts(1)[0], home)
    run_dbt(home, "run")
    (home.root / "built").touch()


def land(part: Part, home: Home) -> None:
    """The rows of a part straight into raw.*: how they came there is no matter here."""
    ops.create_tables(connect(home))
    for stream, rows in part.rows.items():
        numbered = [
            {name: json.dumps(value) if isinstance(value, dict) else value for name, value in row.items()}
            | {"load_id": 1, "source_file": stream, "source_row": number}
            for number, row in enumerate(rows, start=1)
        ]
        ops.append(connect(home), f"raw.{stream}", pa.Table.from_pylist(numbered), home=home)


def chosen(dbt: Dbt, *, num: int) -> list[tuple[Fault, ModelNode]]:
    """Pairs of a fault and a model that is a table: every fault in turn, models at random, never a pair twice."""
    chance = random.Random(SEED)
    tables = [
        node
        for node in dbt.manifest.nodes.values()
        if isinstance(node, ModelNode) and node.config.materialized in ("incremental", "table")
    ]
    pairs = []
    for fault in FAULTS:
        # Only an incremental model asks for the columns of its table.
        mine = [node for node in tables if fault.statement != DESCRIBE or node.config.materialized == "incremental"]
        pairs.append([(fault, node) for node in chance.sample(mine, len(mine))])
    turns = [pair for turn in zip_longest(*pairs) for pair in turn if pair is not None]
    if num > len(turns):
        raise ValueError(f"num is {num}; there are {len(turns)} pairs of a fault and a model")
    return turns[:num]


def outcomes(cases: list[tuple[Fault, ModelNode]], *, dbt: Dbt, home: Home, done: Path) -> list[Outcome]:
    """The outcome of every case; each is added to the file `done` as soon as it is known."""
    known = [Outcome(**json.loads(line)) for line in done.read_text().splitlines()] if done.exists() else []
    for number, (fault, model) in enumerate(cases[len(known) :], start=len(known) + 1):
        outcome = run_with(fault, model, dbt=dbt, home=home)
        with done.open("a") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")
        known.append(outcome)
        verb = "stopped" if outcome.stopped else "went on"
        print(f"{number} of {len(cases)}: {fault.name}, {model.alias}: {verb}, changed: {outcome.changed}", flush=True)
        print(f"    {outcome.said[:200]}", flush=True)
    return known


def run_with(fault: Fault, model: ModelNode, *, dbt: Dbt, home: Home) -> Outcome:
    """`dbt run` of one model under a fault. Whatever becomes of it, monitoring.builds has it that a run started."""
    before = versions(home)
    with injected(fault, model):
        said = dbt.run("--select", f"path:{model.original_file_path}")
    after = versions(home)
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    return Outcome(stopped=bool(said), changed=changed, said=" ".join(" ".join(said).split())[:500])


def versions(home: Home) -> dict[str, str]:
    return {name: pin(name, home=home).data_version for name, _ in guard.tables(home) if name != "monitoring.builds"}


@contextmanager
def injected(fault: Fault, model: ModelNode) -> Iterator[None]:
    """Answer dbt's statements of one kind wrongly, where they are about `model` or its schema."""
    names = {"schema": model.schema, "table": model.alias}
    statement = fault.statement.format(**names)
    execute, fetchall = Cursor.execute, Cursor.fetchall
    spoilt: set[int] = set()

    def executed(cursor: Cursor, sql: str, *parameters: object) -> None:
        spoilt.discard(id(cursor))
        if statement in sql.replace("`", ""):
            if fault.error is not None:
                raise DbtRuntimeError(fault.error.format(**names))
            spoilt.add(id(cursor))
        execute(cursor, sql, *parameters)

    def fetched(cursor: Cursor) -> Rows | None:
        rows = fetchall(cursor)
        return fault.answer(rows or [], model.alias) if id(cursor) in spoilt else rows

    with patch.object(Cursor, "execute", executed), patch.object(Cursor, "fetchall", fetched):
        yield


def take_away_the_guards(dbt: Dbt) -> None:
    """From here on, dbt does what it would do in a project without them."""
    macros = dbt.manifest.macros
    macros["macro.stillhouse.refuse_to_start_anew"].macro_sql = "{% macro refuse_to_start_anew() %}{% endmacro %}"
    check = macros["macro.stillhouse.check_columns"]
    assert "if columns == {}" in check.macro_sql
    check.macro_sql = check.macro_sql.replace("if columns == {}", "if false")


if __name__ == "__main__":
    main()
