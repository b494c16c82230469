"""A training that has finished is found by what it was made from, and not repeated."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse.home import Home
from orchestration import finished, retrain
from orchestration.plan import Plan
from orchestration.ranks import Task
from ranker import Fitted
from registry import Input
from tests.orchestration.small_releases import build

INPUT = Input(relation="marts.training_examples", path="a", table_id="b", version=1, rows=2, content_hash="c")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def plan(home: Home) -> Plan:
    return build(home, seed=0)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the trainings that really took place, in turn."""
    labels: list[str] = []
    fit = retrain.fit_with_progress

    def noted(task: Task, *arguments: object) -> Fitted:
        labels.append(task.label)
        return fit(task, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(retrain, "fit_with_progress", noted)
    return labels


def test_student_and_control_are_trained_once_and_are_the_same_bytes_the_next_time(
    home: Home, plan: Plan, trained: list[str], tmp_path: Path
) -> None:
    first = retrain.train(plan, home=home, checkpoints=tmp_path / "kept")
    again = retrain.train(plan, home=home, checkpoints=tmp_path / "kept")
    assert trained == ["train", "control"]
    assert again == first


def test_after_a_kill_between_the_two_only_the_control_is_trained(
    home: Home, plan: Plan, trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = retrain.fit_with_progress

    def killed(task: Task, *arguments: object) -> Fitted:
        if task.label == "control":
            raise KeyboardInterrupt
        return fit(task, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(retrain, "fit_with_progress", killed)
    with pytest.raises(KeyboardInterrupt):
        retrain.train(plan, home=home, checkpoints=tmp_path / "kept")
    monkeypatch.setattr(retrain, "fit_with_progress", fit)
    retrain.train(plan, home=home, checkpoints=tmp_path / "kept")
    assert trained == ["train", "control"]


def test_a_new_version_of_a_table_with_the_same_rows_is_no_reason_to_train(
    home: Home, plan: Plan, trained: list[str], tmp_path: Path
) -> None:
    first = retrain.train(plan, home=home, checkpoints=tmp_path / "kept")
    newer = build(home, seed=0)
    assert newer.sampling.version > plan.sampling.version
    again = retrain.train(newer, home=home, checkpoints=tmp_path / "kept")
    assert trained == ["train", "control"]
    assert again.student == first.student
    assert [one.version for one in again.inputs] == [newer.sampling.version, newer.teacher_scores.version]  # type: ignore[union-attr]


def test_made_again_from_a_lineage_it_is_really_trained(home: Home, plan: Plan, trained: list[str]) -> None:
    for _ in range(2):
        retrain.train(plan, home=home)
    assert trained == ["train", "control"] * 2


def test_whatever_the_weights_follow_from_makes_another_training(plan: Plan) -> None:
    task = Task(plan=plan, taught=True, label="train")
    others = [
        replace(task, taught=False),
        replace(task, plan=replace(plan, seed=21)),
        replace(task, plan=replace(plan, alpha=0.6)),
        replace(task, plan=replace(plan, spec=replace(plan.spec, user="item_id"))),
        replace(task, plan=replace(plan, recipe=replace(plan.recipe, random_weight=2.0))),
        replace(task, plan=replace(plan, num_ranks=2)),
        replace(task, start={"teacher.safetensors": b"1"}),
    ]
    keys = [finished.made_of(one, [INPUT]) for one in [task, *others]]
    keys += [finished.made_of(task, [replace(INPUT, content_hash="d")])]
    assert len(set(keys)) == len(keys)
    same = replace(task, label="again", checkpoint=Path("elsewhere"))
    assert finished.made_of(same, [replace(INPUT, version=2)]) == keys[0]


def test_a_damaged_one_is_thrown_away_and_trained_again(
    home: Home, plan: Plan, trained: list[str], tmp_path: Path
) -> None:
    afresh = replace(plan, teacher=None, teacher_scores=None)
    first = retrain.train(afresh, home=home, checkpoints=tmp_path / "kept")
    (place,) = (tmp_path / "kept" / "finished").iterdir()
    weights = place / "teacher.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert retrain.train(afresh, home=home, checkpoints=tmp_path / "kept") == first
    assert trained == ["train", "train"]


def test_the_newest_few_are_kept_and_what_a_kill_left_half_written_goes(
    home: Home, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finished, "KEPT", 2)
    afresh = replace(plan, teacher=None, teacher_scores=None)
    folder = tmp_path / "kept" / "finished"
    for name, age_s in (("killed", 2 * finished.LEFT_S), ("at work", 1)):
        (folder / f"{finished.UNFINISHED}{name}").mkdir(parents=True)
        os.utime(folder / f"{finished.UNFINISHED}{name}", (time.time() - age_s,) * 2)
    keys = []
    for seed in range(3):
        retrain.train(replace(afresh, seed=seed), home=home, checkpoints=tmp_path / "kept")
        keys += [path.name for path in folder.glob("[0-9a-f]*") if path.name not in keys]
    assert {path.name for path in folder.iterdir()} == {*keys[-2:], f"{finished.UNFINISHED}at work"}
