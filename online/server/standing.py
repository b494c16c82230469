"""What a server answers with: the models that the pointer names and one snapshot, together, replaced together.

A request takes the standing that it meets and keeps it to its end, so no answer mixes two releases or two snapshots.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lakehouse.home import Home
from lakehouse.snapshot import CURRENT, FOLDER
from online.server.features import FeatureSource
from online.server.model import ServedModel
from online.server.snapshot import Snapshot
from online.settings import Settings
from registry import Pointer, Registry, ReleaseError


class NotReadyError(RuntimeError):
    """There is nothing to answer with, or it is no good: says what, and what to do."""


@dataclass(frozen=True)
class Served:
    """A model and what computes its features."""

    model: ServedModel
    source: FeatureSource


@dataclass(frozen=True)
class Standing:
    """`pointer` names the releases, `models` holds each that it names."""

    pointer: Pointer
    snapshot: Snapshot
    models: Mapping[str, Served]

    def of_user(self, user: str) -> Served:
        """What ranks for a user: the same at every request while the pointer stays."""
        return self.models[str(self.pointer.production)]


def current_snapshot(home: Home) -> Path:
    """The folder of the snapshot to serve. Raises NotReadyError before the first."""
    root = home.online / FOLDER
    try:
        return root / (root / CURRENT).read_text().strip()
    except FileNotFoundError as error:
        raise NotReadyError("there is no snapshot of features yet: run `stillhouse snapshot`") from error


def load(home: Home, settings: Settings, *, before: Standing | None = None) -> Standing:
    """What the pointer and the current snapshot name now; what `before` has of it already is not loaded again.

    Raises NotReadyError where either is missing, damaged, or lacks what the other needs.
    """
    try:
        registry = Registry(home.releases)
        pointer = registry.pointer()
        if pointer.production is None:
            raise NotReadyError("nothing is in production yet: run `stillhouse retrain`")
        folder = current_snapshot(home)
        snapshot = before.snapshot if before and before.snapshot.name == folder.name else Snapshot.open(folder)
        models = {}
        for release in dict.fromkeys(filter(None, (pointer.production, pointer.canary, pointer.holdout))):
            known = before.models.get(release) if before else None
            model = known.model if known else ServedModel.load(registry, release)
            if not set(settings.utility) & set(model.ranker.actions):
                raise NotReadyError(
                    f"online.yml weighs {sorted(settings.utility)}, and {release} predicts {model.ranker.actions}: "
                    "nothing tells its candidates apart"
                )
            same = known is not None and known.source.snapshot is snapshot
            source = (
                known.source if known and same else FeatureSource(snapshot, spec=model.spec, brought=settings.brought)
            )
            models[release] = Served(model=model, source=source)
    except (ReleaseError, ValueError) as error:
        raise NotReadyError(str(error)) from error
    return Standing(pointer=pointer, snapshot=snapshot, models=models)


def is_current(standing: Standing, home: Home) -> bool:
    """Whether pointer and snapshot are still those that are loaded; two small files to read."""
    return (
        Registry(home.releases).pointer() == standing.pointer and current_snapshot(home).name == standing.snapshot.name
    )
