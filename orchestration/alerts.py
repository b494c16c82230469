"""From what runs, releases and landing files say to the causes for an alert, and from those to somebody who is told.

Every alert goes to the log; with a webhook also there, as JSON that Slack understands. What could not be delivered is
kept and tried again.
"""

import json
import logging
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import requests
from filelock import FileLock

from decisions.alerts import Canary, Cause, EndedRun, Facts, Judged, Telling, causes, remember
from lakehouse.dataset import Dataset
from lakehouse.home import Home
from lakehouse.ingest.ledger import write_durably
from orchestration.calendar import due_partitions, midnight, period_end
from orchestration.rollout import decisions
from registry import Registry

logger = logging.getLogger("stillhouse")

WEBHOOK = "STILLHOUSE_ALERT_WEBHOOK"
# Where people open the UI; `make ui` serves it there.
UI = "STILLHOUSE_UI"
LOCAL_UI = "http://localhost:3000"
TIMEOUT_S = 10
JOBS = ("retrain", "backfill")
# Of each job; older ones have been followed by others.
RUNS_LOOKED_AT = 50
# Users and items land when they change, exposures and what people do with them every day.
DAILY_STREAMS = ("exposures", "engagements")
# Slack refuses a block of more than 3,000 characters.
LONGEST_TEXT = 2000


class NotDelivered(RuntimeError):
    """Alerts wait for a webhook that did not take them; the message says how many and why."""


def tell(home: Home, instance: dg.DagsterInstance, *, now: datetime) -> list[str]:
    """Deliver the causes of which nobody knows yet, each once; the ids of those that were.

    What was delivered is written down after each one: a kill in between repeats one alert at most and loses none.

    Raises NotDelivered at the first delivery that fails, and ValueError for an address that is not to be used. All that
    is left is in the log by then, and is tried again by a later call.
    """
    found = found_now(home, instance, now=now)
    state, told = home.dagster / "alerts.json", []
    home.dagster.mkdir(parents=True, exist_ok=True)
    with FileLock(home.dagster / "alerts.lock"):
        known = {one.cause.id: one for one in remember(remembered(state), found, now=now)}
        keep(state, known)
        waiting = [one for one in known.values() if one.is_due(now)]
        for one in waiting:
            logger.warning("alert: %s", as_text(one))
        try:
            address = webhook(home) if waiting else None
            while waiting:
                if address is not None:
                    post(address, waiting[0])
                one = waiting.pop(0)
                known[one.cause.id] = replace(one, told=True)
                keep(state, known)
                told.append(one.cause.id)
        except (requests.RequestException, ValueError) as error:
            keep(state, known | {one.cause.id: one.failed(now) for one in waiting})
            if not isinstance(error, requests.RequestException):
                raise
            raise NotDelivered(f"{len(waiting)} alerts wait, the webhook did not take them: {reason(error)}") from None
    return told


def found_now(home: Home, instance: dg.DagsterInstance, *, now: datetime) -> list[Cause]:
    """Every cause that exists now; where that cannot be found out, this is the cause."""
    try:
        return causes(facts(home, instance, now=now))
    except Exception as error:
        return [
            Cause(
                id=f"failed run/alerts/{type(error).__name__}",
                kind="failed run",
                text=f"whether there is a cause for an alert cannot be found out: {error}",
                link=None,
                next_step="stillhouse --traceback alerts shows where it fails",
            )
        ]


def facts(home: Home, instance: dg.DagsterInstance, *, now: datetime) -> Facts:
    """What Dagster, the registry and the landing files say; the lake need not be up."""
    registry = Registry(home.releases)
    runs = [run for job in JOBS for run in ended_runs(job, instance)]
    found = Facts(
        now=now,
        runs=runs,
        judged=judged_last(registry),
        production=registry.production(),
        canary=canary_now(home, registry),
        reverted_canary=reverted_canary(registry),
    )
    try:
        dataset = Dataset.load(home.landing)
    except FileNotFoundError:
        return found
    due = {start: midnight(period_end(start, dataset.cadence)) for start in due_partitions(home, now=now)}
    goes_on = dataset.last_day is None and midnight(dataset.first_day) < now
    streams = DAILY_STREAMS if goes_on else ()
    return replace(found, due=due, landed_at={stream: newest_file(home.landing / stream) for stream in streams})


def ended_runs(job: str, instance: dg.DagsterInstance) -> list[EndedRun]:
    """The last runs of a job that have ended, oldest first."""
    ended = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE])
    records = instance.get_run_records(ended, limit=RUNS_LOOKED_AT)
    return [ended_run(record, instance) for record in reversed(records)]


def ended_run(record: dg.RunRecord, instance: dg.DagsterInstance) -> EndedRun:
    run = record.dagster_run
    made = EndedRun(
        job=run.job_name,
        partition=run.tags.get("dagster/partition"),
        outcome="succeeded" if run.status == dg.DagsterRunStatus.SUCCESS else "failed",
        link=f"{os.environ.get(UI, LOCAL_UI).rstrip('/')}/runs/{run.run_id}",
    )
    if made.outcome == "succeeded":
        return made
    failures = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    for entry in instance.all_logs(run.run_id, of_type=failures):
        event = entry.get_dagster_event()
        if not event.is_step_failure:
            return replace(made, error=event.message)
        error = event.step_failure_data.error
        # The gate is a blocking check: its step fails with nothing else than that.
        if event.step_key == "evaluation" and error is not None and error.cls_name == "DagsterAssetCheckFailedError":
            return replace(made, outcome="refused")
        while error is not None and error.cause is not None:
            error = error.cause
        said = error.message.strip().splitlines()[0] if error is not None else None
        return replace(made, step=event.step_key, error=said)
    return made


def judged_last(registry: Registry) -> Judged | None:
    """The release that the gate judged last, with what its criteria warn of."""
    judged = [entry for entry in registry.journal() if entry.event == "gate" and entry.release]
    if not judged:
        return None
    release = str(judged[-1].release)
    criteria = registry.load(release).json("gate.json")["criteria"]
    return Judged(
        release=release,
        verdict=judged[-1].details["verdict"],
        reason=judged[-1].reason,
        is_overridden=release in registry.overridden(),
        warnings={one["name"]: one["reason"] for one in criteria if one["status"] == "warn"},
    )


def canary_now(home: Home, registry: Registry) -> Canary | None:
    """The canary, with what its last decision said."""
    now = registry.pointer()
    if now.canary is None:
        return None
    said = decisions(home, now.canary)
    return Canary(
        release=now.canary,
        share=now.canary_share,
        since=datetime.fromisoformat(str(now.canary_since)),
        reason=said[-1].decision.reason if said else "nobody has decided about it: does Dagster's daemon run?",
    )


def reverted_canary(registry: Registry) -> Canary | None:
    """The last canary, if it was taken back and nothing has moved since."""
    moves = [entry for entry in registry.journal() if "pointer_version" in entry.details]
    if not moves or moves[-1].event != "canary_reverted":
        return None
    last = moves[-1]
    return Canary(release=str(last.release), share=0.0, since=datetime.fromisoformat(last.at), reason=last.reason)


def newest_file(folder: Path) -> datetime | None:
    """When the newest landing file of a stream was written; hidden ones are not complete yet."""
    times = [
        path.stat().st_mtime
        for path in folder.rglob("*.json*")
        if path.is_file() and not path.name.startswith((".", "_"))
    ]
    return datetime.fromtimestamp(max(times), UTC) if times else None


def remembered(state: Path) -> list[Telling]:
    return [Telling.from_json(one) for one in json.loads(state.read_text())] if state.exists() else []


def keep(state: Path, known: dict[str, Telling]) -> None:
    write_durably(state, json.dumps([one.to_json() for one in known.values()], indent=2) + "\n")


def webhook(home: Home) -> str | None:
    """The webhook's address: of the environment, else of the file `alert-webhook` in the home; None without either.

    Who knows the address can write into the channel. Raises ValueError for a file that others than its owner can read
    or write, and for what is no address; the address itself is in no message.
    """
    address, origin = os.environ.get(WEBHOOK), WEBHOOK
    if not address:
        path = home.root / "alert-webhook"
        if not path.exists():
            return None
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise ValueError(f"{path} holds a secret and others can read it (mode {mode:04o}); chmod 600 {path}")
        address, origin = path.read_text().strip(), str(path)
    if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname:
        raise ValueError(f"{origin} holds no address of a webhook; it must begin with https://")
    return address


def post(address: str, telling: Telling) -> None:
    """Raises requests.RequestException unless the webhook took it."""
    answer = requests.post(address, json=message(telling), timeout=TIMEOUT_S, allow_redirects=False)
    if not answer.ok or answer.is_redirect:
        raise requests.HTTPError(f"the webhook answered {answer.status_code} {answer.reason}")


def reason(error: requests.RequestException) -> str:
    """Why a delivery failed, without the address, which is a secret and in the messages of lost connections."""
    return str(error) if isinstance(error, requests.HTTPError) else type(error).__name__


def message(telling: Telling) -> dict[str, Any]:
    """What Slack shows: `text` in notifications, the blocks in the channel."""
    cause = telling.cause
    over = " (over by now)" if telling.is_over else ""
    text = escaped(cause.text)
    short = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
    where = [f"*Where:* {escaped(cause.link)}"] if cause.link else []
    body = "\n".join([short, *where, f"*Next:* {escaped(cause.next_step)}"])
    return {
        "text": escaped(as_text(telling)),
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": f"*Stillhouse: {cause.kind}*{over}"}},
            {"type": "section", "text": {"type": "mrkdwn", "text": body}},
        ],
    }


def as_text(telling: Telling) -> str:
    cause, over = telling.cause, " (over by now)" if telling.is_over else ""
    where = f" [{cause.link}]" if cause.link else ""
    return f"{cause.kind}{over}: {cause.text}{where}; next: {cause.next_step}"


def escaped(text: str) -> str:
    """Slack reads &, < and > as markup.

    >>> escaped("churn > .35")
    'churn &gt; .35'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
