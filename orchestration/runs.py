"""Runs of the jobs from the command line: in this process, recorded where the Dagster UI finds them."""

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
from filelock import FileLock

from lakehouse.home import Home
from lakehouse.home import home as current_home
from orchestration.progress import logger
from registry.registry import Registry

if TYPE_CHECKING:
    import dagster as dg

# Marks a run with the process that executes it.
PROCESS = "stillhouse/pid"
# Two clocks read the same start of a process so far apart at most.
CLOCK_S = 2.0
# One run of a home at a time.
RETRAINS = "retrain.lock"
INSTANCE = Path(__file__).with_name("dagster.yaml")


@dataclass(frozen=True)
class Outcome:
    """How a week's retrain ended, in words for the terminal; `failed` unless the gate got to decide."""

    text: str
    failed: bool


class Ended(NamedTuple):
    """How a job's run ended: its first error, and the release that it judged, each None if there was none."""

    failure: str | None
    judged: str | None


def prepare_instance(home: Home) -> None:
    """Put our instance settings (pools, log level, no telemetry) where Dagster reads them."""
    home.dagster.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(INSTANCE, home.dagster / "dagster.yaml")


def latest_partition() -> str:
    """The newest week or day that has ended and that the cadence retrains (for a closed log: its last)."""
    from orchestration.calendar import due_partitions
    from orchestration.releases import PERIODS

    due = due_partitions(current_home(), now=datetime.now(UTC))
    partition = due[-1] if due else PERIODS.get_last_partition_key()
    if partition is None:
        raise ValueError("no week of the log has ended yet; see first_day in landing/dataset.json")
    return partition


def run_partition(
    partition: str, *, home: Home, on_progress: Callable[[str], None], warm: bool = False, ranks: int = 1
) -> Outcome:
    """Run `retrain` for one week: afresh or `warm` from the release in production, here or in `ranks` of the cluster.

    A gate that does not pass ends the run early and is an outcome like any other; a step that raised is a failure.
    """
    registry = Registry(home.releases)
    config = {"ops": {"ops__teacher_scores": {"config": {"warm": warm, "ranks": ranks}}}}
    ended = run("retrain", home=home, on_progress=on_progress, partition_key=partition, run_config=config)
    if ended.failure is None:
        now = registry.pointer()
        canary = f", the canary is {now.canary}, at {now.canary_share:.0%}" if now.canary else ""
        return Outcome(f"{partition}: in production is {now.production}{canary}", failed=False)
    # The release of this run may have been judged before, by a run that was killed after that, say.
    verdicts = [entry for entry in registry.journal() if entry.event == "gate" and entry.release == ended.judged]
    if verdicts and verdicts[-1].details["verdict"] != "pass":
        verdict = verdicts[-1]
        said = f"{partition}: {verdict.details['verdict']} {verdict.release}: {verdict.reason}"
        return Outcome(f"{said}\nEvery criterion: stillhouse gate show {verdict.release}", failed=False)
    return Outcome(f"{partition}: {ended.failure}; the whole log is {home.dagster / 'runs.log'}", failed=True)


def run_backfill(first_day: str, *, last_day: str | None, home: Home, on_progress: Callable[[str], None]) -> Outcome:
    """Build the models again from `first_day` on, up to `last_day` if one is given."""
    days = {"first_day": first_day} | ({"last_day": last_day} if last_day else {})
    config = {"ops": {"models": {"config": days}}}
    failure = run("backfill", home=home, on_progress=on_progress, run_config=config).failure
    if failure is not None:
        return Outcome(f"{failure}; the whole log is {home.dagster / 'runs.log'}", failed=True)
    return Outcome(f"built again: {first_day} to {last_day or 'the newest day'}", failed=False)


def run(
    job: str,
    *,
    home: Home,
    on_progress: Callable[[str], None],
    partition_key: str | None = None,
    run_config: dict[str, Any] | None = None,
) -> Ended:
    """Run a job in this process.

    What libraries print goes to dagster/runs.log.
    """
    prepare_instance(home)
    on_progress("waiting for another run of this home, if there is one")
    with (
        FileLock(home.dagster / RETRAINS),
        heard(on_progress),
        (home.dagster / "runs.log").open("a") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        import dagster as dg

        from orchestration.definitions import defs

        with dg.DagsterInstance.get() as instance:
            close_killed_runs(instance)
            result = defs.resolve_job_def(job).execute_in_process(
                instance=instance,
                raise_on_error=False,
                tags={PROCESS: str(os.getpid())},
                partition_key=partition_key,
                run_config=run_config,
            )
    return Ended(None if result.success else first_error(result), judged=judged_release(result))


def close_killed_runs(instance: "dg.DagsterInstance") -> list[str]:
    """Report runs whose process is gone as failed, free the pool slots that they still hold, and return their ids.

    Nobody else does it for runs of the command line, nor for those of a daemon that was killed with them: a killed
    process cannot say that it was killed.
    """
    import dagster as dg

    status = dg.DagsterRunStatus
    unfinished = [status.NOT_STARTED, status.STARTING, status.STARTED, status.CANCELING]
    closed = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=unfinished)):
        run = record.dagster_run
        process = process_of(record, instance)
        if process is None or (process.is_alive() and process.pid != os.getpid()):
            continue
        instance.report_run_failed(run, "its process was killed; run the week again")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        closed.append(run.run_id)
    return closed


@dataclass(frozen=True)
class Process:
    """The process that executes a run, and a moment at which it did."""

    pid: int
    seen_at: float

    def is_alive(self) -> bool:
        """Whether it still lives; a later process that was given the same pid is another one."""
        try:
            found = psutil.Process(self.pid)
            return found.create_time() < self.seen_at + CLOCK_S and found.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def process_of(record: "dg.RunRecord", instance: "dg.DagsterInstance") -> Process | None:
    """Who executes a run: of the command line it is in the run's tags, of the UI or the schedule in its first event."""
    import dagster as dg

    run = record.dagster_run
    if PROCESS in run.tags:
        return Process(int(run.tags[PROCESS]), record.create_timestamp.timestamp())
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        pid = entry.get_dagster_event().engine_event_data.metadata.get("pid")
        if pid is not None:
            return Process(int(str(pid.value)), entry.timestamp)
    return None


def first_error(result: object) -> str:
    """The first line of the step failure that ended a run."""
    for event in result.all_events:  # type: ignore[attr-defined]
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error.cause is not None:
                error = error.cause
            return f"{event.step_key} failed: {error.message.strip().splitlines()[0]}"
    return "the run failed before a step began"


def judged_release(result: "dg.ExecuteInProcessResult") -> str | None:
    """The release that the run's evaluation saved and judged."""
    for event in result.all_events:
        if event.is_step_materialization and event.asset_key is not None and event.asset_key.path == ["evaluation"]:
            return str(event.step_materialization_data.materialization.metadata["release"].value)
    return None


@contextlib.contextmanager
def heard(on_progress: Callable[[str], None]) -> Iterator[None]:
    """While inside, what steps say through `orchestration.progress` reaches `on_progress`."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            on_progress(record.getMessage())

    handler = Handler()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
