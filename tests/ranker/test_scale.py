"""Training that goes on after a kill, from files, and in several processes, against the same training in one go."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist

from ranker import Examples, FeatureSpec, Progress, RankerConfig, TrainingConfig, checkpoint, distill, fit, score
from ranker.loop import Fitted
from tests.ranker.conftest import SPEC

SMALL = RankerConfig(
    embedding_size=4, numeric_size=4, numeric_bins=8, cross_rank=4, num_experts=2, expert_sizes=(16, 8), tower_size=8
)
SHORT = TrainingConfig(epochs=2, batch_size=100)


class Killed(Exception):
    pass


def same_weights(one: Fitted, other: Fitted) -> bool:
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    return all(ours[name].equal(theirs[name]) for name in ours)


def test_a_training_that_was_killed_goes_on_to_the_same_weights(
    spec: FeatureSpec, world: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    examples = Examples.from_arrow(world(2000, seed=0).table, spec=spec)
    undisturbed = fit(examples, spec=spec, config=SMALL, seed=3, training=SHORT)
    path, seen = tmp_path / "training", 0

    def killed_at(step: int) -> Callable[[Progress], None]:
        def tell(now: Progress) -> None:
            nonlocal seen
            seen += 1
            if now.num_seen >= step * 100:
                raise Killed

        return tell

    for step in (5, 13, 20, 33):
        with pytest.raises(Killed):
            fit(examples, spec=spec, config=SMALL, seed=3, training=SHORT, checkpoint=path, on_progress=killed_at(step))
        assert path.exists()
    with pytest.raises(ValueError, match="other rows or settings"):
        fit(examples, spec=spec, config=SMALL, seed=4, training=SHORT, checkpoint=path)
    resumed = fit(examples, spec=spec, config=SMALL, seed=3, training=SHORT, checkpoint=path)
    assert same_weights(resumed, undisturbed)
    assert resumed.curve == undisturbed.curve
    # What was done before a kill is not done again: 40 steps and the four that were lost.
    assert seen < 40
    assert not path.exists()
    path.write_bytes(b"half a file")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        fit(examples, spec=spec, config=SMALL, seed=3, training=SHORT, checkpoint=path)


def test_rows_in_files_train_as_well_as_those_in_memory_and_chunks_make_no_difference(
    spec: FeatureSpec, world: Callable, tmp_path: Path
) -> None:
    table = world(6000, seed=0).table
    whole = Examples.from_arrow(table, spec=spec)

    def chunks(size: int) -> Iterator[Examples]:
        for start in range(0, len(whole), size):
            yield Examples.from_arrow(table.slice(start, size), spec=spec)

    in_memory = fit(whole, spec=spec, config=SMALL, seed=0, training=SHORT)
    assert same_weights(in_memory, fit(chunks(900), spec=spec, config=SMALL, seed=0, training=SHORT))
    filed = [
        fit(chunks(size), spec=spec, config=SMALL, seed=0, training=SHORT, folder=tmp_path) for size in (900, 2500)
    ]
    assert same_weights(*filed)
    ours, theirs = (score(one.model, whole, position="shown").probability("acted") for one in (filed[0], in_memory))
    assert abs(ours - theirs).mean() < 0.03
    assert not list(tmp_path.iterdir())


def test_a_teacher_scores_chunk_by_chunk(spec: FeatureSpec, world: Callable) -> None:
    whole = Examples.from_arrow(world(3000, seed=0).table, spec=spec)
    teacher = fit(whole, spec=spec, config=SMALL, seed=0, training=SHORT).model
    at_once = distill(whole, teacher=teacher, spec=spec, config=SMALL, seed=1, training=SHORT)
    in_parts = distill(whole.split(0.3, 0.5), teacher=teacher, spec=spec, config=SMALL, seed=1, training=SHORT)
    for name, weights in at_once.model.state_dict().items():
        torch.testing.assert_close(in_parts.model.state_dict()[name], weights, atol=1e-4, rtol=1e-3)


def test_a_warm_start_goes_on_with_the_optimiser_s_moments(spec: FeatureSpec, world: Callable) -> None:
    first = Examples.from_arrow(world(3000, seed=0).table, spec=spec)
    table = world(3000, seed=1).table
    # Values that are new have rows that the moments know nothing of.
    named = pa.array([f"segment {row % 60}" for row in range(3000)])
    more = Examples.from_arrow(
        table.set_column(table.column_names.index("user_segment"), "user_segment", named), spec=spec
    )
    before = fit(first, spec=spec, config=SMALL, seed=0, training=SHORT)
    assert before.moments["output.weight.exp_avg_sq"].shape == before.model.output.weight.shape
    plain = fit(more, spec=spec, config=SMALL, seed=0, training=SHORT, initial=before.model)
    on = fit(more, spec=spec, config=SMALL, seed=0, training=SHORT, initial=before.model, moments=before.moments)
    assert not same_weights(plain, on)
    assert on.moments["output.weight.step"] == 2 * before.moments["output.weight.step"]
    rows = len(on.model.embedding.deviation)
    assert rows > len(before.model.embedding.deviation)
    assert on.moments["embedding.deviation.exp_avg"].shape[0] == rows
    other = {**before.moments, "output.weight.exp_avg": torch.zeros(1, 1)}
    with pytest.raises(ValueError, match="not of one training"):
        fit(more, spec=spec, config=SMALL, seed=0, training=SHORT, initial=before.model, moments=other)
    with pytest.raises(ValueError, match="give `initial` too"):
        fit(more, spec=spec, config=SMALL, seed=0, training=SHORT, moments=before.moments)


# One batch is all rows, and nothing is drawn: what ranks do together is then what one process does.
EXACT = TrainingConfig(epochs=6, batch_size=10_000, hidden_users=0.0, hidden_items=0.0, hidden_features=0.0)


def trained_by_rank(rank: int, files: list[str], store: str, results: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=len(files))
    own = Examples.from_arrow(pq.read_table(files[rank]), spec=SPEC)
    fitted = fit(own, spec=SPEC, config=replace(SMALL, dropout=0.0), seed=0, training=EXACT)
    torch.save((fitted.model.state_dict(), fitted.curve), f"{results}/{rank}")
    dist.destroy_process_group()


@pytest.mark.parametrize("sizes", [(1500, 1500), (2900, 100), (3000, 0)])
def test_ranks_that_share_the_rows_out_end_as_one_process_does(
    world: Callable, tmp_path: Path, sizes: tuple[int, int]
) -> None:
    table = world(3000, seed=0).table
    files = [str(tmp_path / f"{rank}.parquet") for rank in range(2)]
    pq.write_table(table.slice(0, sizes[0]), files[0])
    pq.write_table(table.slice(sizes[0]), files[1])
    torch.multiprocessing.spawn(trained_by_rank, args=(files, str(tmp_path / "store"), str(tmp_path)), nprocs=2)
    whole = fit(
        Examples.from_arrow(table, spec=SPEC), spec=SPEC, config=replace(SMALL, dropout=0.0), seed=0, training=EXACT
    )
    (weights, _), (others, _) = (torch.load(tmp_path / str(rank)) for rank in range(2))
    for name, expected in whole.model.state_dict().items():
        assert weights[name].equal(others[name]), name
        torch.testing.assert_close(weights[name], expected, atol=2e-4, rtol=1e-3, msg=name)
