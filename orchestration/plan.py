"""The plan of one student: pinned tables, teacher, seed; and the rows that each of its windows holds."""

import json
from dataclasses import asdict, dataclass
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from lakehouse.dataset import Dataset
from lakehouse.features import feature_spec
from lakehouse.home import Home
from lakehouse.recipes import Recipe
from lakehouse.sampling import files_of_rank, open_sample, read_sample
from lakehouse.versions import Pin, content_hash, open_dataset, read
from orchestration.calendar import Windows, midnight, windows
from ranker import Examples, FeatureSpec
from registry import Exclusion, Input

# Half teacher, half labels: .9 locks the model in.
ALPHA = 0.5
SEED = 20


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a student is made from, exactly: enough to make it again.

    `sampling` is marts.training_examples where the recipe is materialised, else marts.sampling_rates, by which the
    examples are sampled while they are read. `train_since` makes it a warm start: training goes on from the teacher
    with the rows served from that day on; None trains afresh on all of them. `num_ranks` processes of the cluster share
    the training out; with one, it runs where the plan is. `statistics` are the tables of monitoring.* by which the days
    from `validated_since` on are judged; a release made before they were kept has none. `random_slice` is
    marts.random_slice, None where the contract declares no random traffic. `exclusions` are rows that are left out of
    all that it trains on and is judged by.
    """

    partition: str
    dataset: Dataset
    spec: FeatureSpec
    recipe: Recipe
    sampling: Pin
    examples: Pin
    teacher: str | None
    teacher_scores: Pin | None
    alpha: float = ALPHA
    seed: int = SEED
    train_since: date | None = None
    num_ranks: int = 1
    statistics: tuple[Pin, ...] = ()
    validated_since: date | None = None
    random_slice: Pin | None = None
    exclusions: tuple[Exclusion, ...] = ()

    @property
    def windows(self) -> Windows:
        return windows(self.partition, self.dataset)

    @property
    def trained_from(self) -> date:
        """The first day of the rows that it trains on."""
        return self.train_since or self.dataset.first_day


def without_teacher(partition: str, *, recipe: Recipe, sampling: Pin, examples: Pin, home: Home) -> Plan:
    """The plan of a week by what landed and by the models as they were built last."""
    manifest = json.loads((home.dbt / "prod" / "manifest.json").read_text())
    return Plan(
        partition=partition,
        dataset=Dataset.load(home.landing),
        spec=FeatureSpec.from_json(feature_spec(manifest)),
        recipe=recipe,
        sampling=sampling,
        examples=examples,
        teacher=None,
        teacher_scores=None,
    )


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of a pinned table as examples, and where they come from, for the lineage: the first source is that table."""

    table: pa.Table
    examples: Examples
    sources: tuple[Input, ...]

    @classmethod
    def of(cls, pinned: Pin, plan: Plan, where: pads.Expression) -> "Rows":
        return cls.from_table(read(pinned, where=where), plan, pinned=pinned)

    @classmethod
    def from_table(cls, table: pa.Table, plan: Plan, *, pinned: Pin, beside: tuple[Input, ...] = ()) -> "Rows":
        if table.num_rows == 0:
            raise ValueError(
                f"{pinned.relation} at version {pinned.version} has no row for the windows of {plan.partition}: "
                f"{plan.windows}"
            )
        table = table.sort_by(plan.spec.event)
        source = source_of(pinned, table)
        keep = plan.spec.negative_keep_probability
        if keep is not None and keep not in table.column_names and "logging_probability" in table.column_names:
            # Rows that no recipe sampled: what the collector kept is all that was left out, of random traffic nothing.
            table = table.append_column(keep, table["logging_probability"])
        examples = Examples.from_arrow(table, spec=plan.spec, actions=plan.dataset.actions)
        return cls(table=table, examples=examples, sources=(source, *beside))


def training_rows(plan: Plan) -> Rows:
    """The rows that the recipe keeps of those served before the training window ends; the same rows either way."""
    where = trained_on(plan)
    of_recipe = pc.field("recipe") == plan.recipe.name
    if plan.recipe.materialised:
        return Rows.of(plan.sampling, plan, where & of_recipe)
    sample = read_sample(plan.examples, recipe=plan.recipe, rates=plan.sampling, where=where)
    rates = read(plan.sampling, where=of_recipe).sort_by([("day", "ascending"), ("stratum", "ascending")])
    return Rows.from_table(sample, plan, pinned=plan.examples, beside=(source_of(plan.sampling, rates),))


def open_training_rows(plan: Plan, *, rank: int, num_ranks: int) -> pa.RecordBatchReader:
    """The rows of `training_rows` in batches, those in a rank's own files; together the ranks read all."""
    where, columns = trained_on(plan), list(plan.spec.columns())
    if not plan.recipe.materialised:
        return open_sample(
            plan.examples,
            recipe=plan.recipe,
            rates=plan.sampling,
            columns=columns,
            where=where,
            rank=rank,
            num_ranks=num_ranks,
        )
    files = files_of_rank(open_dataset(plan.sampling), rank=rank, num_ranks=num_ranks)
    return files.scanner(columns=columns, filter=where & (pc.field("recipe") == plan.recipe.name)).to_reader()


def trained_on(plan: Plan) -> pads.Expression:
    """Which rows are old enough to train on, and of a warm start new enough."""
    since = None if plan.train_since is None else midnight(plan.train_since)
    return served(plan, since, plan.windows.train_until)


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


def random_rows(plan: Plan) -> Rows | None:
    """Every candidate, placed or not, of the random requests of the last days, of the users set aside for this.

    None where the log has no random slice, or those days none of it.
    """
    if plan.random_slice is None:
        return None
    where = served(plan, plan.windows.calibrate_until, plan.windows.evaluate_until)
    table = read(plan.random_slice, where=where & (pc.field("user_slice") == "evaluate"))
    return Rows.from_table(table, plan, pinned=plan.random_slice) if table.num_rows else None


def served(plan: Plan, since: datetime | None, until: datetime) -> pads.Expression:
    """Rows served in [since, until) that nothing excludes."""
    time, unit = pc.field(plan.spec.time), pa.timestamp("us", "UTC")
    chosen = time < pa.scalar(until, unit)
    if since is not None:
        chosen &= time >= pa.scalar(since, unit)
    if taken_back := [one.release for one in plan.exclusions if one.release is not None]:
        # Of a row that no release of ours ranked, the release is null, and is in no list.
        chosen &= ~pc.field("release_id").isin(pa.array(taken_back, pa.string()))
    for one in plan.exclusions:
        if one.since is not None and one.until is not None:
            start, end = (pa.scalar(datetime.fromisoformat(at), unit) for at in (one.since, one.until))
            chosen &= ~((time >= start) & (time < end))
    return chosen


def source_of(pinned: Pin, table: pa.Table) -> Input:
    return Input(**asdict(pinned), rows=table.num_rows, content_hash=content_hash(table))
