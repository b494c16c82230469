"""Which retrain moves production: of two that overlap one, and of a past week none."""

import json
import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from decisions.criterion import Criterion, judge
from lakehouse.home import Home
from orchestration.retrain import Evaluation, promote
from registry import Registry, ReleaseError
from tests.registry.conftest import build_release

PASSED = judge([Criterion(name="auc", status="pass", reason="fine")])
BLOCKED = judge([Criterion(name="auc", status="block", reason="worse")])


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "releases")


def judged(registry: Registry, *, partition: str, value: int, verdict: str = "pass") -> Evaluation:
    """A release of a week, saved and judged on the pointer as it is now."""
    decision = PASSED if verdict == "pass" else BLOCKED
    gate = json.dumps(decision.to_json()).encode()
    files, lineage = build_release(partition, value=value, **{"gate.json": gate})
    saved = registry.save(files, lineage=lineage)
    registry.record_gate(saved.id, verdict=decision.verdict, reason=decision.reason)
    return Evaluation(
        release=saved.id,
        partition=partition,
        decision=decision,
        pointer_version=registry.pointer().version,
        metrics={},
        pictures={},
        teacher=None,
        inputs=saved.lineage.inputs,
    )


def retrain(
    root: Path, partition: str, value: int, both_judged: Barrier, answers: "multiprocessing.Queue[str]"
) -> None:
    """The end of a retrain in a process of its own: judge, wait until the other has judged too, promote."""
    registry = Registry(root)
    mine = judged(registry, partition=partition, value=value)
    both_judged.wait(timeout=60)
    try:
        answers.put(promote(mine, home=Home(registry.root.parent), registry=registry))
    except ReleaseError as error:
        answers.put(str(error))


@pytest.mark.parametrize("partitions", [("2026-01-12", "2026-01-12"), ("2026-01-12", "2026-01-19")])
def test_of_two_retrains_in_two_processes_only_one_promotes(registry: Registry, partitions: tuple[str, str]) -> None:
    first = judged(registry, partition="2026-01-05", value=1)
    promote(first, home=Home(registry.root.parent), registry=registry)
    spawning = multiprocessing.get_context("spawn")
    both_judged, answers = spawning.Barrier(2), spawning.Queue()
    processes = [
        spawning.Process(target=retrain, args=(registry.root, partition, 3 * number, both_judged, answers))
        for number, partition in enumerate(partitions, start=1)
    ]
    for process in processes:
        process.start()
    said = sorted((answers.get(timeout=60) for _ in processes), key=len)
    for process in processes:
        process.join(timeout=60)
    won = registry.production()
    assert won is not None
    assert said[0] == f"{won} is in production"
    # The later one lost to the version of the pointer, or is older than what is there by now.
    assert any(words in said[1] for words in ("it was judged on pointer version 1, which is now 2", "of a later week"))
    promoted = [entry.release for entry in registry.journal() if entry.event == "promoted"]
    assert promoted == [first.release, won]
    assert registry.pointer().version == 2
    registry.verify(won)


@pytest.mark.parametrize("verdict", ["pass", "block"])
def test_a_past_week_is_kept_and_neither_promoted_nor_overridden(registry: Registry, verdict: str) -> None:
    for week, value in (("2026-01-05", 1), ("2026-01-19", 3)):
        promote(judged(registry, partition=week, value=value), home=Home(registry.root.parent), registry=registry)
    live = registry.production()
    past = judged(registry, partition="2026-01-12", value=5, verdict=verdict)
    assert "kept but not promoted" in promote(past, home=Home(registry.root.parent), registry=registry)
    with pytest.raises(ReleaseError):
        registry.promote(past.release, expected_version=registry.pointer().version, reason="by hand")
    with pytest.raises(ReleaseError, match="a backfill never moves production" if verdict == "block" else "override"):
        registry.override(past.release, by="me", reason="I want it")
    assert registry.production() == live
    registry.verify(past.release)


def test_a_past_week_learns_from_what_was_in_production_before_it(registry: Registry) -> None:
    weeks = ("2026-01-05", "2026-01-12", "2026-01-26")
    releases = [judged(registry, partition=week, value=2 * number) for number, week in enumerate(weeks)]
    for number, one in enumerate(releases):
        registry.promote(one.release, expected_version=number, reason="passed")
    assert registry.teacher(before="2026-01-19") == releases[1].release
    assert registry.teacher(before="2026-01-12") == releases[0].release
    assert registry.teacher(before="2026-01-05") is None
