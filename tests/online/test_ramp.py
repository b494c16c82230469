"""Figures of a ramp as they are counted from landing files, against counts by hand."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from decisions.rollout import ArmCounts, Measured, Spread
from lakehouse.home import Home
from online.ramp import Ramp, ramp
from online.request_log import RequestRow

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WITHIN = timedelta(minutes=10)
# The ramp began with pointer version 5; the files were written after it.
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def row(number: int, *, user: str, arm: str, minute: float = 0.0, **changes: Any) -> RequestRow:
    usual: dict[str, Any] = {
        "surface": "home",
        "traffic": "policy",
        "release_id": "r",
        "canary_share": 0.2,
        "pointer_version": 5,
        "failed": False,
        "latency_ms": 9.0,
        "ranked_ms": 2.0,
        "num_candidates": 3,
        "memory_bytes": 1,
    }
    at = f"{NOON + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%S.000Z}"
    return RequestRow(request_id=f"q{number}", user_id=user, arm=arm, served_at=at, **usual | changes)


def write(home: Home, stream: str, name: str, lines: Iterable[bytes]) -> Path:
    path = home.landing / stream / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def requests(home: Home, rows: Iterable[RequestRow], *, name: str = "server-0-1.jsonl") -> Path:
    return write(home, "requests", name, map(msgspec.json.encode, rows))


def engagements(home: Home, after: dict[int, float]) -> None:
    """By request, minutes after noon; beside them a line of the quarantine."""
    lines = [
        msgspec.json.encode(
            {"request_id": f"q{number}", "engaged_at": NOON + timedelta(minutes=minute), "action": "click"}
        )
        for number, minute in after.items()
    ]
    write(
        home, "engagements", "collector-0-1.jsonl", [*lines, b'{"quarantined": "unfit_event", "why": "", "event": ""}']
    )


def now(home: Home) -> Ramp:
    found = ramp(home, began=BEGAN, pointer_version=5, engaged_within=WITHIN)
    assert found is not None
    return found


def guardrail(home: Home, name: str) -> Measured:
    found = now(home).figures.guardrails[name]
    assert found is not None
    return found


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_nothing_is_known_of_a_ramp_in_which_nothing_was_ranked(home: Home) -> None:
    assert ramp(home, began=BEGAN, pointer_version=5, engaged_within=WITHIN) is None
    requests(home, [row(1, user="a", arm="production", pointer_version=4, canary_share=None)])
    assert ramp(home, began=BEGAN, pointer_version=5, engaged_within=WITHIN) is None


def test_failures_are_counted_by_step_and_arm_and_spread_by_user(home: Home) -> None:
    of_canary = [row(n, user="a", arm="canary", failed=n < 2) for n in range(3)]
    of_control = [row(10 + n, user=f"u{n % 2}", arm="production", failed=n == 0) for n in range(5)]
    later = [row(20, user="a", arm="canary", minute=5, canary_share=0.5, failed=True)]
    others = [row(30, user="h", arm="holdout", failed=True), row(31, user="l", arm="long-holdout", failed=True)]
    requests(home, [*of_canary, *of_control, *later, *others])
    found = guardrail(home, "errors")
    assert found.as_of == NOON + timedelta(minutes=5)
    first, second = found.steps
    assert (first.share, second.share) == (0.2, 0.5)
    assert first.canary == ArmCounts(users=1, requests=3, events=2)
    assert first.control == ArmCounts(users=2, requests=5, events=1)
    assert (second.canary, second.control) == (
        ArmCounts(users=1, requests=1, events=1),
        ArmCounts(users=0, requests=0, events=0),
    )
    # User a: four requests, three failures. u0: three and one; u1: two and none.
    assert found.canary_spread == Spread(requests_squared=16, requests_events=12, events_squared=9)
    assert found.control_spread == Spread(requests_squared=13, requests_events=3, events_squared=1)


def test_engagement_counts_in_time_and_only_for_requests_whose_time_is_over(home: Home) -> None:
    asked = [row(n, user=f"u{n}", arm="canary", minute=n) for n in range(40)]
    requests(home, asked)
    # 1 in time, 2 too late, 3 twice and once of it in time; 25's own is in time, and sets how far anything is known.
    engagements(home, {1: 1 + 9.5, 2: 2 + 10.5, 3: 3 + 1, 25: 27})
    found = guardrail(home, "engaged")
    assert found.as_of == NOON + timedelta(minutes=17)
    (step,) = found.steps
    assert step.canary == ArmCounts(users=18, requests=18, events=2)


def test_without_any_engagement_there_are_no_figures_of_it(home: Home) -> None:
    requests(home, [row(1, user="a", arm="canary")])
    assert now(home).figures.guardrails["engaged"] is None


def test_slow_is_what_is_slower_than_production_usually_was_before_the_ramp(home: Home) -> None:
    before = [
        row(n, user="a", arm="production", minute=-1, pointer_version=4, canary_share=None, ranked_ms=n / 1_000)
        for n in range(2_000)
    ]
    ramped = [
        row(3_000, user="a", arm="canary", ranked_ms=1.95),
        row(3_001, user="b", arm="production", ranked_ms=1.85),
    ]
    requests(home, [*before, *ramped])
    assert now(home).slow_ms == pytest.approx(np.quantile(np.arange(2_000) / 1_000, 0.95))
    (step,) = guardrail(home, "slow").steps
    assert (step.canary.events, step.control.events) == (1, 0)


def test_where_too_little_is_known_from_before_the_first_control_traffic_says_what_is_slow(home: Home) -> None:
    asked = [row(n, user="a", arm="production", minute=n / 60, ranked_ms=1.0) for n in range(1_500)]
    requests(home, asked[:999])
    assert now(home).slow_ms is None
    assert now(home).figures.guardrails["slow"] is None
    requests(home, asked)
    assert now(home).slow_ms == 1.0


def test_a_growing_file_is_read_to_its_last_whole_line_and_a_row_that_stands_twice_counts_once(home: Home) -> None:
    asked = [row(n, user="a", arm="canary") for n in range(3)]
    requests(home, asked[:2])
    growing = requests(home, asked[1:], name=".server-0-2.open")
    with growing.open("ab") as file:
        file.write(b'{"request_id": "q9", "user_')
    (step,) = guardrail(home, "errors").steps
    assert step.canary.requests == 3


def test_files_from_before_the_ramp_are_not_read(home: Home) -> None:
    path = requests(home, [row(1, user="a", arm="canary")])
    old = (BEGAN - timedelta(days=2)).timestamp()
    os.utime(path, (old, old))
    assert ramp(home, began=BEGAN, pointer_version=5, engaged_within=WITHIN) is None
