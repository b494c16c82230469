"""Runs whose process was killed are reported as failed, and no longer hold the slots of their pools."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from lakehouse.home import Home
from orchestration.runs import PROCESS, Process, close_killed_runs, prepare_instance

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
