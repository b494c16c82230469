"""Two recipes judged by what they do: a ranker trained on each, over the same days, judged on the same rows."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from lakehouse.advice import bytes_of_row_groups
from lakehouse.home import Home
from lakehouse.recipes import recipe
from lakehouse.sampling import read_random_keep, sample_filter
from lakehouse.versions import open_dataset, pin
from orchestration.plan import Plan, Rows, calibration_rows, evaluation_rows, served, training_rows, without_teacher
from orchestration.progress import progress
from orchestration.ranks import Task
from orchestration.retrain import fit_with_progress
from orchestration.runs import heard
from ranker import Difference, calibrate, evaluate, paired_bootstrap, score
from ranker.metrics import Floats


@dataclass(frozen=True, kw_only=True)
class Side:
    """One recipe: what its training set costs, and the report of what came of it (`ranker.evaluate`).

    bytes: of the row groups of the examples that a read opens. read_s takes in encoding, train_s is training alone.
    """

    recipe: str
    rows: int
    bytes: int
    read_s: float
    train_s: float
    report: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RecipeComparison:
    """Both sides, and by action the paired differences, second − first, over users (`ranker.paired_bootstrap`)."""

    partition: str
    judged_rows: int
    sides: tuple[Side, Side]
    differences: dict[str, dict[str, Difference]]


def compare_recipes(
    names: tuple[str, str], *, partition: str, home: Home, rates: str, on_progress: Callable[[str], None]
) -> RecipeComparison:
    """Compare on the windows of a week, over the newest tables; writes nothing.

    rates: the table of sampling rates: marts.sampling_rates, or that of a schema of one's own. Both recipes are
    sampled while reading, and neither has a teacher, so that nothing but the recipe differs.

    Raises ValueError for an unknown recipe, PinError if a table is not there, RatesError if the rates are of another
    definition.
    """
    plans = [
        without_teacher(
            partition,
            recipe=replace(recipe(name), materialised=False),
            sampling=pin(rates, home=home),
            examples=pin("marts.examples_v1", home=home),
            home=home,
        )
        for name in names
    ]
    with heard(on_progress):
        return compare(plans[0], plans[1])


def compare(first: Plan, second: Plan) -> RecipeComparison:
    """Two plans that differ in their recipe."""
    progress("rows to calibrate and to judge")
    calibrating, judged = calibration_rows(first), evaluation_rows(first)
    (one, before), (other, after) = (_side(plan, calibrating, judged) for plan in (first, second))
    progress("compare")
    return RecipeComparison(
        partition=first.partition,
        judged_rows=len(judged.examples),
        sides=(one, other),
        differences={
            action: paired_bootstrap(
                judged.examples.label(action),
                candidate=after[action],
                baseline=before[action],
                users=judged.examples.user.codes,
                weights=judged.examples.weights,
                seed=first.seed,
            )
            for action in first.dataset.actions
        },
    )


def _side(plan: Plan, calibrating: Rows, judged: Rows) -> tuple[Side, dict[str, Floats]]:
    """What one recipe gives, and its calibrated probabilities of the judged rows."""
    name = plan.recipe.name
    progress(f"{name}: reading")
    started = time.perf_counter()
    rows = training_rows(plan)
    read_s = time.perf_counter() - started
    fitted = fit_with_progress(Task(plan=plan, taught=False, label=f"{name}: train"), rows.examples, None)
    progress(f"{name}: calibrate and judge")
    calibrator = calibrate(score(fitted.model, calibrating.examples, position="shown"), calibrating.examples)
    probabilities = calibrator.apply(score(fitted.model, judged.examples, position="shown"))
    kept = sample_filter(plan.recipe, random_keep=read_random_keep(plan.sampling, recipe=plan.recipe))
    where = kept & served(plan, None, plan.windows.train_until)
    side = Side(
        recipe=name,
        rows=len(rows.examples),
        bytes=bytes_of_row_groups(open_dataset(plan.examples), where),
        read_s=read_s,
        train_s=fitted.seconds,
        report=evaluate(probabilities, judged.examples, seed=plan.seed),
    )
    return side, probabilities
