"""Two bad releases that no gate can see, because nothing is wrong with them but where they are served.

One was trained and judged on tables in which a feature has the wrong sign, as a slip in SQL leaves it; servers compute
the feature from what the service sends, and so rank by its opposite. The other is right and so large that it is slow;
the gate counts operations, of which it has fewer than are allowed, and not milliseconds.
"""

from collections.abc import Callable
from dataclasses import replace

import pyarrow.compute as pc
from deltalake import write_deltalake

from lakehouse.home import Home
from lakehouse.recipes import recipe
from lakehouse.versions import Pin, pin, read
from orchestration import retrain
from orchestration.history import record_decision
from orchestration.plan import Plan, training_rows
from orchestration.retrain import Candidate, Evaluation
from orchestration.teaching import teacher_logits
from ranker import RankerConfig, TrainingConfig, fit
from registry import Registry

FEATURE = "logged_affinity"
LARGE = RankerConfig(cross_rank=256, num_experts=8, expert_sizes=(256, 64))


def newest_plan(partition: str, *, home: Home) -> Plan:
    """The plan of a week by the tables as they are now."""
    in_use = recipe()
    return retrain.plan(
        partition,
        recipe=in_use,
        sampling=pin("marts.training_examples" if in_use.materialised else "marts.sampling_rates", home=home),
        examples=pin("marts.examples_v1", home=home),
        random_slice=pin("marts.random_slice", home=home),
        home=home,
    )


def skewed(partition: str, *, home: Home) -> Evaluation:
    """A release that learnt FEATURE with the wrong sign, and was judged with it."""
    plan = newest_plan(partition, home=home)
    assert plan.random_slice is not None
    turned = replace(
        plan,
        sampling=_turned(plan.sampling, home=home) if plan.recipe.materialised else plan.sampling,
        examples=_turned(plan.examples, home=home),
        random_slice=_turned(plan.random_slice, home=home),
    )
    return _judged(retrain.train(turned, home=home), home=home)


def slow(partition: str, *, home: Home) -> Evaluation:
    """A release of a model that is much larger."""
    plan = newest_plan(partition, home=home)
    rows = training_rows(plan)
    checks, _ = retrain.data_checks(plan, rows)
    logits_BH, scores = teacher_logits(plan, rows)
    fitted = fit(
        rows.examples,
        spec=plan.spec,
        config=LARGE,
        training=TrainingConfig(random_weight=plan.recipe.random_weight),
        seed=plan.seed,
        teacher_logits_BH=logits_BH,
        alpha=plan.alpha,
    )
    candidate = Candidate(
        plan=plan,
        student=fitted.to_files(),
        control=None,
        curve=fitted.curve,
        inputs=(*rows.sources, scores),
        checks=checks,
    )
    return _judged(candidate, home=home)


Plant = Callable[..., Evaluation]
PLANTED: dict[str, Plant] = {"a feature has the wrong sign where it is served": skewed, "it scores slowly": slow}


def _judged(candidate: Candidate, *, home: Home) -> Evaluation:
    """Calibrated, judged by the gate and, if that passes, on its way, as any other."""
    registry = Registry(home.releases)
    judged = retrain.evaluate_pair(retrain.calibrate_pair(candidate), registry=registry)
    record_decision(judged, home=home, registry=registry)
    if judged.decision.verdict == "pass":
        retrain.promote(judged, home=home, registry=registry)
    return judged


def _turned(pinned: Pin, *, home: Home) -> Pin:
    """A copy of a pinned table in which FEATURE has the opposite sign."""
    table = read(pinned)
    name = pinned.relation.partition(".")[2]
    place = table.schema.get_field_index(FEATURE)
    table = table.set_column(place, table.schema.field(place), pc.negate(table[FEATURE]))
    path = home.warehouse / "planted.db" / name
    path.mkdir(parents=True, exist_ok=True)
    write_deltalake(path, table, mode="overwrite")
    return pin(f"planted.{name}", home=home)
