from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.home import Home
from orchestration.again import plan_of
from orchestration.evaluating import costs_of_missing_features
from orchestration.plan import Plan, evaluation_rows, training_rows
from orchestration.retrain import calibrate_pair, checkpoint_of, train
from ranker import Ranker, checkpoint, unpack_moments
from registry import Registry
from tests.orchestration.small_releases import build, examples, save, write
from tests.registry.conftest import build_release

PRODUCTION_ENDED = date(2026, 1, 13)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def warm(home: Home) -> Plan:
    """A plan that goes on from a release which was trained on the first eight days."""
    plan = build(home, seed=0)
    afresh = replace(plan, teacher=None, teacher_scores=None)
    made = train(replace(afresh, partition="2026-01-19"), home=home)
    files, lineage = build_release("2026-01-19", value=1)
    saved = Registry(home.releases).save({**files, **made.student}, lineage=lineage)
    events = examples(seed=0)["event_id"]
    scores = pa.table(
        {
            "release_id": [saved.id] * len(events),
            "event_id": events,
            "logits": pa.array([[("acted", -1.0)]] * len(events), pa.map_(pa.string(), pa.float64())),
        }
    )
    return replace(
        plan,
        teacher=saved.id,
        teacher_scores=write(home, "ops.teacher_scores", scores, partition_by=["release_id"]),
        train_since=PRODUCTION_ENDED,
    )


def test_a_warm_start_goes_on_from_production_with_the_rows_since(home: Home, warm: Plan) -> None:
    rows = training_rows(warm).table
    assert {moment.date() for moment in rows["served_at"].to_pylist()} == {
        PRODUCTION_ENDED.replace(day=day) for day in range(13, 19)
    }
    registry = Registry(home.releases)
    candidate = train(warm, home=home)
    before = unpack_moments(registry.load(str(warm.teacher)).files)
    after = unpack_moments(candidate.student)
    assert after["output.bias.step"] > before["output.bias.step"]
    # Bins are of the first training's rows: a model that starts afresh has others.
    afresh = train(replace(warm, train_since=None), home=home)
    production = dict(registry.load(str(warm.teacher)).files)
    ours, theirs, first = (
        Ranker.from_files(files).numeric.edges for files in (candidate.student, afresh.student, production)
    )
    assert ours.equal(first)
    assert not ours.equal(theirs)
    assert candidate.control is not None
    assert candidate.control["teacher.safetensors"] != candidate.student["teacher.safetensors"]


def test_what_a_feature_s_lack_would_cost_is_listed_by_action(warm: Plan, home: Home) -> None:
    student = calibrate_pair(train(replace(warm, train_since=None), home=home)).student
    losses = costs_of_missing_features(student, evaluation_rows(warm), warm)
    assert [(loss["group"], loss["action"]) for loss in losses] == [("strength", "click")]
    assert all(value is not None for value in losses[0].values())


def test_a_warm_release_is_made_again_warm(home: Home, warm: Plan) -> None:
    assert plan_of(Registry(home.releases).load(save(home, warm)), home=home) == warm


def test_a_training_that_was_killed_leaves_a_file_from_which_the_same_plan_goes_on(
    home: Home, warm: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    plan, folder = replace(warm, train_since=None), tmp_path / "checkpoints"
    undisturbed = train(plan, home=home)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    write_it = checkpoint.write

    def write_and_die(path: Path, state: dict, *, of: str) -> None:
        write_it(path, state, of=of)
        killed()

    monkeypatch.setattr(checkpoint, "write", write_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(plan, home=home, checkpoints=folder)
    assert [path.name for path in folder.iterdir()] == [checkpoint_of(plan, "train", folder=folder).name]
    monkeypatch.setattr(checkpoint, "write", write_it)
    assert train(plan, home=home, checkpoints=folder).student == undisturbed.student
    assert [path.name for path in folder.iterdir()] == ["finished"]
    # A plan of the week that was changed does not go on from there, and clears it away.
    stale = folder / f"{plan.partition}-train-{'0' * 16}"
    stale.write_bytes(b"")
    assert not checkpoint_of(plan, "train", folder=folder).exists()
    assert not stale.exists()
