"""Runs whose process was killed are reported as failed, and no longer hold the slots of their pools."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from lakehouse.home import Home
from orchestration.runs import PROCESS, Ended, Process, close_killed_runs, prepare_instance, run_partition
from registry import Entry
from registry.registry import Registry

# A run as the command line executes it, or as a run worker does: without our tag.
HELD = """
import os, sys, time
import dagster as dg

@dg.asset(pool="lake")
def holding():
    print("holding", flush=True)
    time.sleep(600)

job = dg.Definitions(assets=[holding], jobs=[dg.define_asset_job("retrain", executor_def=dg.in_process_executor)])
tags = {name: str(os.getpid()) for name in sys.argv[1:]}
with dg.DagsterInstance.get() as instance:
    job.resolve_job_def("retrain").execute_in_process(instance=instance, tags=tags)
"""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    home = Home(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    prepare_instance(home)
    with dg.DagsterInstance.get() as opened:
        yield opened


def begin_a_run_that_holds_the_pool(*, tag: bool) -> subprocess.Popen[str]:
    """A process whose run has the one slot of pool `lake`."""
    arguments = [PROCESS] if tag else []
    process = subprocess.Popen([sys.executable, "-c", HELD, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    return process


def status(instance: dg.DagsterInstance) -> dg.DagsterRunStatus:
    (run,) = instance.get_runs()
    return run.status


def slots_taken(instance: dg.DagsterInstance) -> int:
    return instance.event_log_storage.get_concurrency_info("lake").active_slot_count


@pytest.mark.parametrize("tag", [True, False], ids=["of the command line", "of a run worker"])
def test_a_killed_run_is_closed_and_its_slot_freed_and_a_living_one_is_left_alone(
    instance: dg.DagsterInstance, tag: bool
) -> None:
    process = begin_a_run_that_holds_the_pool(tag=tag)
    try:
        assert close_killed_runs(instance) == []
        assert (status(instance), slots_taken(instance)) == (dg.DagsterRunStatus.STARTED, 1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(close_killed_runs(instance)) == 1
    assert (status(instance), slots_taken(instance)) == (dg.DagsterRunStatus.FAILURE, 0)
    assert close_killed_runs(instance) == []


def test_a_later_process_with_the_same_pid_is_not_the_run_s() -> None:
    assert Process(os.getpid(), seen_at=time.time()).is_alive()
    assert not Process(os.getpid(), seen_at=time.time() - 86_400).is_alive()
    assert not Process(2**22 + 1, seen_at=time.time()).is_alive()


class Start(dg.Config):
    warm: bool
    ranks: int


WEEKS = dg.StaticPartitionsDefinition(["2026-01-05"])


@dg.asset(key=["ops", "teacher_scores"], partitions_def=WEEKS)
def teacher_scores(config: Start) -> None:
    pass


@dg.asset(check_specs=[dg.AssetCheckSpec("gate", asset="evaluation", blocking=True)], partitions_def=WEEKS)
def evaluation() -> Iterator[dg.Output[int] | dg.AssetCheckResult]:
    yield dg.Output(1, metadata={"release": "2026-01-05-0a1b2c3d"})
    yield dg.AssetCheckResult(passed=False, check_name="gate")


@dg.asset(partitions_def=WEEKS)
def release(evaluation: int) -> None:
    pass


def test_a_gate_that_refuses_a_release_again_is_an_outcome_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run that was killed after its gate had spoken, the next one finds the verdict in the journal already."""
    home = Home(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    job = dg.define_asset_job("retrain", executor_def=dg.in_process_executor)
    small = dg.Definitions(assets=[teacher_scores, evaluation, release], jobs=[job])
    monkeypatch.setitem(sys.modules, "orchestration.definitions", SimpleNamespace(defs=small))
    spoken = Entry(
        number=1,
        at="2026-01-05T00:00:00+00:00",
        event="gate",
        release="2026-01-05-0a1b2c3d",
        reason="worse",
        details={"verdict": "block"},
    )
    monkeypatch.setattr(Registry, "journal", lambda _: [spoken])
    outcome = run_partition("2026-01-05", home=home, on_progress=lambda _: None)
    assert not outcome.failed
    assert "block 2026-01-05-0a1b2c3d: worse" in outcome.text
    assert "stillhouse gate show 2026-01-05-0a1b2c3d" in outcome.text


def test_a_step_that_raises_is_a_failure_whatever_was_judged_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.runs.run", lambda *_, **__: Ended("models failed: no space", judged=None))
    outcome = run_partition("2026-01-05", home=Home(tmp_path), on_progress=lambda _: None)
    assert outcome.failed
    assert "models failed: no space" in outcome.text
