"""Which causes for an alert exist now, and which of them somebody has yet to be told.

A cause lasts from the moment that its facts hold until they no longer do, and is told once in that time. A cause that
comes back is told again.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal

Kind = Literal[
    "failed run",
    "blocked gate",
    "needs a person",
    "data warning",
    "stale production",
    "missing data",
    "reverted canary",
    "waiting canary",
]

# One refused or failed retrain leaves production a period behind and has an alert of its own; the second is a pattern.
PERIODS_UNTIL_STALE = 2
# A retrain that the schedule starts has ended by then.
GRACE = timedelta(hours=24)
# A step of a ramp that takes longer waits for something that does not come by itself, or for more traffic.
LONGEST_STEP = timedelta(hours=48)
# After a failed delivery: a minute, two, four, … at most an hour.
FIRST_DELAY, LONGEST_DELAY = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why somebody should look: `id` tells a cause from every other and stays the same while it lasts."""

    id: str
    kind: Kind
    text: str
    link: str | None
    next_step: str


@dataclass(frozen=True, kw_only=True)
class EndedRun:
    """A run that has ended. `refused` is one that the gate ended early: it came through, and its gate has its own say.

    step and error: of a failed run, what failed first and how; None where no step did.
    """

    job: str
    partition: str | None
    outcome: Literal["succeeded", "refused", "failed"]
    link: str
    step: str | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A release that the gate judged. `warnings` are the names and reasons of its criteria that warn."""

    release: str
    verdict: str
    reason: str
    is_overridden: bool
    warnings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A canary at a share of the users since some time, or one that was taken back then; and what was said last."""

    release: str
    share: float
    since: datetime
    reason: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was found at `now`: runs, oldest first; the release judged last; production; and what landed.

    due: the starts of the partitions that were due, each with its end, oldest first.
    landed_at: by stream that is written every day, when its newest file was; empty for a log that has ended.
    canary: the one there is; reverted_canary: the last one, if it was taken back and no release followed.
    """

    now: datetime
    runs: Sequence[EndedRun] = ()
    judged: Judged | None = None
    production: str | None = None
    due: Mapping[str, datetime] = field(default_factory=dict)
    landed_at: Mapping[str, datetime | None] = field(default_factory=dict)
    canary: Canary | None = None
    reverted_canary: Canary | None = None


def causes(facts: Facts) -> list[Cause]:
    """Every cause for an alert that exists now."""
    return [
        *failed_runs(facts.runs),
        *gate_verdict(facts.judged, production=facts.production),
        *data_warnings(facts.judged),
        *stale_production(facts.production, due=facts.due, now=facts.now),
        *missing_data(facts.landed_at, now=facts.now),
        *reverted_canary(facts.reverted_canary),
        *waiting_canary(facts.canary, now=facts.now),
    ]


def failed_runs(runs: Iterable[EndedRun]) -> list[Cause]:
    """Runs, oldest first, whose job failed on a partition and came through neither there nor on a later one since.

    A run that fails again in the same step is the same cause.

    >>> failed = EndedRun(job="retrain", partition="2026-01-05", outcome="failed", link="", step="models")
    >>> [cause.id for cause in failed_runs([failed, failed])]
    ['failed run/retrain/2026-01-05/models']
    >>> failed_runs([failed, EndedRun(job="retrain", partition="2026-01-12", outcome="refused", link="")])
    []
    """
    newest = {(run.job, run.partition or ""): run for run in runs}
    found = []
    for (job, partition), run in newest.items():
        later = (one for (name, at), one in newest.items() if name == job and at > partition)
        if run.outcome != "failed" or any(one.outcome != "failed" for one in later):
            continue
        what = f"{job} of {partition}" if partition else job
        again = f"stillhouse {job} --partition {partition}" if partition else f"stillhouse {job}"
        found.append(
            Cause(
                id=f"failed run/{job}/{partition}/{run.step or ''}",
                kind="failed run",
                text=f"{what} failed{f' in {run.step}' if run.step else ''}: {run.error or 'no step says why'}",
                link=run.link,
                next_step=f"read the error, then run it again: {again}",
            )
        )
    return found


def gate_verdict(judged: Judged | None, *, production: str | None) -> list[Cause]:
    """The release judged last, if its gate did not pass it, nobody overruled that, and it is not older than production.

    >>> asked = Judged(release="2026-01-12-0a1b2c3d", verdict="block", reason="auc: .4", is_overridden=False)
    >>> [cause.kind for cause in gate_verdict(asked, production="2026-01-05-99999999")]
    ['blocked gate']
    >>> gate_verdict(asked, production="2026-01-19-99999999")  # a backfill: it could not have been promoted
    []
    """
    if judged is None or judged.verdict == "pass" or judged.is_overridden:
        return []
    if production is not None and judged.release[:10] < production[:10]:
        return []
    kind: Kind = "blocked gate" if judged.verdict == "block" else "needs a person"
    return [
        Cause(
            id=f"{kind}/{judged.release}",
            kind=kind,
            text=f"{judged.release}: {judged.verdict}: {judged.reason}",
            link=judged.release,
            next_step=f"stillhouse gate show {judged.release}; it also says how a person can overrule it",
        )
    ]


def data_warnings(judged: Judged | None) -> list[Cause]:
    """What the data of the release judged last warn of, as one cause; the same warnings a week later are the same."""
    if judged is None or not judged.warnings:
        return []
    names = sorted(judged.warnings)
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
    return [
        Cause(
            id=f"data warning/{digest}",
            kind="data warning",
            text=f"{judged.release}: " + "; ".join(f"{name}: {judged.warnings[name]}" for name in names),
            link=judged.release,
            next_step=f"stillhouse gate show {judged.release}",
        )
    ]


def stale_production(production: str | None, *, due: Mapping[str, datetime], now: datetime) -> list[Cause]:
    """Production that PERIODS_UNTIL_STALE due partitions have left behind, each of which ended GRACE ago or longer.

    Counted in partitions, not in days: it means the same for every cadence, and a log that has ended grows no older.
    Before the first release nothing is stale.
    """
    if production is None:
        return []
    behind = [start for start, end in due.items() if start > production[:10] and end + GRACE <= now]
    if len(behind) < PERIODS_UNTIL_STALE:
        return []
    return [
        Cause(
            id=f"stale production/{production}",
            kind="stale production",
            text=f"{production} is in production, and {len(behind)} retrains since brought nothing better: "
            f"{', '.join(behind[-5:])}",
            link=production,
            next_step="stillhouse history says what became of them; stillhouse retrain tries the newest again",
        )
    ]


def missing_data(landed_at: Mapping[str, datetime | None], *, now: datetime) -> list[Cause]:
    """Streams of which nothing has landed since the newest ended day began (UTC)."""
    day = now.astimezone(UTC).date() - timedelta(days=1)
    began = datetime.combine(day, time(), tzinfo=UTC)
    return [
        Cause(
            id=f"missing data/{stream}",
            kind="missing data",
            text=f"no {stream} have landed for {day}: "
            + (f"the newest file is of {at:%Y-%m-%d %H:%M} UTC" if at else "there is no file at all"),
            link=None,
            next_step=f"see why nothing is written to landing/{stream}; once it is there: stillhouse ingest",
        )
        for stream, at in landed_at.items()
        if at is None or at < began
    ]


def reverted_canary(canary: Canary | None) -> list[Cause]:
    """The last canary, if it was taken back and nothing was released since."""
    if canary is None:
        return []
    return [
        Cause(
            id=f"reverted canary/{canary.release}",
            kind="reverted canary",
            text=f"{canary.release} was taken back: {canary.reason}",
            link=canary.release,
            next_step=f"stillhouse rollout decisions --release {canary.release} has the figures, stillhouse compare "
            "where it differs from production; what it logged is not trained on, so stillhouse retrain goes on",
        )
    ]


def waiting_canary(canary: Canary | None, *, now: datetime) -> list[Cause]:
    """A canary that has been at its step for longer than LONGEST_STEP; each step is a cause of its own."""
    if canary is None or now - canary.since <= LONGEST_STEP:
        return []
    return [
        Cause(
            id=f"waiting canary/{canary.release}/{canary.share:g}",
            kind="waiting canary",
            text=f"{canary.release}, at {canary.share:.0%} since {canary.since:%Y-%m-%d %H:%M}: {canary.reason}",
            link=canary.release,
            next_step="stillhouse rollout says what it waits for; docs/rollout.md what to do about it",
        )
    ]


@dataclass(frozen=True, kw_only=True)
class Telling:
    """A cause that was seen first `since`, and whether somebody was told; until then, how often that failed."""

    cause: Cause
    since: datetime
    told: bool = False
    failures: int = 0
    try_after: datetime | None = None
    is_over: bool = False

    def is_due(self, now: datetime) -> bool:
        return not self.told and (self.try_after is None or self.try_after <= now)

    def failed(self, now: datetime) -> "Telling":
        """The same after a delivery that failed: it is tried again, later each time."""
        delay = min(FIRST_DELAY * 2 ** min(self.failures, 16), LONGEST_DELAY)
        return replace(self, failures=self.failures + 1, try_after=now + delay)

    def to_json(self) -> dict[str, Any]:
        return {
            "cause": vars(self.cause),
            "since": self.since.isoformat(),
            "told": self.told,
            "failures": self.failures,
            "try_after": self.try_after and self.try_after.isoformat(),
            "is_over": self.is_over,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Telling":
        after = content["try_after"]
        return cls(
            **{
                **content,
                "cause": Cause(**content["cause"]),
                "since": datetime.fromisoformat(content["since"]),
                "try_after": after and datetime.fromisoformat(after),
            }
        )


def remember(known: Iterable[Telling], found: Iterable[Cause], *, now: datetime) -> list[Telling]:
    """What was known, brought up to the causes `found` now.

    A new cause is added. One that is over is forgotten, so that it is told again should it come back; if nobody could
    be told while it lasted, it stays until somebody was.
    """
    here = {cause.id: cause for cause in found}
    kept = [replace(one, is_over=one.cause.id not in here) for one in known if one.cause.id in here or not one.told]
    new = here.keys() - {one.cause.id for one in kept}
    return [*kept, *(Telling(cause=cause, since=now) for cause in here.values() if cause.id in new)]
