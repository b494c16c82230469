"""Freeze a release: the rows that it was made from, copied out of the pinned versions and verified by their hashes."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads

from lakehouse import frozen
from lakehouse.home import Home
from lakehouse.versions import Pin, read
from orchestration.again import plan_of
from orchestration.plan import Plan, Rows, calibration_rows, evaluation_rows, random_rows, source_of, training_rows
from orchestration.retention import pin_of
from orchestration.teaching import teacher_logits
from orchestration.validation import statistics_rows
from registry import Artifact, Input
from registry.errors import ReleaseError
from registry.registry import Registry


def freeze(release: str, *, home: Home, on_progress: Callable[[str], None]) -> Path:
    """Copy what `release` was made from to lake/frozen/<release>/; returns that folder. Frozen again, nothing happens.

    The copy holds, of each pinned version, exactly the rows that the release trained, calibrated or was evaluated on,
    with all columns. It is kept only if the same plan, run on it, gives the rows and content hashes of the lineage.

    Raises PinError if a version is gone, ReleaseError if the release does not verify or the rows are not those of its
    lineage.
    """
    artifact = Registry(home.releases).load(release)
    plan = plan_of(artifact, home=home)
    if frozen.folder(home, release).exists():
        return frozen.folder(home, release)

    def verify(copies: Mapping[Pin, Pin]) -> None:
        on_progress("freeze: holding the copy against the lineage")
        check_sources(artifact, on_copies(plan, copies))

    on_progress("freeze: reading what the release was made from")
    return frozen.write(home, release, rows_of(plan), verify=verify)


def rows_of(plan: Plan) -> dict[Pin, pa.Table]:
    """Of each pinned version the rows that the plan uses, as they stand in it, ordered by example."""
    event = plan.spec.event
    training = training_rows(plan)
    ids: dict[Pin, list[pa.ChunkedArray]] = defaultdict(list)
    for rows in (training, *judging_rows(plan)):
        ids[pin_of(rows.sources[0])].append(rows.table[event])
    taken = {pin: read(pin, where=_one_of(event, columns)).sort_by(event) for pin, columns in ids.items()}
    if not plan.recipe.materialised:
        taken[plan.sampling] = read(plan.sampling, where=pads.field("recipe") == plan.recipe.name)
    taken |= statistics_rows(plan)
    if plan.teacher_scores is not None:
        where = (pads.field("release_id") == plan.teacher) & _one_of("event_id", [training.table[event]])
        taken[plan.teacher_scores] = read(plan.teacher_scores, where=where).sort_by("event_id")
    return taken


def judging_rows(plan: Plan) -> list[Rows]:
    """What a release is calibrated and judged on."""
    random = random_rows(plan)
    return [calibration_rows(plan), evaluation_rows(plan), *([random] if random else [])]


def on_copies(plan: Plan, copies: Mapping[Pin, Pin]) -> Plan:
    """The same plan, reading frozen copies in place of the pinned versions."""
    return replace(
        plan,
        random_slice=None if plan.random_slice is None else copies.get(plan.random_slice, plan.random_slice),
        sampling=copies[plan.sampling],
        examples=copies[plan.examples],
        teacher_scores=copies[plan.teacher_scores] if plan.teacher_scores is not None else None,
        statistics=tuple(copies[pinned] for pinned in plan.statistics),
    )


def check_sources(artifact: Artifact, plan: Plan) -> None:
    """Raises ReleaseError unless the plan reads the very rows that the lineage of the release names."""
    training = training_rows(plan)
    sources = [*training.sources, *(source for rows in judging_rows(plan) for source in rows.sources)]
    sources += [source_of(pinned, rows) for pinned, rows in statistics_rows(plan).items()]
    if plan.teacher is not None:
        sources.append(teacher_logits(plan, training)[1])
    found, expected = ({_key(source) for source in inputs} for inputs in (sources, artifact.lineage.inputs))
    if found != expected:
        other = ", ".join(sorted({relation for relation, _, _ in found ^ expected}))
        raise ReleaseError(
            f"{artifact.id} is not frozen: the rows of {other} are not those that its lineage names; "
            f"`stillhouse retrain --like {artifact.id}` says more"
        )


def _key(source: Input) -> tuple[str, int, str]:
    return source.relation, source.rows, source.content_hash


def _one_of(column: str, values: list[pa.ChunkedArray]) -> pads.Expression:
    chunks = [chunk for array in values for chunk in array.chunks]
    return pads.field(column).isin(pa.chunked_array(chunks).unique())
