"""A release made or judged again from its own lineage: the same table versions, teacher, seed and settings."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from math import isclose
from typing import Any

from decisions.criterion import Decision
from lakehouse import frozen
from lakehouse.dataset import Dataset
from lakehouse.home import Home
from lakehouse.recipes import Recipe
from lakehouse.versions import Pin, fault
from orchestration import retrain
from orchestration.evaluating import Days, Model, judge_model
from orchestration.plan import Plan, training_rows
from orchestration.retention import pin_of
from orchestration.runs import heard
from orchestration.validation import STATISTICS
from ranker import FeatureSpec
from registry import Artifact, Exclusion, Registry, ReleaseError


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Whether the weights came out the same, and how to say it."""

    same: bool
    text: str


def plan_of(artifact: Artifact, *, home: Home) -> Plan:
    """The plan that a release was made by, read from its lineage, spec and settings.

    Where a pinned version is gone and the release was frozen, the plan reads the frozen rows instead. Raises
    ReleaseError for a release that somebody was part of who was forgotten since.
    """
    if (forgotten := Registry(home.releases).forgotten().get(artifact.id)) is not None:
        raise ReleaseError(
            f"{artifact.id} can be neither made nor judged again since {forgotten.at[:10]}: {forgotten.reason}"
        )
    lineage, settings = artifact.lineage, artifact.json("training.json")
    copies = frozen.copies(home, artifact.id)
    pins = {source.relation: readable(pin_of(source), copies) for source in lineage.inputs}
    recipe = Recipe.from_json(lineage.recipe, settings["recipe"])
    return Plan(
        partition=lineage.partition,
        dataset=Dataset.from_json(settings["dataset"]),
        spec=FeatureSpec.from_json(artifact.json("spec.json")),
        recipe=recipe,
        sampling=pins["marts.training_examples" if recipe.materialised else "marts.sampling_rates"],
        examples=pins["marts.examples_v1"],
        teacher=lineage.teacher or lineage.dropped_teacher,
        teacher_scores=pins.get("ops.teacher_scores"),
        alpha=settings["alpha"],
        seed=lineage.seeds["training"],
        train_since=date.fromisoformat(settings["train_since"]) if settings["train_since"] else None,
        num_ranks=settings["num_ranks"],
        statistics=tuple(pins[table] for table in STATISTICS if table in pins),
        exclusions=tuple(Exclusion(**one) for one in settings["exclusions"]),
        validated_since=date.fromisoformat(since) if (since := settings.get("validated_since")) else None,
        random_slice=pins.get("marts.random_slice"),
    )


def readable(pinned: Pin, copies: Mapping[Pin, Pin]) -> Pin:
    """The pin itself as long as it can be read, else that of its frozen copy where there is one."""
    return copies[pinned] if pinned in copies and fault(pinned) is not None else pinned


def train_again(release: str, *, home: Home, on_progress: Callable[[str], None]) -> Comparison:
    """Train from a release's lineage and compare the weights' hashes; reads pinned versions only, changes nothing.

    Raises PinError if a version is gone, ReleaseError if the release or its teacher does not verify.
    """
    artifact = Registry(home.releases).load(release)
    with heard(on_progress):
        candidate = retrain.train(plan_of(artifact, home=home), home=home)
    # What it was trained from comes first in its lineage; the same table may follow once more, with other rows.
    then = artifact.lineage.inputs[: len(candidate.inputs)]
    pairs = zip(candidate.inputs, then, strict=True)
    changed = [now.relation for now, past in pairs if now.content_hash != past.content_hash]
    if changed:
        return Comparison(same=False, text=f"{release}: other rows than then in {', '.join(changed)}")
    recorded = artifact.manifest["teacher.safetensors"].sha256
    # Of a release that dropped its teacher the control is what was saved.
    released = candidate.control if artifact.lineage.dropped_teacher else candidate.student
    assert released is not None, "a teacher that was dropped had a control"
    found = hashlib.sha256(released["teacher.safetensors"]).hexdigest()
    if found == recorded:
        return Comparison(same=True, text=f"{release}: the same weights again, {found[:16]}…")
    return Comparison(
        same=False,
        text=f"{release}: other weights, {found[:16]}… instead of {recorded[:16]}…. Same rows, so code or machine "
        f"differ: it was made by {artifact.lineage.code_version} on {dict(artifact.lineage.environment)}",
    )


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a decision said of a criterion then, and what it says now; None where it was not asked."""

    criterion: str
    field: str
    then: Any
    now: Any


@dataclass(frozen=True, kw_only=True)
class JudgedAgain:
    """A release's decision made once more, and where it is not the one that was saved with it."""

    release: str
    decision: Decision
    changes: list[Change]

    @property
    def same(self) -> bool:
        return not self.changes


def judge_again(release: str, *, home: Home, on_progress: Callable[[str], None]) -> JudgedAgain:
    """Judge a release's own files on the table versions that its lineage names, beside the production of then.

    Reads pinned versions only, or their frozen copies, and changes nothing. Raises PinError if a version is gone,
    ReleaseError if the release or that production does not verify, or it holds no decision.
    """
    registry = Registry(home.releases)
    artifact = registry.load(release)
    saved = artifact.json("gate.json")
    with heard(on_progress):
        plan = plan_of(artifact, home=home)
        beside = Model.of_release(registry.load(plan.teacher)) if plan.teacher else None
        checks, _ = retrain.data_checks(plan, training_rows(plan))
        judged = judge_model(Model.of_release(artifact), beside=beside, days=Days.of(plan), plan=plan, checks=checks)
    return JudgedAgain(release=release, decision=judged.decision, changes=changes_of(saved, judged.decision.to_json()))


def changes_of(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Where two decisions, as JSON, differ: the verdict, a criterion, its status or one of its numbers.

    Numbers that agree to six digits are the same: another processor adds in another order.
    """
    changes = []
    if then["verdict"] != now["verdict"]:
        changes.append(Change(criterion="overall", field="verdict", then=then["verdict"], now=now["verdict"]))
    before, after = ({one["name"]: one for one in decision["criteria"]} for decision in (then, now))
    for name in dict.fromkeys([*before, *after]):
        if name not in before or name not in after:
            statuses = (found[name]["status"] if name in found else None for found in (before, after))
            changes.append(Change(criterion=name, field="status", then=next(statuses), now=next(statuses)))
            continue
        for field in ("status", "figure", "lower", "upper", "limit"):
            one, other = before[name][field], after[name][field]
            if not _is_same(one, other):
                changes.append(Change(criterion=name, field=field, then=one, now=other))
    return changes


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=1e-6, abs_tol=1e-12)
    return bool(one == other)
