"""Who answered whom, and which experiments there were: the journal's word as rows of ops.*."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from lakehouse import ops
from lakehouse.dataset import Cadence, Dataset
from lakehouse.home import Home
from lakehouse.session import connect
from registry import Holdouts, Registry
from registry.experiments import Arms, Experiment, arms, experiments

TIME = pa.timestamp("us", "UTC")
# A publish is compared with the one before it until the next one.
HOLDOUT_DAYS: dict[Cadence, int] = {"daily": 1, "three-daily": 3, "weekly": 7, "bi-weekly": 14, "monthly": 28}


def publish_pointers(registry: Registry, *, home: Home) -> None:
    """Bring ops.pointers and ops.experiments up to the journal; a version of a table only where something changed."""
    journal, spark = registry.journal(), connect(home)
    ops.append(spark, "ops.pointers", pointer_rows(arms(journal)), home=home, key=("pointer_version",))
    known = {row.experiment: row.asDict() for row in spark.table("ops.experiments").collect()}
    rows = [_experiment(one, home=home, known=known.get(one.name)) for one in experiments(journal)]
    for kind in sorted({row["kind"] for row in (*rows, *known.values())}):
        of_kind = [row for row in rows if row["kind"] == kind]
        if {(row["experiment"], row["last_pointer_version"]) for row in of_kind} != {
            (row["experiment"], row["last_pointer_version"]) for row in known.values() if row["kind"] == kind
        }:
            ops.replace(spark, "ops.experiments", experiment_rows(of_kind), home=home, column="kind", value=kind)


def pointer_rows(found: list[Arms]) -> pa.Table:
    rows = [{**vars(one), "pointer_version": one.version, "at": _time(one.at)} for one in found]
    texts = (
        "production",
        "canary",
        "canary_salt",
        "holdout",
        "holdout_salt",
        "long_holdout",
        "long_holdout_salt",
    )
    shares = ("canary_share", "holdout_share", "long_holdout_share")
    schema = [
        ("pointer_version", pa.int64()),
        ("at", TIME),
        *((name, pa.string()) for name in texts),
        *((name, pa.float64()) for name in shares),
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema(schema))


def experiment_rows(rows: list[dict[str, Any]]) -> pa.Table:
    texts = ("experiment", "kind", "salt", "treatment_release", "control_release")
    schema = [
        *((name, pa.string()) for name in texts),
        ("control_share", pa.float64()),
        ("first_pointer_version", pa.int64()),
        ("last_pointer_version", pa.int64()),
        ("began_at", TIME),
        ("ended_at", TIME),
        ("planned_days", pa.int64()),
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema(schema))


def experiment_row(one: Experiment, *, planned_days: int) -> dict[str, Any]:
    return {
        "experiment": one.name,
        "kind": one.kind,
        "salt": one.salt,
        "treatment_release": one.treatment,
        "control_release": one.control,
        "control_share": one.control_share,
        "first_pointer_version": one.first_version,
        "last_pointer_version": one.last_version,
        "began_at": _time(one.began_at),
        "ended_at": _time(one.ended_at) if one.ended_at else None,
        "planned_days": planned_days,
    }


def _experiment(one: Experiment, *, home: Home, known: dict[str, Any] | None) -> dict[str, Any]:
    """A plan is settled when the experiment begins: what stands in the table already stays, whatever the cadence is."""
    return experiment_row(one, planned_days=known["planned_days"] if known else _planned_days(one, home=home))


def _planned_days(one: Experiment, *, home: Home) -> int:
    return HOLDOUT_DAYS[Dataset.load(home.landing).cadence] if one.kind == "holdout" else Holdouts.long_days


def _time(at: str) -> datetime:
    return datetime.fromisoformat(at).astimezone(UTC)
