"""A release made again from its own lineage: the same table versions, teacher, seed and settings."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from lakehouse.dataset import Dataset
from lakehouse.home import Home
from lakehouse.recipes import Recipe
from lakehouse.versions import Pin
from orchestration import retrain
from orchestration.plan import Plan
from orchestration.runs import heard
from ranker import FeatureSpec
from registry import Artifact, Registry


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Whether the weights came out the same, and how to say it."""

    same: bool
    text: str


def plan_of(artifact: Artifact) -> Plan:
    """The plan that a release was made by, read from its lineage, spec and settings."""
    lineage, settings = artifact.lineage, artifact.json("training.json")
    pins = {
        source.relation: Pin(
            relation=source.relation, path=source.path, table_id=source.table_id, version=source.version
        )
        for source in lineage.inputs
    }
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
    )


def train_again(release: str, *, home: Home, on_progress: Callable[[str], None]) -> Comparison:
    """Train from a release's lineage and compare the weights' hashes; reads pinned versions only, changes nothing.

    Raises PinError if a version is gone, ReleaseError if the release or its teacher does not verify.
    """
    artifact = Registry(home.releases).load(release)
    with heard(on_progress):
        candidate = retrain.train(plan_of(artifact))
    # What it was trained from comes first in its lineage; the same table may follow once more, with other rows.
    then = artifact.lineage.inputs[: len(candidate.inputs)]
    changed = [now.relation for now, past in zip(candidate.inputs, then, strict=True) if now != past]
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
