"""A release made again from its own lineage: the same table versions, teacher, seed and settings."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from lakehouse import frozen
from lakehouse.dataset import Dataset
from lakehouse.home import Home
from lakehouse.recipes import Recipe
from lakehouse.versions import Pin, fault
from orchestration import retrain
from orchestration.plan import Plan
from orchestration.retention import pin_of
from orchestration.runs import heard
from orchestration.validation import STATISTICS
from ranker import FeatureSpec
from registry import Artifact, Registry


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Whether the weights came out the same, and how to say it."""

    same: bool
    text: str


def plan_of(artifact: Artifact, *, home: Home) -> Plan:
    """The plan that a release was made by, read from its lineage, spec and settings.

    Where a pinned version is gone and the release was frozen, the plan reads the frozen rows instead.
    """
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
        teacher=lineage.teacher,
        teacher_scores=pins.get("ops.teacher_scores"),
        alpha=settings["alpha"],
        seed=lineage.seeds["training"],
        train_since=date.fromisoformat(settings["train_since"]) if settings["train_since"] else None,
        num_ranks=settings["num_ranks"],
        statistics=tuple(pins[table] for table in STATISTICS if table in pins),
        validated_since=date.fromisoformat(since) if (since := settings.get("validated_since")) else None,
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
    found = hashlib.sha256(candidate.student["teacher.safetensors"]).hexdigest()
    if found == recorded:
        return Comparison(same=True, text=f"{release}: the same weights again, {found[:16]}…")
    return Comparison(
        same=False,
        text=f"{release}: other weights, {found[:16]}… instead of {recorded[:16]}…. Same rows, so code or machine "
        f"differ: it was made by {artifact.lineage.code_version} on {dict(artifact.lineage.environment)}",
    )
