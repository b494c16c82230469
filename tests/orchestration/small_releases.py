"""Releases made from three small tables that delta-rs writes: their lineages name real rows of real versions."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from lakehouse.dataset import Dataset
from lakehouse.home import Home
from lakehouse.recipes import Recipe
from lakehouse.versions import Pin, pin
from orchestration.plan import Plan, calibration_rows, evaluation_rows, training_rows
from orchestration.retrain import as_json, settings_of
from orchestration.teaching import teacher_logits
from ranker import FeatureSpec
from registry import Input, Registry
from tests.registry.conftest import build_release

SPEC = FeatureSpec.from_json(
    {
        "relation": "marts.examples_v1",
        "event": "event_id",
        "request": "request_id",
        "user": "user_id",
        "item": "item_id",
        "time": "served_at",
        "acted": "acted",
        "negative_keep_probability": "negative_keep_probability",
        "labels": [{"name": "clicked", "action": "click"}],
        "segments": [],
        "features": [{"name": "strength", "kind": "numeric"}],
    }
)
DATASET = Dataset(
    name="shop",
    actions=("click",),
    random_slice=False,
    positions=False,
    first_day=date(2026, 1, 5),
    last_day=None,
    calibration_days=7,
    evaluation_days=7,
    source="",
)
RECIPE = Recipe(name="balanced", materialised=True, rules=(), otherwise=0.5, random_share=0.0)
TEACHER = "2026-01-12-00000000"
WEEKS, ROWS_A_DAY = 4, 10


def examples(*, seed: int) -> pa.Table:
    """Ten examples a day for four weeks: two of them are trained on, one calibrates, one evaluates."""
    chance = np.random.default_rng(seed)
    num_rows = WEEKS * 7 * ROWS_A_DAY
    clicked = chance.integers(0, 2, num_rows)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    times = [start + timedelta(days=row // ROWS_A_DAY) for row in range(num_rows)]
    return log(clicked, times=times, num_users=9, strength=chance.normal(size=num_rows))


def log(clicked: np.ndarray, *, times: list[datetime], num_users: int, **features: np.ndarray) -> pa.Table:
    """Examples of policy traffic that a collector kept all of, with these clicks, times and features."""
    num_rows = len(clicked)
    return pa.table(
        {
            "event_id": [f"e{row:04}" for row in range(num_rows)],
            "request_id": [f"r{row}" for row in range(num_rows)],
            "user_id": [f"u{row % num_users}" for row in range(num_rows)],
            "item_id": ["i"] * num_rows,
            "served_at": pa.array(times, pa.timestamp("us", "UTC")),
            "day": [moment.date() for moment in times],
            "propensity": pa.nulls(num_rows, pa.float64()),
            "traffic": ["policy"] * num_rows,
            "user_slice": pa.nulls(num_rows, pa.string()),
            "acted": clicked,
            "clicked": clicked,
            "logging_probability": [1.0] * num_rows,
            **features,
        }
    )


def write(home: Home, relation: str, table: pa.Table, *, partition_by: list[str] | None = None) -> Pin:
    schema, _, name = relation.partition(".")
    path = home.warehouse / f"{schema}.db" / name
    path.mkdir(parents=True, exist_ok=True)
    write_deltalake(path, table, mode="overwrite", partition_by=partition_by)
    return pin(relation, home=home)


def build(home: Home, *, seed: int) -> Plan:
    """A new version of the three tables that a release is made from, and the plan that pins them."""
    table = examples(seed=seed)
    sampled = table.append_column("negative_keep_probability", pa.array([0.5] * table.num_rows))
    sampled = sampled.append_column("recipe", pa.array([RECIPE.name] * table.num_rows))
    scores = pa.table(
        {
            "release_id": [TEACHER] * table.num_rows + ["2026-01-05-11111111"],
            "event_id": [*table["event_id"].to_pylist(), "e0000"],
            "logits": pa.array(
                [[(head, float(seed)) for head in ("acted", "click")]] * (table.num_rows + 1),
                pa.map_(pa.string(), pa.float64()),
            ),
        }
    )
    return Plan(
        partition="2026-01-26",
        dataset=DATASET,
        spec=SPEC,
        recipe=RECIPE,
        sampling=write(home, "marts.training_examples", sampled),
        examples=write(home, "marts.examples_v1", table),
        teacher=TEACHER,
        teacher_scores=write(home, "ops.teacher_scores", scores, partition_by=["release_id"]),
    )


def inputs_of(plan: Plan) -> tuple[Input, ...]:
    """The rows that the plan takes, as a retrain writes them into the lineage."""
    training = training_rows(plan)
    return (
        *training.sources,
        teacher_logits(plan, training)[1],
        *calibration_rows(plan).sources,
        *evaluation_rows(plan).sources,
    )


def save(home: Home, plan: Plan, *, inputs: tuple[Input, ...] | None = None) -> str:
    """A release in production that was made by `plan`; its lineage names `inputs`, by default the plan's own."""
    extra = {"training.json": as_json(settings_of(plan))}
    files, lineage = build_release(plan.partition, value=plan.examples.version, **extra)
    files["spec.json"] = json.dumps(SPEC.to_json()).encode()
    made = replace(lineage, inputs=inputs or inputs_of(plan), teacher=plan.teacher, seeds={"training": plan.seed})
    registry = Registry(home.releases)
    saved = registry.save(files, lineage=made)
    registry.promote(saved.id, expected_version=registry.pointer().version, reason="passed")
    return saved.id
