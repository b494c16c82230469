"""The plan of one student: pinned tables, teacher, seed; and the rows that each of its windows holds."""

from dataclasses import asdict, dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from lakehouse.dataset import Dataset
from lakehouse.versions import Pin, content_hash, read
from orchestration.calendar import Windows, windows
from ranker import Examples, FeatureSpec
from registry import Input

# Half teacher, half labels: .9 locks the model in.
ALPHA = 0.5
SEED = 20


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a student is made from, exactly: enough to make it again."""

    partition: str
    dataset: Dataset
    spec: FeatureSpec
    training_examples: Pin
    examples: Pin
    teacher: str | None
    teacher_scores: Pin | None
    alpha: float = ALPHA
    seed: int = SEED

    @property
    def windows(self) -> Windows:
        return windows(self.partition, self.dataset)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of a pinned table as examples, and their line in the lineage."""

    table: pa.Table
    examples: Examples
    source: Input

    @classmethod
    def of(cls, pinned: Pin, plan: Plan, where: pads.Expression) -> "Rows":
        table = read(pinned, where=where).sort_by(plan.spec.event)
        if table.num_rows == 0:
            raise ValueError(f"{pinned.relation} at version {pinned.version} has no row where {where}")
        keep = plan.spec.negative_keep_probability
        if keep is not None and keep not in table.column_names:
            # Rows that no recipe sampled: what the collector kept is all that was left out.
            table = table.append_column(keep, table["logging_probability"])
        examples = Examples.from_arrow(table, spec=plan.spec, actions=plan.dataset.actions)
        return cls(table=table, examples=examples, source=source_of(pinned, table))


def training_rows(plan: Plan) -> Rows:
    """The sampled rows served before the training window ends."""
    return Rows.of(plan.training_examples, plan, served(plan, None, plan.windows.train_until))


def calibration_rows(plan: Plan) -> Rows:
    """Unsampled rows of the days after training; of a log with a random slice, its users set aside for this."""
    where = served(plan, plan.windows.train_until, plan.windows.calibrate_until)
    if plan.dataset.random_slice:
        where &= (pc.field("traffic") == "random") & (pc.field("user_slice") == "calibrate")
    return Rows.of(plan.examples, plan, where)


def evaluation_rows(plan: Plan) -> Rows:
    """Unsampled rows of the last days: all policy traffic, and of random traffic the users set aside for this."""
    where = served(plan, plan.windows.calibrate_until, plan.windows.evaluate_until)
    where &= (pc.field("traffic") == "policy") | (pc.field("user_slice") == "evaluate")
    return Rows.of(plan.examples, plan, where)


def served(plan: Plan, since: datetime | None, until: datetime) -> pads.Expression:
    time, unit = pc.field(plan.spec.time), pa.timestamp("us", "UTC")
    before = time < pa.scalar(until, unit)
    return before if since is None else before & (time >= pa.scalar(since, unit))


def source_of(pinned: Pin, table: pa.Table) -> Input:
    return Input(**asdict(pinned), rows=table.num_rows, content_hash=content_hash(table))
