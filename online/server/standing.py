"""What a server answers with: the models that the pointer names and one snapshot, together, replaced together.

A request takes the standing that it meets and keeps it to its end, so no answer mixes two releases or two snapshots.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from decisions.assignment import Arm, arm_of, arms
from lakehouse.home import Home
from lakehouse.snapshot import CURRENT, FOLDER
from online.server.features import FeatureSource
from online.server.model import ServedModel
from online.server.snapshot import Snapshot
from online.settings import Settings
from registry import Pointer, Registry, ReleaseError

# The pointer, and the name of the current snapshot.
Named: TypeAlias = tuple[Pointer, str]


class NotReadyError(RuntimeError):
    """There is nothing to answer with, or it is no good: says what, and what to do."""


@dataclass(frozen=True)
class Served:
    """A model and what computes its features."""

    model: ServedModel
    source: FeatureSource


@dataclass(frozen=True)
class Standing:
    """`pointer` names the releases, `models` holds each that it names, `arms` says whom each of them answers."""

    pointer: Pointer
    snapshot: Snapshot
    models: Mapping[str, Served]
    arms: tuple[Arm, ...]

    @property
    def named(self) -> Named:
        """By what it was loaded."""
        return self.pointer, self.snapshot.name

    @property
    def production(self) -> Served:
        return self.models[self.arms[-1].release]

    def arm_of(self, user: str) -> Arm:
        """Which release ranks for a user: the same at every request while the pointer stays."""
        return arm_of(user, among=self.arms)


def named(home: Home) -> Named:
    """What is to be served now; two small files to read. Raises NotReadyError where one is missing or damaged."""
    try:
        pointer = Registry(home.releases).pointer()
    except ReleaseError as error:
        raise NotReadyError(str(error)) from error
    if pointer.production is None:
        raise NotReadyError("nothing is in production yet: run `stillhouse retrain`")
    try:
        return pointer, (home.online / FOLDER / CURRENT).read_text().strip()
    except FileNotFoundError as error:
        raise NotReadyError("there is no snapshot of features yet: run `stillhouse snapshot`") from error


def load(home: Home, settings: Settings, *, before: Standing | None = None) -> Standing:
    """What the pointer and the current snapshot name now; what `before` has of it already is not loaded again.

    Raises NotReadyError where either is missing, damaged, or lacks what the other needs.
    """
    pointer, snapshot_name = named(home)
    registry = Registry(home.releases)
    known = before.models if before else {}
    try:
        if before and before.snapshot.name == snapshot_name:
            snapshot = before.snapshot
        else:
            snapshot = Snapshot.open(home.online / FOLDER / snapshot_name)
        models = {}
        for release in pointer.releases:
            served = known.get(release)
            model = served.model if served else ServedModel.load(registry, release)
            if not set(settings.utility) & set(model.ranker.actions):
                raise NotReadyError(
                    f"online.yml weighs {sorted(settings.utility)}, and {release} predicts {model.ranker.actions}: "
                    "nothing tells its candidates apart"
                )
            if served is None or served.source.snapshot is not snapshot:
                source = FeatureSource(snapshot, spec=model.spec, brought=settings.brought)
                served = Served(model=model, source=source)
            models[release] = served
    except (ReleaseError, ValueError) as error:
        raise NotReadyError(str(error)) from error
    return Standing(pointer=pointer, snapshot=snapshot, models=models, arms=arms_of(pointer))


def arms_of(pointer: Pointer) -> tuple[Arm, ...]:
    return arms(
        production=str(pointer.production),
        canary=pointer.canary,
        canary_share=pointer.canary_share,
        holdout=pointer.holdout,
        holdout_share=pointer.holdout_share,
        long_holdout=pointer.long_holdout,
        long_holdout_share=pointer.long_holdout_share,
    )
