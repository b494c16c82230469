"""Why two releases differ: by segment, by feature, and by the table versions that they were made from."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from lakehouse.home import Home
from orchestration.again import plan_of
from orchestration.evaluating import Model
from orchestration.plan import evaluation_rows
from orchestration.progress import progress
from orchestration.runs import heard
from ranker import Difference, SegmentChange, Shift, feature_shifts, paired_bootstrap, segment_changes
from ranker.metrics import Floats, auc, log_loss, pcoc
from registry import Artifact, Registry


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One action under both releases, and the paired differences, second − first (`ranker.paired_bootstrap`)."""

    action: str
    positives: int
    auc: tuple[float, float]
    log_loss: tuple[float, float]
    pcoc: tuple[float, float]
    differences: dict[str, Difference]


@dataclass(frozen=True, kw_only=True)
class FeatureChange:
    """A feature between the weeks that the two were judged on, and the log loss (nats, of the first action) that each
    would gain should it fail to arrive: how far each leans on it. None where a release does not read it.
    """

    shift: Shift
    leans: tuple[float | None, float | None]


@dataclass(frozen=True, kw_only=True)
class TableChange:
    """A table that the releases were made from: version and rows of each, None where it read none of it."""

    relation: str
    versions: tuple[str | None, str | None]
    rows: tuple[int | None, int | None]

    @property
    def changed(self) -> bool:
        return self.versions[0] != self.versions[1]


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """`segments` of the first action, the one that got worst first; `features` the furthest moved first."""

    releases: tuple[str, str]
    judged_on: str
    rows: int
    figures: list[Figures]
    segments: list[SegmentChange]
    features: list[FeatureChange]
    tables: list[TableChange]
    settings: list[tuple[str, str, str]]


def compare_releases(first: str, second: str, *, home: Home, on_progress: Callable[[str], None]) -> Diagnosis:
    """The second release beside the first, both calibrated, on the rows that the later of them was judged on.

    Reads pinned versions and writes nothing. Raises ReleaseError for a release that does not verify, PinError if a
    version is gone and was not frozen.
    """
    registry = Registry(home.releases)
    pair = registry.load(first), registry.load(second)
    with heard(on_progress):
        return diagnose(*pair, home=home)


def diagnose(first: Artifact, second: Artifact, *, home: Home) -> Diagnosis:
    earlier, later = sorted((first, second), key=lambda one: one.lineage.partition)
    progress(f"the rows that {later.id} was judged on")
    plan = plan_of(later, home=home)
    rows = evaluation_rows(plan)
    examples, action = rows.examples, plan.dataset.actions[0]
    progress("scoring with both")
    one, other = (Model.of_release(release).probabilities(rows, plan) for release in (first, second))
    progress("comparing")
    figures = [
        Figures(
            action=name,
            positives=int(examples.label(name).sum()),
            auc=_both(auc, examples.label(name), one[name], other[name], weights=examples.weights),
            log_loss=_both(log_loss, examples.label(name), one[name], other[name], weights=examples.weights),
            pcoc=_both(pcoc, examples.label(name), one[name], other[name], weights=examples.weights),
            differences=paired_bootstrap(
                examples.label(name),
                candidate=other[name],
                baseline=one[name],
                users=examples.user.codes,
                weights=examples.weights,
                seed=plan.seed,
            ),
        )
        for name in plan.dataset.actions
    ]
    segments = segment_changes(action, examples, candidate=other[action], baseline=one[action], seed=plan.seed)
    progress("features")
    before = evaluation_rows(replace(plan_of(earlier, home=home), spec=plan.spec)).examples
    shifts = feature_shifts(before, examples, spec=plan.spec)
    leans = [_leans(release, action) for release in (first, second)]
    return Diagnosis(
        releases=(first.id, second.id),
        judged_on=later.id,
        rows=len(examples),
        figures=figures,
        segments=segments,
        features=[
            FeatureChange(shift=shift, leans=(leans[0].get(shift.feature), leans[1].get(shift.feature)))
            for shift in shifts
        ],
        tables=table_changes(first, second),
        settings=setting_changes(first, second),
    )


def table_changes(first: Artifact, second: Artifact) -> list[TableChange]:
    """Every table that either was made from, in the order in which it was read; changed ones first."""
    found: list[dict[str, tuple[str, int]]] = []
    for release in (first, second):
        # A table that was read more than once is named with the rows of its first read.
        tables: dict[str, tuple[str, int]] = {}
        for source in release.lineage.inputs:
            tables.setdefault(source.relation, (f"{source.table_id}@{source.version}", source.rows))
        found.append(tables)
    nothing = (None, None)
    changes = []
    for relation in dict.fromkeys([*found[0], *found[1]]):
        sides = [tables.get(relation, nothing) for tables in found]
        changes.append(
            TableChange(relation=relation, versions=(sides[0][0], sides[1][0]), rows=(sides[0][1], sides[1][1]))
        )
    return sorted(changes, key=lambda one: not one.changed)


def setting_changes(first: Artifact, second: Artifact) -> list[tuple[str, str, str]]:
    """What else went into the two that is not the same: name, first, second."""

    def settings(release: Artifact) -> dict[str, str]:
        lineage = release.lineage
        plain = {
            "recipe": lineage.recipe,
            "teacher": lineage.teacher or "none",
            "code": lineage.code_version,
            "trained from": lineage.windows["train"][0],
            "trained until": lineage.windows["train"][1],
            **{f"seed: {name}": str(seed) for name, seed in lineage.seeds.items()},
            **lineage.environment,
        }
        return plain | {name: str(value) for name, value in release.json("training.json").items()}

    one, other = settings(first), settings(second)
    names = dict.fromkeys([*one, *other])
    return [(name, one.get(name, "–"), other.get(name, "–")) for name in names if one.get(name) != other.get(name)]


def _both(
    of: Callable[..., float], labels: Floats, one: Floats, other: Floats, *, weights: Floats
) -> tuple[float, float]:
    return of(labels, one, weights=weights), of(labels, other, weights=weights)


def _leans(release: Artifact, action: str) -> dict[str, float | None]:
    found = release.json("metrics.json").get("robustness", [])
    return {one["group"]: one["log_loss_gained"] for one in found if one["action"] == action}
