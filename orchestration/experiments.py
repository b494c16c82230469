"""The analysis of experiments as an asset: figures by SQL in, lifts with intervals and verdicts out, with pictures."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, timedelta
from math import isfinite
from typing import Any

import dagster as dg
import pyarrow as pa

from decisions.experiment import (
    Comparison,
    ExperimentPlan,
    ExperimentResult,
    Look,
    analyse,
)
from decisions.experiment.figures import ALL_USERS, COLUMNS, Compared, Moments
from lakehouse import ops
from lakehouse.home import Home, home
from lakehouse.session import connect
from lakehouse.versions import pin, read
from orchestration.experiment_plots import intervals_by_look, intervals_by_segment
from orchestration.metadata import markdown, picture
from orchestration.models import pinned_input
from orchestration.page import figure
from orchestration.retries import retried

FIGURES = dg.AssetKey(["monitoring", "experiment_figures"])
# The metric of every verdict: what rankers of all data sets are trained on, and what a hide is none of.
PRIMARY = "clicked"
# Older experiments stay as they were found; no build goes back so far by itself.
ANALYSED_DAYS = 35
NOBODY = Moments(users=0, sums=(0.0,) * len(COLUMNS), products=((0.0,) * len(COLUMNS),) * len(COLUMNS))
Row = dict[str, Any]
# What models read of ops.* and no asset makes: the journal and the analysis of before are published beside the assets.
TOLD = [
    dg.AssetSpec(
        table.split("."),
        group_name="ops",
        kinds={"deltalake"},
        owners=["team:ranking"],
        description=ops.TABLES[table].comment,
    )
    for table in ("ops.pointers", "ops.experiments", "ops.experiment_results")
]


@dataclass(frozen=True, kw_only=True)
class Analysed:
    """An experiment, its result by its last look, and the result's rows at every look."""

    experiment: Row
    result: ExperimentResult
    rows: list[Row]


@dg.asset(deps=[FIGURES], group_name="monitoring", kinds={"numpy", "deltalake"}, owners=["team:ranking"], pool="lake")
@retried
def experiment_analysis(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """What each experiment of the last weeks says so far; monitoring.experiments shows it to SQL."""
    figures = read(pinned_input(context, FIGURES)).to_pylist()
    found = analysed(figures, read(pin("ops.experiments", home=home())).to_pylist())
    publish(found, home=home())
    return dg.MaterializeResult(metadata=metadata(found))


def analysed(figures: Iterable[Row], experiments: Iterable[Row]) -> list[Analysed]:
    """Every experiment with a look in the last weeks before the newest one, the newest experiment first."""
    by_experiment: dict[str, list[Row]] = defaultdict(list)
    for row in figures:
        by_experiment[row["experiment"]].append(row)
    newest = max((row["day"] for rows in by_experiment.values() for row in rows), default=date.min)
    found = []
    for one in sorted(experiments, key=lambda one: one["first_pointer_version"], reverse=True):
        looks = looks_of(by_experiment.get(one["experiment"], []))
        if looks and newest - looks[-1].day < timedelta(days=ANALYSED_DAYS):
            found.append(_analysed(one, looks))
    return found


def looks_of(figures: Sequence[Row]) -> list[Look]:
    """The looks of one experiment from rows of monitoring.experiment_figures."""
    moments = {(row["day"], row["metric"], row["segment"], row["arm"]): _moments(row) for row in figures}
    metrics: dict[date, dict[str, dict[str, Compared]]] = defaultdict(lambda: defaultdict(dict))
    for day, metric, segment, _ in moments:
        # An arm that nobody was seen in has no row.
        treatment, control = (moments.get((day, metric, segment, arm), NOBODY) for arm in ("treatment", "control"))
        metrics[day][metric][segment] = Compared(treatment=treatment, control=control)
    return [
        Look(
            day=day,
            treatment_users=of_day[PRIMARY][ALL_USERS].treatment.users,
            control_users=of_day[PRIMARY][ALL_USERS].control.users,
            metrics=of_day,
        )
        for day, of_day in sorted(metrics.items())
    ]


def _moments(row: Row) -> Moments:
    def product(one: int, other: int) -> float:
        return float(row[f"sum_{COLUMNS[min(one, other)]}{COLUMNS[max(one, other)]}"])

    places = range(len(COLUMNS))
    return Moments(
        users=row["users"],
        sums=tuple(float(row[f"sum_{name}"]) for name in COLUMNS),
        products=tuple(tuple(product(one, other) for other in places) for one in places),
    )


def _analysed(experiment: Row, looks: list[Look]) -> Analysed:
    plan = ExperimentPlan(
        primary=PRIMARY,
        first_day=experiment["began_at"].astimezone(UTC).date(),
        days=experiment["planned_days"],
        treatment_share=1 - experiment["control_share"],
    )
    result = analyse(looks, plan=plan)
    # A verdict needs the primary metric of everybody alone; intervals at a look do not depend on later ones.
    primary = [replace(look, metrics={PRIMARY: {ALL_USERS: look.metrics[PRIMARY][ALL_USERS]}}) for look in looks]
    known = {look.day: analyse(primary[:number], plan=plan) for number, look in enumerate(looks, start=1)}
    users = {look.day: look for look in looks}
    rows = [
        row_of(one, experiment=experiment["experiment"], look=users[one.day], by_then=known[one.day])
        for one in result.comparisons
    ]
    return Analysed(experiment=experiment, result=result, rows=rows)


def row_of(one: Comparison, *, experiment: str, look: Look, by_then: ExperimentResult) -> Row:
    """A row of ops.experiment_results."""
    odds = by_then.sample_ratio.odds
    return {
        "experiment": experiment,
        **vars(one),
        "treatment_users": look.treatment_users,
        "control_users": look.control_users,
        "sample_ratio_odds": odds if isfinite(odds) else None,
        "sample_ratio_alarm": by_then.sample_ratio.alarm,
        "verdict": by_then.verdict,
        "reason": by_then.reason,
    }


def publish(found: Iterable[Analysed], *, home: Home) -> None:
    """Each experiment's rows in ops.experiment_results, in place of those that were there, if any of them differs."""
    numbers = ("treatment", "control", "lift", "error", "lower", "upper", "variance_removed")
    schema = pa.schema(
        [
            ("experiment", pa.string()),
            ("day", pa.date32()),
            ("metric", pa.string()),
            ("segment", pa.string()),
            *((name, pa.float64()) for name in numbers),
            ("treatment_users", pa.int64()),
            ("control_users", pa.int64()),
            ("sample_ratio_odds", pa.float64()),
            ("sample_ratio_alarm", pa.bool_()),
            ("verdict", pa.string()),
            ("reason", pa.string()),
        ]
    )
    known = by_experiment(read(pin("ops.experiment_results", home=home)).to_pylist())
    for one in found:
        name = one.experiment["experiment"]
        table = pa.Table.from_pylist(one.rows, schema=schema)
        if _in_order(table.to_pylist()) != _in_order(known.get(name, [])):
            ops.replace(connect(home), "ops.experiment_results", table, home=home, column="experiment", value=name)


def by_experiment(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["experiment"]].append(row)
    return found


def _in_order(rows: Iterable[Mapping[str, Any]]) -> list[list[tuple[str, Any]]]:
    ordered = sorted(rows, key=lambda row: (row["day"], row["metric"], row["segment"]))
    return [sorted(row.items()) for row in ordered]


def metadata(found: Sequence[Analysed]) -> dict[str, Any]:
    """What the UI shows: where each experiment stands, then its pictures, the newest experiment first."""
    standing = markdown(
        {
            "experiment": one.experiment["experiment"],
            "treatment": one.experiment["treatment_release"] or "all others",
            "control": one.experiment["control_release"],
            "look": one.result.comparisons[-1].day,
            "lift": figure(last.lift),
            "lower": figure(last.lower),
            "upper": figure(last.upper),
            "verdict": one.result.verdict or "none",
            "why": one.result.reason,
        }
        for one in found
        for last in [_last(one)]
    )
    pictures = {
        f"{one.experiment['experiment']} {name}": picture(draw(one.result.comparisons, title=title_of(one)))
        for one in found
        for name, draw in (("by look", intervals_by_look), ("by segment", intervals_by_segment))
    }
    return {"experiments": len(found), "standing": standing, **pictures}


def title_of(one: Analysed) -> str:
    """What is compared, and the verdict."""
    what = f"{one.experiment['treatment_release'] or 'all others'} against {one.experiment['control_release']}"
    return f"{one.experiment['experiment']}: {what}: {one.result.verdict or 'no verdict'}"


def _last(one: Analysed) -> Comparison:
    """The primary metric of everybody at the last look."""
    return [each for each in one.result.comparisons if (each.metric, each.segment) == (PRIMARY, ALL_USERS)][-1]
