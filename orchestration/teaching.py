"""The teacher's scores: written as a table by one model, read back by its students."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from lakehouse import ops
from lakehouse.home import Home
from lakehouse.session import connect
from lakehouse.versions import Pin, pin, read
from orchestration.plan import Plan, Rows, source_of, training_rows
from ranker import Examples, LoggedLogits, Ranker, head_names, score
from registry import Artifact, Input


def write_teacher_scores(plan: Plan, teacher: Artifact, *, home: Home) -> Pin:
    """Score the training rows with the teacher, add what ops.teacher_scores lacks, and pin the table."""
    table = training_rows(plan).table
    model = Ranker.from_files(dict(teacher.files))
    scores = score(model, Examples.from_arrow(table, spec=model.spec, actions=model.actions), position="shown")
    entries = [list(zip(scores.heads, logits, strict=True)) for logits in scores.logits_BH.double().tolist()]
    ops.append(
        connect(home),
        "ops.teacher_scores",
        pa.table(
            {
                "release_id": pa.array([teacher.id] * table.num_rows, pa.string()),
                "event_id": table[plan.spec.event],
                "logits": pa.array(entries, pa.map_(pa.string(), pa.float64())),
            }
        ),
        home=home,
        key=("release_id", "event_id"),
    )
    return pin("ops.teacher_scores", home=home)


def teacher_logits(plan: Plan, rows: Rows) -> tuple[torch.Tensor, Input]:
    """The teacher's bare logits of `rows` (B, H), read from the pinned scores and joined by example id.

    Raises ValueError if an example has no score.
    """
    assert plan.teacher_scores is not None
    scores = read(plan.teacher_scores, where=pc.field("release_id") == plan.teacher).sort_by("event_id")
    events = rows.table[plan.spec.event].combine_chunks()
    found = pc.index_in(events, value_set=scores["event_id"].combine_chunks().cast(events.type))
    if found.null_count:
        raise ValueError(
            f"{plan.teacher_scores.relation} at version {plan.teacher_scores.version} lacks {found.null_count} of "
            f"{len(events)} examples for {plan.teacher}; materialise teacher_scores again"
        )
    used = scores.take(found)
    return logits_of(used["logits"], heads=head_names(plan.dataset.actions)), source_of(plan.teacher_scores, used)


def logged_logits(plan: Plan) -> LoggedLogits:
    """All that the teacher was asked, found by example id while a training reads its rows."""
    assert plan.teacher_scores is not None
    scores = read(plan.teacher_scores, where=pc.field("release_id") == plan.teacher)
    return LoggedLogits(scores["event_id"], logits_of(scores["logits"], heads=head_names(plan.dataset.actions)))


def logits_of(maps: pa.ChunkedArray, *, heads: Sequence[str]) -> torch.Tensor:
    """A map from head to logit in each row, as (B, H)."""
    logits = maps.combine_chunks()
    columns = [pc.map_lookup(logits, query_key=head, occurrence="first").to_numpy() for head in heads]
    return torch.from_numpy(np.stack(columns, axis=1)).float()
