"""Steps that fail for a passing cause are tried again, all others are not."""

from collections.abc import Callable, Iterator

import dagster as dg
import pytest

from lakehouse.errors import LakeError, ServerDied
from orchestration import retries
from orchestration.retries import is_passing, retried

Raise = Callable[[int], None]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "WAITS_S", (0, 0, 0))


def attempts_of(asset: dg.AssetsDefinition) -> tuple[bool, int]:
    """Whether a run of one asset came through, and how often its step began."""
    result = dg.materialize([asset], raise_on_error=False)
    begun = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_RESTARTED}
    return result.success, sum(event.event_type in begun for event in result.all_events)


def fails_with(error: Exception, *, until: int) -> dg.AssetsDefinition:
    @dg.asset
    @retried
    def failing(context: dg.AssetExecutionContext) -> None:
        """A step that takes a context, as ours do."""
        if context.retry_number < until:
            raise error

    return failing


def test_a_lost_lake_server_is_tried_again_until_it_is_there() -> None:
    assert attempts_of(fails_with(ServerDied("the lake server died"), until=2)) == (True, 3)


def test_a_cause_that_does_not_pass_ends_the_run_after_the_last_wait() -> None:
    assert attempts_of(fails_with(ServerDied("the lake server died"), until=99)) == (False, 4)


@pytest.mark.parametrize("error", [ValueError("alpha is 2"), LakeError("Java is missing"), dg.Failure("no such asset")])
def test_what_another_attempt_would_meet_again_ends_the_run_at_once(error: Exception) -> None:
    assert attempts_of(fails_with(error, until=1)) == (False, 1)


def test_a_generator_that_fails_half_way_begins_again() -> None:
    @dg.asset(check_specs=[dg.AssetCheckSpec("gate", asset="judged", blocking=True)])
    @retried
    def judged(context: dg.AssetExecutionContext) -> Iterator[dg.Output[int] | dg.AssetCheckResult]:
        yield dg.Output(1)
        if context.retry_number == 0:
            raise ConnectionResetError("Connection reset by peer")
        yield dg.AssetCheckResult(check_name="gate", passed=True)

    assert attempts_of(judged) == (True, 2)


def test_a_gate_that_blocks_is_asked_once() -> None:
    @dg.asset(check_specs=[dg.AssetCheckSpec("gate", asset="judged", blocking=True)])
    @retried
    def judged() -> Iterator[dg.Output[int] | dg.AssetCheckResult]:
        yield dg.Output(1)
        yield dg.AssetCheckResult(check_name="gate", passed=False)

    assert attempts_of(judged) == (False, 1)


def test_ctrl_c_is_not_tried_again() -> None:
    begun = []

    @dg.asset
    @retried
    def interrupted() -> None:
        begun.append(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dg.materialize([interrupted])
    assert begun == [1]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("The dbt CLI process with command `dbt build` failed with exit code `-9`.", True),
        ("dbt failed with exit code `1`. Errors parsed: [INVALID_HANDLE.SESSION_NOT_FOUND] The handle is gone", True),
        ("dbt failed with exit code `1`. Errors parsed: Got 3 results, configured to fail if != 0", False),
        ("dbt failed with exit code `2`. Parsing Error", False),
    ],
)
def test_a_killed_dbt_or_one_that_lost_its_lake_is_told_from_one_that_found_something(
    said: str, expected: bool
) -> None:
    assert is_passing(dg.Failure(said)) == expected


def test_the_cause_of_an_error_counts_too() -> None:
    error = RuntimeError("the step failed")
    error.__cause__ = ConnectionRefusedError("Connection refused")
    assert is_passing(error)
