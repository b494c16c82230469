"""The drill: weeks of traffic → collector → lake → retrain → gate → canary → promotion, and two planted bad releases.

Everything is what it is in production, but for the users, who are simulated and whose weeks pass in minutes, and for a
ramp with fewer requests a step.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from lakehouse import server
from lakehouse.home import Home
from lakehouse.ingest import ingest
from lakehouse.session import connect
from online import settings as online_settings
from online.settings import Settings
from orchestration.history import publish_history
from orchestration.live.planted import PLANTED
from orchestration.live.services import Client, service
from orchestration.live.truth import expected_clicks, measured, standing_of
from orchestration.progress import progress
from orchestration.rollout import act, look
from orchestration.runs import heard
from registry import Registry
from registry.experiments import experiments
from simulator.files import Landing, Period
from simulator.population import Asked, Shown
from simulator.simulate import simulate, simulated_dataset
from simulator.states import item_states, user_states
from simulator.world import START, World

SEED = 3
# So many land in a week of full logging, 30,000 requests; the first weeks are another system's log.
WEEKLY_EXPOSURES, HISTORY, LIVE = 184_000, 3, 4
# Requests between two looks at the canary.
CHUNK = 500
# Before anybody was served, a release is no canary; and it must be known what is slow.
CHUNKS_BEFORE = 8
# Of so many requests one is also ranked by each release of an experiment, for the truth.
TRUTH_EVERY = 20
EVENTS_A_BATCH = 200
# Of what online.yml says: a ramp that ends within 30,000 requests a week, and a random slice that a gate can judge by.
CHANGES = {
    "rollout_shares": [0.1, 0.5, 1],
    "rollout_requests": [500, 2_500],
    "holdout_share": 0.2,
    "random_share": 0.05,
    "impressions_kept": 0.3,
}


@dataclass
class Week:
    """What one week brought. `decisions`: those that moved a canary, in words. `served`: requests by release."""

    week: str
    served: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    decisions: list[str] = field(default_factory=list)
    retrained: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return vars(self) | {"served": dict(self.served), "events": dict(self.events)}


@dataclass
class Truth:
    """Expected clicks of the same sampled requests under both releases of an experiment."""

    requests: int = 0
    production: float = 0.0
    holdout: float = 0.0

    @property
    def lift(self) -> float:
        return self.production / self.holdout - 1


class Drill:
    """One run in a home of its own."""

    def __init__(self, home: Home, *, say: Callable[[str], None]) -> None:
        self.home, self.say, self.registry = home, say, Registry(home.releases)
        weeks = HISTORY + LIVE + 1
        self.exposures = WEEKLY_EXPOSURES * weeks
        self.world = World.draw(exposures=self.exposures, weeks=weeks, seed=SEED)
        self.dataset = simulated_dataset(exposures=self.exposures, weeks=weeks, seed=SEED)
        self.truths: dict[str, Truth] = {}
        self.planted: dict[str, str] = {}
        self.weeks: list[Week] = []
        self._chunks = 0

    def run(self) -> dict[str, Any]:
        """History, a first release, the live weeks, and the report as plain JSON."""
        began = time.monotonic()
        write_settings(self.home)
        self.settings = Settings.load()
        self.say(f"history: {HISTORY} weeks of another system's log")
        until = START + timedelta(weeks=HISTORY)
        simulate(self.home, exposures=self.exposures, weeks=HISTORY + LIVE + 1, seed=SEED, period=Period(until=until))
        self.say("lake: starting")
        os.environ.update(server.environment(self.home))
        self.retrain(HISTORY - 1)
        if self.registry.production() is None:
            raise RuntimeError("the first release did not pass its gate; `stillhouse gate show` says why")
        waiting = list(PLANTED)
        for number in range(HISTORY, HISTORY + LIVE):
            self.weeks.append(self.live_week(number, waiting))
        self.say("lake: the last events")
        ingest(self.home)
        publish_history(self.registry, home=self.home)
        return self.report(seconds=time.monotonic() - began)

    def live_week(self, number: int, waiting: list[str]) -> Week:
        week, began = Week(week=day_of(number).isoformat()), time.monotonic()
        with Landing(self.home, self.dataset) as landing:
            landing.write("users", day_of(number), user_states(self.world, number))
            landing.write("items", day_of(number), item_states(self.world, number))
        with self.services() as (ranking, collecting):
            for day in range(7):
                asked = Asked.of(self.world, day_of(number, day))
                for start in range(0, len(asked), CHUNK):
                    self.plant_if_it_is_time(number, waiting, week)
                    part = asked.part(slice(start, start + CHUNK))
                    self.serve(part, ranking, collecting, week)
                    self.look(part, week)
                    done = (
                        f"{day_of(number, day):%a %d %b}, {min(start + CHUNK, len(asked)):,} of {len(asked):,} requests"
                    )
                    self.say(f"week {number - HISTORY + 1} of {LIVE}: {done}; {self.standing()}")
        if number + 1 < HISTORY + LIVE:
            week.retrained = self.retrain(number)
        week.seconds = time.monotonic() - began
        return week

    def plant_if_it_is_time(self, number: int, waiting: list[str], week: Week) -> None:
        """The first once somebody was served, the other two weeks later, where no canary is under way."""
        live_weeks = number - HISTORY + 1
        is_due = waiting and live_weeks > 2 * len(self.planted) and self._chunks >= CHUNKS_BEFORE
        if not is_due or self.registry.pointer().canary is not None:
            return
        if self.planted and not any("is in production" in one for one in week.decisions):
            return
        name = waiting.pop(0)
        self.say(f"planted: {name}")
        with heard(lambda line: self.say(f"planted: {line}")):
            judged = PLANTED[name](day_of(number - 1).isoformat(), home=self.home)
        self.planted[judged.release] = name
        week.decisions.append(f"planted {judged.release}, {name}: its gate says {judged.decision.verdict}")

    def serve(self, part: Asked, ranking: Client, collecting: Client, week: Week) -> None:
        """Ask, show, let people act, report."""
        answers = ranking.post_all(part.messages())
        week.served.update(answer["release"] for answer in answers)
        shown = Shown.of(part, [[one["item"] for one in answer["ranked"]] for answer in answers])
        events = shown.events(part=self._chunks)
        batches = [events[start : start + EVENTS_A_BATCH] for start in range(0, len(events), EVENTS_A_BATCH)]
        for counts in collecting.post_all(batches):
            week.events.update(counts)
        self.note_truth(part)
        self._chunks += 1

    def note_truth(self, part: Asked) -> None:
        """What a sample of the requests is worth to both sides of the experiment, if there is one."""
        pointer = self.registry.pointer()
        if pointer.production is None or pointer.holdout is None:
            return
        sample = part.part(slice(self._chunks % TRUTH_EVERY, None, TRUTH_EVERY))
        standing = standing_of(self.home, pointer.version)
        production, holdout = (
            expected_clicks(sample, release, standing=standing, settings=self.settings)
            for release in (pointer.production, pointer.holdout)
        )
        truth = self.truths.setdefault(pointer.production, Truth())
        truth.requests += len(sample)
        truth.production += production
        truth.holdout += holdout

    def look(self, part: Asked, week: Week) -> None:
        """What the sensor does every half minute, by the clock of these weeks."""
        now = datetime.fromtimestamp(int(part.requests.served_ms_R[-1]) / 1_000, UTC)
        # The request log is written every half second.
        time.sleep(0.6 if self.registry.pointer().canary else 0)
        decided = look(home=self.home, registry=self.registry, settings=self.settings, now=now)
        if decided is None:
            return
        said = act(decided, home=self.home, registry=self.registry, settings=self.settings)
        if decided.decision.action != "hold":
            week.decisions.append(said)
            progress(said)

    def retrain(self, number: int) -> str:
        """The week's retrain, in this process and recorded for the UI; how it ended."""
        from orchestration.runs import run_partition

        partition = day_of(number).isoformat()
        self.say(f"retrain: the week of {partition}")
        outcome = run_partition(
            partition, home=self.home, on_progress=lambda line: self.say(f"retrain {partition}: {line}")
        )
        if outcome.failed:
            raise RuntimeError(outcome.text)
        judged = [entry for entry in self.registry.journal() if entry.event == "gate"]
        return f"{judged[-1].release}: {judged[-1].details['verdict']}, {judged[-1].reason}"

    def standing(self) -> str:
        pointer = self.registry.pointer()
        canary = f", canary {pointer.canary} at {pointer.canary_share:.0%}" if pointer.canary else ""
        return f"production {pointer.production}{canary}"

    @contextmanager
    def services(self) -> Iterator[tuple[Client, Client]]:
        """Both services for a week: what they hold has landed once they have ended."""
        with service(self.home, "serve") as (rank_port, _), service(self.home, "collect") as (event_port, _):
            ranking, collecting = Client(rank_port, "/v1/rank"), Client(event_port, "/v1/events")
            try:
                yield ranking, collecting
            finally:
                ranking.close()
                collecting.close()

    def report(self, *, seconds: float) -> dict[str, Any]:
        taken_back = self.registry.reverted()
        rows = []
        for one in experiments(self.registry.journal()):
            if one.kind != "holdout":
                continue
            found, truth = measured(one, home=self.home), self.truths.get(str(one.treatment))
            if found is None or truth is None or not truth.holdout:
                continue
            rows.append(
                {"release": one.treatment, "holdout": one.control, **asdict(found), "true_lift": truth.lift}
                | {
                    "truth_is_inside": found.lower <= truth.lift <= found.upper,
                    "half_width": (found.upper - found.lower) / 2,
                }
            )
        promoted = [entry.release for entry in self.registry.journal() if entry.event == "promoted"]
        return {
            "seed": SEED,
            "seconds": round(seconds),
            "weeks": [week.to_json() for week in self.weeks],
            "kept_by_week": kept_by_week(self.home),
            "planted": [
                {
                    "release": release,
                    "what": name,
                    "reverted": release in taken_back and release not in promoted,
                    "why": taken_back[release].reason if release in taken_back else None,
                }
                for release, name in self.planted.items()
            ],
            "promoted": [release for release in promoted if release not in self.planted],
            "experiments": rows,
        }


def day_of(week: int, day: int = 0) -> date:
    return START + timedelta(days=7 * week + day)


def write_settings(home: Home) -> Path:
    """The drill's online.yml: the project's, with CHANGES."""
    content = yaml.safe_load(online_settings.FILE.read_text()) | CHANGES
    path = home.root / online_settings.FILE.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def kept_by_week(home: Home) -> list[dict[str, Any]]:
    """What landed from the collector, by the week in which it was served."""
    rows = connect(home).sql(
        """
        select
            date_format(date_trunc('week', served_at), 'yyyy-MM-dd') as week,
            count(*) as exposures,
            count_if(traffic = 'random') as random_exposures
        from raw.exposures
        where source_file like '%collector-%'
        group by 1
        order by 1
        """
    )
    return [row.asDict() for row in rows.collect()]
