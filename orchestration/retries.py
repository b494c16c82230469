"""Steps that fail for a passing cause are tried again, a little later each time; all others end the run at once.

What passes is the loss of the lake server, of dbt's process or of a connection, and a lock that another holds. What the
data, the settings or the gate say would be said again, at the price of another build.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import dagster as dg

from lakehouse.errors import ServerDied
from lakehouse.writer import WriterBusy
from orchestration.progress import progress

# The lake server is up again in about 10 s; by the last wait even a machine that swaps has it back.
WAITS_S = (10, 30, 90)
PASSING = (ServerDied, WriterBusy, ConnectionError, TimeoutError)
# What Spark Connect, gRPC, Delta and a killed dbt say, also where only their text arrives.
SAID = re.compile(
    r"SESSION_NOT_FOUND|SESSION_CLOSED|SESSION_CHANGED|NO_ACTIVE_SESSION|OPERATION_NOT_FOUND|OPERATION_ABANDONED"
    r"|StatusCode\.UNAVAILABLE|Connection refused|Connection reset|Socket closed"
    r"|DELTA_CONCURRENT|failed with exit code `-\d+`"
)
Step = TypeVar("Step", bound=Callable[..., Any])


def is_passing(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, is of a kind that another attempt may not meet.

    >>> is_passing(ConnectionRefusedError("Connection refused")), is_passing(ValueError("alpha is 2"))
    (True, False)
    """
    seen: BaseException | None = error
    while seen is not None:
        text = f"{seen} {getattr(seen, 'description', '')}"
        if isinstance(seen, PASSING) or SAID.search(text):
            return True
        seen = seen.__cause__
    return False


def retried(step: Step) -> Step:
    """A step, plain or a generator, that Dagster runs again after WAITS_S when it fails for a passing cause.

    Not a dg.RetryPolicy: that one tries everything again, Ctrl-C and wrong settings too.
    """
    if inspect.isgeneratorfunction(step):

        @wraps(step)
        def generate(*arguments: Any, **named: Any) -> Iterator[Any]:
            with _passing_errors_ask_for_another_attempt():
                yield from step(*arguments, **named)

        return generate  # type: ignore[return-value]

    @wraps(step)
    def run(*arguments: Any, **named: Any) -> Any:
        with _passing_errors_ask_for_another_attempt():
            return step(*arguments, **named)

    return run  # type: ignore[return-value]


@contextmanager
def _passing_errors_ask_for_another_attempt() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_passing(error):
            raise
        attempt = dg.OpExecutionContext.get().retry_number
        if attempt < len(WAITS_S):
            progress(f"retry: in {WAITS_S[attempt]} s, after: {str(error).strip().splitlines()[0]}")
            raise dg.RetryRequested(max_retries=len(WAITS_S), seconds_to_wait=WAITS_S[attempt]) from error
        raise
