"""The demo: a log lands period by period, and after each period one week is retrained, as a schedule would."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from lakehouse import server
from lakehouse.dataset import Dataset
from lakehouse.home import Home
from orchestration.calendar import midnight, monday_of, period_end, windows
from registry import Registry
from simulator.sources import SOURCES, land

NUM_RETRAINS = 5


def run_demo(
    data: str,
    *,
    home: Home,
    retrains: int | None,
    on_progress: Callable[[str], None],
    on_share: Callable[[float], None],
) -> list[dict[str, Any]]:
    """One row per retrain: release, teacher, rows, figures, verdict and reason; it stops after so many `retrains`.

    Weeks decided before are not run again. Raises RuntimeError if a run fails for another reason than the gate's.
    """
    dataset = SOURCES[data].dataset
    weeks = retrained_weeks(dataset)[:retrains]
    on_progress(f"land: {data}")
    land(data, home, until=period_end(weeks[0], dataset.cadence), progress=on_progress)
    on_progress("lake: starting")
    os.environ.update(server.environment(home))
    from orchestration.runs import run_partition

    registry = Registry(home.releases)
    for done, week in enumerate(weeks):
        on_share(done / len(weeks))
        if decided(registry, week) is None:

            def say(line: str, number: str = f"retrain {done + 1} of {len(weeks)}, the week of {week}") -> None:
                on_progress(f"{number}: {line}")

            land(data, home, until=period_end(week, dataset.cadence), progress=say)
            outcome = run_partition(week, home=home, on_progress=say)
            if outcome.failed:
                raise RuntimeError(outcome.text)
    on_share(1.0)
    return [row_of(registry, week) for week in weeks]


def retrained_weeks(dataset: Dataset) -> list[str]:
    """The Mondays of the weeks to retrain: NUM_RETRAINS, evenly spaced, the last one the log's last week.

    The first has trained on at least as many days as it is calibrated on. A log too short for several gets fewer.
    """
    assert dataset.last_day is not None, "a demo's log has an end"
    week, possible = monday_of(dataset.first_day), []
    while week <= dataset.last_day:
        span = windows(week.isoformat(), dataset)
        if span.train_until - midnight(dataset.first_day) >= timedelta(days=dataset.calibration_days):
            possible.append(week)
        week += timedelta(days=7)
    if not possible:
        raise ValueError(
            f"{dataset.name} runs from {dataset.first_day} to {dataset.last_day}: too short to train, calibrate "
            f"({dataset.calibration_days} days) and evaluate ({dataset.evaluation_days} days)"
        )
    count = min(NUM_RETRAINS, len(possible))
    step = (len(possible) - 1) / max(count - 1, 1)
    chosen = [len(possible) - 1 - round(step * back) for back in range(count)]
    return [possible[index].isoformat() for index in sorted(chosen)]


def decided(registry: Registry, week: str) -> str | None:
    """The release that ended a week's retrain: refused by the gate, or promoted. None if the week is not through."""
    ends = [
        entry.release
        for entry in registry.journal()
        if entry.release and entry.release.startswith(week)
        if entry.event == "promoted" or (entry.event == "gate" and entry.details["verdict"] != "pass")
    ]
    return ends[-1] if ends else None


def row_of(registry: Registry, week: str) -> dict[str, Any]:
    """What the demo's table says of one week."""
    release = decided(registry, week)
    assert release is not None, f"the run of {week} succeeded without a decision"
    artifact = registry.load(release)
    verdict = next(e for e in reversed(registry.journal()) if e.event == "gate" and e.release == release)
    promoted = any(e.event == "promoted" and e.release == release for e in registry.journal())
    lineage = artifact.lineage
    return {
        "week": week,
        "release": release,
        "in_production": promoted,
        "teacher": lineage.teacher,
        "training_rows": lineage.inputs[0].rows,
        **artifact.json("metrics.json")["summary"],
        "verdict": verdict.details["verdict"],
        "reason": verdict.reason,
    }
