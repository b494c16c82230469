"""What Dagster's daemon does by itself: starts retrains, decides on canaries, closes killed runs, and tells causes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from lakehouse.dataset import Dataset
from lakehouse.home import home
from online.settings import Settings
from orchestration import alerts
from orchestration.calendar import due_partitions, midnight, period_days, period_end
from orchestration.rollout import act, look
from orchestration.runs import close_killed_runs
from registry import Registry

# Two ticks of the watchdog, and what the daemon needs around them, stay within a minute.
WATCHDOG_S = 20
ALERTS_S = 60
ROLLOUT_S = 30
# By then the last events of a day have landed.
HOUR = 6


def schedule_of(job: str) -> dg.ScheduleDefinition:
    """The schedule by the data set's cadence, which gives it its name: at HOUR, after each due partition's end.

    A log that has ended is not retrained by itself.
    """
    try:
        cadence = Dataset.load(home().landing).cadence
    except FileNotFoundError:
        cadence = "weekly"

    @dg.schedule(
        job_name=job,
        name=cadence.replace("-", "_"),
        cron_schedule=f"0 {HOUR} * * {'*' if period_days(cadence) == 1 else '1'}",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def scheduled(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time
        due = due_partitions(home(), now=now)
        if not due or midnight(period_end(due[-1], cadence)) < now - timedelta(days=1):
            return dg.SkipReason(f"nothing that is due has just ended: the cadence is {cadence}")
        return dg.RunRequest(run_key=due[-1], partition_key=due[-1])

    return scheduled


@dg.sensor(minimum_interval_seconds=WATCHDOG_S, default_status=dg.DefaultSensorStatus.RUNNING)
def watchdog(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Reports runs whose process was killed as failed, and frees their pool slots."""
    closed = close_killed_runs(context.instance)
    return dg.SkipReason(f"closed killed runs: {', '.join(closed)}" if closed else "no run was killed")


@dg.sensor(minimum_interval_seconds=ROLLOUT_S, default_status=dg.DefaultSensorStatus.RUNNING)
def rollout() -> dg.SkipReason:
    """Ramps, promotes or takes back the canary as figures of now say; see docs/rollout.md."""
    registry, settings = Registry(home().releases), Settings.load()
    decided = look(home=home(), registry=registry, settings=settings, now=datetime.now(UTC))
    if decided is None:
        return dg.SkipReason("there is no canary")
    return dg.SkipReason(act(decided, home=home(), registry=registry, settings=settings))


@dg.sensor(name="alerts", minimum_interval_seconds=ALERTS_S, default_status=dg.DefaultSensorStatus.RUNNING)
def alerts_sensor(context: dg.SensorEvaluationContext) -> Iterator[dg.SkipReason]:
    """Tells each cause for an alert once; see docs/on-call.md for which there are and where they go."""
    told = alerts.tell(home(), context.instance, now=datetime.now(UTC))
    yield dg.SkipReason(f"told: {', '.join(told)}" if told else "nothing new to tell")
