"""The ranker as assets: teacher scores, candidate, calibrated pair, evaluation behind the gate, release."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from lakehouse.home import home
from lakehouse.recipes import recipe
from orchestration import metadata, retrain
from orchestration.calendar import partitions
from orchestration.history import publish_history, record_decision
from orchestration.models import pinned_input
from orchestration.plan import Plan
from orchestration.retrain import Candidate, Evaluation, Pair
from orchestration.retries import retried
from orchestration.validation import STATISTICS
from registry.registry import Registry

PERIODS = partitions(home())
EXAMPLES = dg.AssetKey(["marts", "examples_v1"])
TRAINING_EXAMPLES = dg.AssetKey(["marts", "training_examples"])
SAMPLING_RATES = dg.AssetKey(["marts", "sampling_rates"])
RANDOM_SLICE = dg.AssetKey(["marts", "random_slice"])
TEACHER_SCORES = dg.AssetKey(["ops", "teacher_scores"])
STATISTICS_KEYS = [dg.AssetKey(table.split(".")) for table in STATISTICS]
RANKER: dict[str, Any] = {"group_name": "ranker", "partitions_def": PERIODS, "owners": ["team:ranking"]}


class Start(dg.Config):
    """Where the training of a week starts, afresh or `warm` from the release in production with the rows since, and
    how many `ranks` of the cluster share it out."""

    warm: bool = False
    ranks: int = 1


@dg.asset(
    key=TEACHER_SCORES,
    deps=[TRAINING_EXAMPLES, SAMPLING_RATES, EXAMPLES, RANDOM_SLICE, *STATISTICS_KEYS],
    kinds={"torch", "deltalake"},
    pool="lake",
    **RANKER,
)
@retried
def teacher_scores(context: dg.AssetExecutionContext, config: Start) -> dg.MaterializeResult[Plan]:
    """What the release in production thinks of each training example; empty for the first release."""
    in_use = recipe()
    plan = retrain.plan(
        context.partition_key,
        recipe=in_use,
        sampling=pinned_input(context, TRAINING_EXAMPLES if in_use.materialised else SAMPLING_RATES),
        examples=pinned_input(context, EXAMPLES),
        random_slice=pinned_input(context, RANDOM_SLICE),
        home=home(),
        statistics=tuple(pinned_input(context, key) for key in STATISTICS_KEYS),
        warm=config.warm,
        num_ranks=config.ranks,
    )
    return dg.MaterializeResult(value=plan, metadata=metadata.of_plan(plan))


@dg.asset(kinds={"torch"}, ins={"plan": dg.AssetIn(TEACHER_SCORES)}, **RANKER)
@retried
def candidate(plan: Plan) -> dg.MaterializeResult[Candidate]:
    """A student of production, trained on exactly the pinned rows that the recipe keeps, and its control."""
    trained = retrain.train(plan, home=home(), checkpoints=home().dagster / "checkpoints")
    return dg.MaterializeResult(value=trained, metadata=metadata.of_candidate(trained))


@dg.asset(kinds={"torch"}, **RANKER)
def calibrated_pair(candidate: Candidate) -> dg.MaterializeResult[Pair]:
    """The next teacher, uncalibrated, and the model to serve with a calibrator fitted on the days after training."""
    pair = retrain.calibrate_pair(candidate)
    return dg.MaterializeResult(value=pair, metadata=metadata.of_pair(pair))


GATE = dg.AssetCheckSpec(
    "gate",
    asset="evaluation",
    blocking=True,
    description="May the pair go to production? Pass, block or needs-a-person; only a pass lets the release step run.",
)


@dg.asset(kinds={"torch"}, check_specs=[GATE], **RANKER)
@retried
def evaluation(calibrated_pair: Pair) -> Iterator[dg.Output[Evaluation] | dg.AssetCheckResult]:
    """The pair judged on the days after calibration, beside production; saved whatever the gate says of it."""
    registry = Registry(home().releases)
    judged = retrain.evaluate_pair(calibrated_pair, registry=registry)
    record_decision(judged, home=home(), registry=registry)
    yield dg.Output(judged, metadata=metadata.of_evaluation(judged))
    yield metadata.gate_check(judged)


@dg.asset(kinds={"torch"}, pool="lake", **RANKER)
@retried
def release(context: dg.AssetExecutionContext, evaluation: Evaluation) -> dg.MaterializeResult[None]:
    """The pair in production, or where somebody is served, first the canary. A backfilled week is kept and never
    promoted."""
    registry = Registry(home().releases)
    context.log.info(retrain.promote(evaluation, home=home(), registry=registry))
    publish_history(registry, home=home())
    return dg.MaterializeResult(metadata=metadata.of_release(evaluation, registry.pointer()))
