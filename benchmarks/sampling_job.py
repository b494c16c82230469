"""The sampling of a day's build against the plain job `label = 1 or rand() < 0.1` in PySpark (25 minutes).

Both read the same 20 M examples, written as the project writes them, and write about a tenth of them with as many
columns, on the same lake server, in turns; the median counts. Ours is `dbt run` of what a recipe changes: its rates,
the view, the training examples, the audit. Seconds are those that dbt reports, its run-start hooks included, without
the start of its process; nor does the plain job start a JVM of its own. Seconds of CPU say the same on a machine that
is not ours alone. Each writes its table as it does in a project: ours with the settings and table properties that
models/marts and dbt_project.yml give it, the plain one with those of Spark and Delta.

Of the two recipes one keeps between 5 and 20 % of each stratum, so that row groups behind that can be skipped. The
other keeps a rare stratum whole: every row has to be read, as by the plain job. The first rounds warm both up.
"""

import argparse
import json
import resource
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks._dbt_command import run_dbt
from benchmarks._example_rows import chance, layout, macro, rows_in_order_of_arrival, settings
from benchmarks._figures import FOLDER, Figure, report
from lakehouse import ops, server
from lakehouse.home import Home
from lakehouse.session import connect

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

GOAL = 1.1
WARM_UPS = 3
EXAMPLES, PLAIN, OURS = "marts.examples_v1", "plain.training_examples", "marts.training_examples"
MODELS = ("sampling_rates", "int_examples_sampled", "training_examples", "sampling_audit")
# 3 % of the slates are in random order; 2 % of the rows belong to a segment of their own.
STRATA = {
    "traffic": "if(pmod(xxhash64(id div 10, 'traffic'), 100) < 3, 'random', 'policy')",
    "user_slice": f"case when {chance('slice')} < 0.2 then 'train' when {chance('slice')} < 0.5 then 'calibrate' "
    "else 'evaluate' end",
    "user_segment": f"if({chance('segment')} < 0.02, 'rare', concat('segment-', pmod(xxhash64(id, 'segment'), 8)))",
}


def recipe(*, rare: float, busy: float, otherwise: float) -> dict[str, Any]:
    return {
        "materialised": True,
        "rules": [
            {"name": "rare_segment", "column": "user_segment", "in": ["rare"], "keep": rare},
            {
                "name": "busy_surface",
                "column": "surface",
                "in": ["surface-0", "surface-1", "surface-2", "surface-3"],
                "keep": busy,
            },
        ],
        "otherwise": otherwise,
        "random_traffic": {"share": 0.02},
    }


RECIPES = {
    "strata of 5 to 20 %": recipe(rare=0.2, busy=0.05, otherwise=0.145),
    "a rare stratum whole": recipe(rare=1.0, busy=0.05, otherwise=0.115),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    home = Home(FOLDER / f"sampling-job-home-{arguments.rows}-{arguments.days}")
    figures: list[Figure] = []
    try:
        write_examples(home, rows=arguments.rows, days=arguments.days)
        for name in RECIPES:
            figures += compare(home, name, rows=arguments.rows, repetitions=arguments.repetitions)
    finally:
        server.stop(home)
    report("sampling_job", figures)


def write_examples(home: Home, *, rows: int, days: int) -> None:
    """marts.examples_v1, a file a day, each in prefix order and in small row groups; kept for the next run."""
    spark = connect(home)
    ops.create_tables(spark)
    for schema in ("marts", "plain"):
        spark.sql(f"create schema if not exists {schema}")
    if spark.catalog.tableExists(EXAMPLES):
        return
    started = time.perf_counter()
    for setting in settings():
        spark.sql(setting)
    arrived = rows_in_order_of_arrival(rows=rows, days=days, num_parts=days, instead=STRATA)
    spark.sql(f"create table {EXAMPLES} using delta {layout()} as select * from ({arrived}) {macro('in_prefix_order')}")
    spark.sql("reset")
    print(f"{rows:,} examples of {days} days written in {time.perf_counter() - started:.0f} s", flush=True)


def compare(home: Home, name: str, *, rows: int, repetitions: int) -> list[Figure]:
    """The seconds of both jobs with one recipe, and whether ours gave the same rows each time."""
    spark = connect(home)
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    cpu_seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    spent: list[dict[str, float]] = []
    contents = set()
    for _ in range(WARM_UPS + repetitions):
        before = cpu_of(home)
        parts = sample(home, RECIPES[name])
        between = cpu_of(home)
        seconds["plain"].append(plain_job(spark))
        cpu_seconds["ours"].append(between - before)
        cpu_seconds["plain"].append(cpu_of(home) - between)
        spent.append(parts)
        seconds["ours"].append(sum(parts.values()))
        contents.add(tuple(content(spark)))
        said = (f"{seconds[job][-1]:.1f} s ({cpu_seconds[job][-1]:.1f} s of CPU)" for job in ("ours", "plain"))
        print(f"{name}: {' against '.join(said)}", flush=True)
    ours, plain = (median(seconds[job][WARM_UPS:]) for job in ("ours", "plain"))
    ours_cpu, plain_cpu = (median(cpu_seconds[job][WARM_UPS:]) for job in ("ours", "plain"))
    show(name, spent[WARM_UPS:], total=ours, plain=plain)
    kept, kept_plainly = (spark.table(table).count() for table in (OURS, PLAIN))
    num_columns, num_columns_plain = (len(spark.table(table).columns) for table in (OURS, PLAIN))
    assert num_columns == num_columns_plain
    return [
        Figure(
            figure=f"seconds to sample {rows:,} rows, {name} (kept: {kept:,}, by the plain job {kept_plainly:,})",
            ours=ours,
            baseline=plain,
            goal=f"≤ {GOAL} ×",
            holds=ours <= GOAL * plain,
        ),
        Figure(
            figure=f"seconds of CPU for the same, {name}, of the server and dbt with its start",
            ours=ours_cpu,
            baseline=plain_cpu,
            goal=f"≤ {GOAL} ×",
            holds=ours_cpu <= GOAL * plain_cpu,
        ),
        Figure(
            figure=f"different contents in {WARM_UPS + repetitions} repetitions, {name}",
            ours=len(contents),
            baseline=1,
            goal="1",
            holds=len(contents) == 1,
        ),
    ]


def sample(home: Home, chosen: dict[str, Any]) -> dict[str, float]:
    """`dbt run` of the sampling in production; its seconds by model, and between them."""
    variables = json.dumps({"recipe": "tried", "recipes": {"tried": chosen}})
    results = run_dbt(home, "run", "--vars", variables, "--select", *MODELS).run_results
    parts = {
        result["unique_id"].rpartition(".")[2]: float(result["execution_time"])
        for result in results["results"]
        if result["unique_id"].startswith("model.")
    }
    return {**parts, "hooks and the rest of dbt": float(results["elapsed_time"]) - sum(parts.values())}


def cpu_of(home: Home) -> float:
    """Seconds of CPU so far of the lake server and of the processes that this one started and waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = psutil.Process(server.ensure(home).pid).cpu_times()
    return float(spent.user + spent.system + children.ru_utime + children.ru_stime)


def plain_job(spark: "SparkSession") -> float:
    """Read, filter, write; with a constant for each column that a recipe adds. Its seconds."""
    started = time.perf_counter()
    kept = spark.sql(
        f"select *, 'plain' as recipe, 'all' as stratum, if(acted = 1, 1.0D, 0.1D) as keep_probability, "
        f"0.1D as negative_keep_probability from {EXAMPLES} where acted = 1 or rand() < 0.1"
    )
    kept.write.format("delta").mode("overwrite").saveAsTable(PLAIN)
    return time.perf_counter() - started


def content(spark: "SparkSession") -> list[Any]:
    """What tells the sampled rows from any others."""
    hashed = "xxhash64(event_id, stratum, keep_probability, negative_keep_probability)"
    [row] = spark.sql(f"select count(*), bit_xor({hashed}) from {OURS}").collect()
    return list(row)


def show(name: str, spent: list[dict[str, float]], *, total: float, plain: float) -> None:
    """Where the seconds of ours go, as a table."""
    table = Table("part", "seconds (median)", "share of the plain job", title=name)
    for part in spent[0]:
        seconds = median(parts[part] for parts in spent)
        table.add_row(part, f"{seconds:.1f}", f"{seconds / plain:.1%}")
    table.add_row("together", f"{total:.1f}", f"{total / plain:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
