"""Which causes for an alert exist, and that each is told once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from decisions.alerts import (
    Cause,
    EndedRun,
    Facts,
    Judged,
    Telling,
    causes,
    data_warnings,
    failed_runs,
    gate_verdict,
    missing_data,
    remember,
    stale_production,
)

NOW = datetime(2026, 2, 3, 12, tzinfo=UTC)
FAILED = EndedRun(job="retrain", partition="2026-01-12", outcome="failed", link="run/1", step="models", error="no disk")
JUDGED = Judged(release="2026-01-26-0a1b2c3d", verdict="pass", reason="all pass", is_overridden=False)
CAUSE = Cause(id="a", kind="failed run", text="it failed", link=None, next_step="look")
WEEKS = {start: datetime.fromisoformat(f"{start}T00:00Z") + timedelta(days=7) for start in ("2026-01-12", "2026-01-19")}


def test_where_all_is_well_there_is_no_cause() -> None:
    well = Facts(
        now=NOW,
        runs=[replace(FAILED, outcome="succeeded")],
        judged=JUDGED,
        production="2026-01-26-0a1b2c3d",
        due=WEEKS,
        landed_at={"exposures": NOW - timedelta(hours=13)},
    )
    assert causes(well) == []


def test_a_failed_run_is_named_with_its_step_error_link_and_the_command_that_runs_it_again() -> None:
    (cause,) = failed_runs([FAILED])
    assert "models: no disk" in cause.text
    assert cause.link == "run/1"
    assert "stillhouse retrain --partition 2026-01-12" in cause.next_step


@pytest.mark.parametrize(
    ("since", "is_over"),
    [
        (replace(FAILED, outcome="succeeded"), True),
        (replace(FAILED, outcome="refused", partition="2026-01-19"), True),
        (replace(FAILED, outcome="succeeded", partition="2026-01-05"), False),
        (replace(FAILED, outcome="succeeded", job="backfill", partition=None), False),
    ],
)
def test_a_failure_is_over_once_the_job_came_through_there_or_on_a_later_partition(
    since: EndedRun, is_over: bool
) -> None:
    assert (failed_runs([FAILED, since]) == []) == is_over


@pytest.mark.parametrize(("verdict", "kind"), [("block", "blocked gate"), ("needs-a-person", "needs a person")])
def test_a_verdict_that_is_no_pass_is_a_cause_until_somebody_overrules_it(verdict: str, kind: str) -> None:
    judged = replace(JUDGED, verdict=verdict, reason="auc: .4")
    (cause,) = gate_verdict(judged, production="2026-01-19-99999999")
    assert (cause.kind, cause.link) == (kind, JUDGED.release)
    assert f"stillhouse gate show {JUDGED.release}" in cause.next_step
    assert gate_verdict(replace(judged, is_overridden=True), production=None) == []


def test_warnings_are_one_cause_that_stays_the_same_until_others_warn() -> None:
    two = replace(JUDGED, warnings={"drift: age": "moved by .2 sd", "drift: country": "XX is new"})
    (first,) = data_warnings(two)
    assert "drift: age: moved by .2 sd; drift: country: XX is new" in first.text
    (next_week,) = data_warnings(replace(two, release="2026-02-02-11111111"))
    (other,) = data_warnings(replace(two, warnings={"drift: age": "moved by .2 sd"}))
    assert first.id == next_week.id != other.id


def test_production_is_stale_once_two_due_partitions_have_left_it_behind_for_a_day() -> None:
    (cause,) = stale_production("2026-01-05-0a1b2c3d", due=WEEKS, now=NOW)
    assert "2 retrains since" in cause.text
    assert stale_production("2026-01-12-0a1b2c3d", due=WEEKS, now=NOW) == []
    assert stale_production("2026-01-05-0a1b2c3d", due=WEEKS, now=datetime(2026, 1, 26, 23, tzinfo=UTC)) == []
    assert stale_production(None, due=WEEKS, now=NOW) == []


def test_a_stream_that_fell_silent_before_the_newest_ended_day_misses_that_day() -> None:
    began = datetime(2026, 2, 2, tzinfo=UTC)
    silent = {"exposures": began - timedelta(minutes=1), "engagements": began, "items": None}
    found = {cause.id: cause.text for cause in missing_data(silent, now=NOW)}
    assert found.keys() == {"missing data/exposures", "missing data/items"}
    assert "for 2026-02-02: the newest file is of 2026-02-01 23:59 UTC" in found["missing data/exposures"]


def test_a_cause_is_told_once_while_it_lasts_and_again_when_it_comes_back() -> None:
    (new,) = remember([], [CAUSE], now=NOW)
    assert new.is_due(NOW)
    told = replace(new, told=True)
    (still,) = remember([told], [CAUSE], now=NOW)
    assert not still.is_due(NOW)
    assert remember([still], [], now=NOW) == []
    (back,) = remember([], [CAUSE], now=NOW)
    assert back.is_due(NOW)


def test_a_cause_that_ended_before_anybody_could_be_told_waits_until_somebody_was() -> None:
    (waiting,) = remember([Telling(cause=CAUSE, since=NOW)], [], now=NOW)
    assert (waiting.is_over, waiting.is_due(NOW)) == (True, True)
    assert remember([replace(waiting, told=True)], [], now=NOW) == []


def test_a_failed_delivery_is_tried_again_later_each_time_and_at_least_every_hour() -> None:
    one, waits = Telling(cause=CAUSE, since=NOW), []
    for _ in range(8):
        one = one.failed(NOW)
        assert one.try_after is not None
        assert not one.is_due(NOW)
        assert one.is_due(one.try_after)
        waits.append((one.try_after - NOW) // timedelta(minutes=1))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_what_is_remembered_survives_as_json() -> None:
    one = Telling(cause=CAUSE, since=NOW).failed(NOW)
    assert Telling.from_json(one.to_json()) == one
