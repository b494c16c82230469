"""One retrain as plain functions: the assets call them one by one, `stillhouse retrain --like` calls `train` alone."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import torch

from decisions.criterion import Criterion, Decision, judge
from decisions.data_checks import check_training_set
from decisions.drift import Drift
from decisions.teacher import TeacherVerdict, judge_teacher
from lakehouse.home import PROJECT, Home
from lakehouse.recipes import Recipe
from lakehouse.sampled_rows import write_sampled_rows
from lakehouse.versions import Pin
from online.settings import Settings
from orchestration import finished
from orchestration.calendar import midnight
from orchestration.card import CARD, card
from orchestration.evaluating import Days, Model, judge_model
from orchestration.judging import teacher_figures, training_figures
from orchestration.plan import (
    Plan,
    Rows,
    calibration_rows,
    trained_on,
    training_rows,
    without_teacher,
)
from orchestration.progress import progress
from orchestration.ranks import Task, fit_in_ranks
from orchestration.report import pictures_of, report_of
from orchestration.rollout import bring
from orchestration.teaching import teacher_logits, write_teacher_scores
from orchestration.validation import Validation, validate
from ranker import (
    Calibrator,
    Examples,
    Fitted,
    Progress,
    Ranker,
    RankerConfig,
    Teacher,
    TrainingConfig,
    calibrate,
    fit,
    golden_rows,
    score,
    unpack_moments,
)
from ranker.artifact import SERVING
from registry import Input, Lineage, Registry, code_version, environment


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A student and its control as files, their loss curves, what they were trained from, what speaks against that
    data, and how far each feature had moved on the new days."""

    plan: Plan
    student: dict[str, bytes]
    control: dict[str, bytes] | None
    curve: list[dict[str, float]]
    inputs: tuple[Input, ...]
    checks: list[Criterion]
    drifts: tuple[Drift, ...] = ()
    control_curve: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A candidate as next teacher (uncalibrated) and as the model to serve (with its calibrator), and its control."""

    candidate: Candidate
    calibrator: Calibrator
    control_calibrator: Calibrator | None
    calibrated_on: Input

    @property
    def student(self) -> Model:
        return Model(files=self.candidate.student, calibrator=self.calibrator)

    @property
    def control(self) -> Model | None:
        if self.candidate.control is None or self.control_calibrator is None:
            return None
        return Model(files=self.candidate.control, calibrator=self.control_calibrator)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A saved pair, the gate's decision on it, and the version of the pointer that it was decided on."""

    release: str
    partition: str
    decision: Decision
    pointer_version: int
    metrics: dict[str, Any]
    pictures: dict[str, bytes]
    teacher: str | None
    inputs: tuple[Input, ...]


def plan(
    partition: str,
    *,
    recipe: Recipe,
    sampling: Pin,
    examples: Pin,
    random_slice: Pin,
    home: Home,
    statistics: tuple[Pin, ...] = (),
    warm: bool = False,
    num_ranks: int = 1,
) -> Plan:
    """The plan of a week: the pinned tables, its teacher (production as of that week), and the teacher's scores.

    `warm` goes on from the teacher with the rows served since its own ended; the first release starts afresh anyway.
    `num_ranks` processes of the cluster share the training out.
    Of a recipe that is not materialised, ops.sampled_rows shows from here on which rows it trains on.
    """
    registry = Registry(home.releases)
    base = without_teacher(partition, recipe=recipe, sampling=sampling, examples=examples, home=home)
    made = replace(
        base,
        teacher=registry.teacher(before=partition),
        num_ranks=num_ranks,
        statistics=statistics,
        random_slice=random_slice if base.dataset.random_slice else None,
        exclusions=registry.exclusions(),
    )
    teacher = None if made.teacher is None else registry.load(made.teacher)
    if teacher is not None:
        ends = {use: date.fromisoformat(end) for use, (_, end) in teacher.lineage.windows.items()}
        # The newest day that it was judged on was not whole yet.
        made = replace(made, validated_since=ends["evaluate"] - timedelta(days=1))
        if warm:
            made = replace(made, train_since=ends["train"])
    if not recipe.materialised:
        progress(f"sampled rows: {recipe.name}")
        write_sampled_rows(examples, recipe=recipe, rates=sampling, where=trained_on(made), home=home)
    if teacher is None:
        return made
    progress(f"teacher scores: {made.teacher}")
    return replace(made, teacher_scores=write_teacher_scores(made, teacher, home=home))


def train(plan: Plan, *, home: Home, checkpoints: Path | None = None) -> Candidate:
    """The student, and where there is a teacher its control: the same rows, seed, start and settings without it.

    checkpoints: a folder from which a training that was killed goes on, and in which one that has finished is found.
    """
    progress("train: reading the training set")
    rows = training_rows(plan)
    checks, validation = data_checks(plan, rows)
    inputs, logits_BH = [*rows.sources], None
    if plan.teacher is not None:
        logits_BH, scores = teacher_logits(plan, rows)
        inputs.append(scores)
    start = None if plan.train_since is None else dict(Registry(home.releases).load(str(plan.teacher)).files)

    def fitted(label: str, logits_BH: torch.Tensor | None) -> Fitted:
        checkpoint = checkpoints and checkpoint_of(plan, label, folder=checkpoints)
        task = Task(plan=plan, taught=logits_BH is not None, label=label, start=start, checkpoint=checkpoint)

        def fit_now() -> Fitted:
            if plan.num_ranks > 1:
                return fit_in_ranks(task, fit_rank=fit_with_progress, home=home)
            return fit_with_progress(task, rows.examples, logits_BH)

        if checkpoints is None:
            return fit_now()
        read = inputs if task.taught else rows.sources
        return finished.once(task, inputs=read, folder=checkpoints / "finished", train=fit_now)

    student = fitted("train", logits_BH)
    control = fitted("control", None) if plan.teacher is not None else None
    return Candidate(
        plan=plan,
        student=student.to_files(),
        control=control.model.to_files() if control else None,
        curve=student.curve,
        control_curve=control.curve if control else [],
        inputs=(*inputs, *(validation.sources if validation else ())),
        checks=checks,
        drifts=validation.drifts if validation else (),
    )


def data_checks(plan: Plan, rows: Rows) -> tuple[list[Criterion], Validation | None]:
    """The criteria on the training set and on the days that production was not judged on yet."""
    window = plan.windows.train_until - midnight(plan.trained_from)
    figures = training_figures(rows.table, spec=plan.spec, dataset=plan.dataset, window_days=window.days)
    checks = check_training_set(figures, actions=plan.dataset.actions, random_slice=plan.dataset.random_slice)
    if not plan.statistics:
        return checks, None
    validation = validate(plan)
    progress(f"data: {judge(validation.criteria).reason}")
    return [*checks, *validation.criteria], validation


def calibrate_pair(candidate: Candidate) -> Pair:
    """Fit the calibrators on the days after training."""
    progress("calibrate")
    rows = calibration_rows(candidate.plan)

    def fitted(files: dict[str, bytes]) -> Calibrator:
        return calibrate(score(Ranker.from_files(files), rows.examples, position="shown"), rows.examples)

    return Pair(
        candidate=candidate,
        calibrator=fitted(candidate.student),
        control_calibrator=fitted(candidate.control) if candidate.control else None,
        calibrated_on=rows.sources[0],
    )


def evaluate_pair(pair: Pair, *, registry: Registry) -> Evaluation:
    """Judge the pair on the days after calibration, beside production and its own control, and save it as a release.

    Where the control shows that the teacher did harm, the control is what is judged and saved, and the teacher dropped.
    It is saved whatever the gate says, with the decision in it: a refused candidate can be looked at, and overruled.
    """
    progress("evaluate")
    plan, pointer_version = pair.candidate.plan, registry.pointer().version
    days = Days.of(plan)
    production = Model.of_release(registry.load(plan.teacher)) if plan.teacher else None
    verdict = teacher_verdict(pair, days.evaluation)
    drops_teacher = verdict is not None and verdict.is_harmful
    model = pair.control if drops_teacher and pair.control is not None else pair.student
    judged = judge_model(model, beside=production, days=days, plan=plan, checks=pair.candidate.checks)
    others = {"control": pair.control, "student": pair.student if drops_teacher else None}
    report = report_of(judged, others=others, rows=days.evaluation, plan=plan)
    if verdict is not None:
        report["teacher"] = {"release": plan.teacher, **verdict.to_json()}
    curve = pair.candidate.control_curve if drops_teacher else pair.candidate.curve
    pictures = pictures_of(judged, report, curve=curve, drifts=pair.candidate.drifts, rows=days.evaluation, plan=plan)
    files = {
        **model.files,
        **pictures,
        "calibrator.json": as_json(model.calibrator.to_json()),
        "metrics.json": as_json(report),
        "gate.json": as_json(judged.decision.to_json()),
        "training.json": as_json(settings_of(plan)),
        "golden.json": as_json(golden_of(model, days.evaluation)),
    }
    lineage = lineage_of(pair, judged_on=days, drops_teacher=drops_teacher, registry=registry)
    saved = registry.save({**files, CARD: card(files, lineage=lineage)}, lineage=lineage)
    return Evaluation(
        release=saved.id,
        partition=plan.partition,
        decision=judged.decision,
        pointer_version=pointer_version,
        metrics=report,
        pictures=pictures,
        teacher=saved.lineage.teacher,
        inputs=saved.lineage.inputs,
    )


def promote(judged: Evaluation, *, home: Home, registry: Registry) -> str:
    """Put the pair on its way to production, unless a later week is there already; what was done, in words."""
    live = registry.production()
    if live is not None and live[:10] > judged.partition:
        return f"{judged.release} is kept but not promoted: production is {live}, of a later week"
    return bring(
        judged.release,
        home=home,
        registry=registry,
        settings=Settings.load(),
        version=judged.pointer_version,
        reason=judged.decision.reason,
    )


def checkpoint_of(plan: Plan, label: str, *, folder: Path) -> Path:
    """Where a training of this plan and these settings leaves off; those of the week that were made otherwise go."""
    made_of = repr((plan, TrainingConfig(), RankerConfig(), code_version(PROJECT)))
    path = folder / f"{plan.partition}-{label}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"
    for other in folder.glob(f"{plan.partition}-{label}-*"):
        if other != path:
            other.unlink()
    return path


def fit_with_progress(
    task: Task,
    examples: Examples | Iterable[Examples],
    teacher: Teacher,
    say: Callable[[str], None] = progress,
) -> Fitted:
    """Train with the shipped settings, and say how far it is."""

    def show(now: Progress) -> None:
        say(
            f"{task.label}: {now.num_seen / now.num_total:.0%} of {now.num_total:,} rows, loss {now.loss:.4f}, "
            f"{now.examples_per_second:,.0f} rows/s, {now.seconds_left:.0f} s left"
        )

    return fit(
        examples,
        spec=task.plan.spec,
        config=RankerConfig(),
        training=TrainingConfig(random_weight=task.plan.recipe.random_weight),
        seed=task.plan.seed,
        teacher_logits_BH=teacher,
        alpha=task.plan.alpha,
        initial=None if task.start is None else Ranker.from_files(task.start),
        moments=None if task.start is None else unpack_moments(task.start),
        checkpoint=task.checkpoint,
        on_progress=show,
    )


def teacher_verdict(pair: Pair, rows: Rows) -> TeacherVerdict | None:
    """Whether the teacher helped, by the first action on the evaluation's rows; None where there was no teacher."""
    if pair.control is None:
        return None
    plan = pair.candidate.plan
    action = plan.dataset.actions[0]
    figures = teacher_figures(
        action,
        rows.examples,
        student=pair.student.probabilities(rows, plan)[action],
        control=pair.control.probabilities(rows, plan)[action],
        bare_student=pair.student.bare_probabilities(rows, plan)[action],
        bare_control=pair.control.bare_probabilities(rows, plan)[action],
        seed=plan.seed,
    )
    verdict = judge_teacher(figures)
    progress(f"teacher {plan.teacher}: {verdict.outcome}, {verdict.reason}")
    return verdict


def golden_of(model: Model, rows: Rows) -> dict[str, Any]:
    """Rows by which a server sees, before it answers anybody, that the weights it serves say what they said here."""
    served = Ranker.from_files(dict(model.files), weights=SERVING)
    return golden_rows(rows.table, model=served, calibrator=model.calibrator)


def settings_of(plan: Plan) -> dict[str, Any]:
    """What a plan holds beside pins and spec, for training.json."""
    return {
        "alpha": plan.alpha,
        "dataset": plan.dataset.to_json(),
        "recipe": plan.recipe.to_json(),
        "train_since": None if plan.train_since is None else plan.train_since.isoformat(),
        "num_ranks": plan.num_ranks,
        "exclusions": [one.to_json() for one in plan.exclusions],
        "validated_since": None if plan.validated_since is None else plan.validated_since.isoformat(),
    }


def lineage_of(pair: Pair, *, judged_on: Days, drops_teacher: bool, registry: Registry) -> Lineage:
    plan = pair.candidate.plan
    taught_by = None if drops_teacher else plan.teacher
    judging = [*judged_on.evaluation.sources, *(judged_on.random.sources if judged_on.random else ())]
    days = [
        moment.date().isoformat()
        for moment in (
            midnight(plan.trained_from),
            plan.windows.train_until,
            plan.windows.calibrate_until,
            plan.windows.evaluate_until,
        )
    ]
    return Lineage(
        partition=plan.partition,
        windows={
            "train": (days[0], days[1]),
            "calibrate": (days[1], days[2]),
            "evaluate": (days[2], days[3]),
        },
        inputs=(*pair.candidate.inputs, pair.calibrated_on, *judging),
        recipe=plan.recipe.name,
        teacher=taught_by,
        dropped_teacher=plan.teacher if drops_teacher else None,
        teachers=registry.teachers(taught_by),
        code_version=code_version(PROJECT),
        seeds={"training": plan.seed},
        environment=environment(threads=TrainingConfig().num_threads),
    )


def as_json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
