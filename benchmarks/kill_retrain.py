"""30 kills at random points of retrains: nothing lost, doubled or trained twice, slots free in a minute (60 minutes).

In simulated worlds a week lands and is retrained, week after week, with Dagster's daemon beside it. Worker, lake
server, dbt and daemon are killed in turn with SIGKILL, some times in a row. A killed daemon is started again, as a
supervisor would; a killed worker is first found and closed by the daemon's watchdog, then the same command is run
again, as a person would. What the gate refuses is overruled, so that every next student has a teacher and a control.
After each kill the pointer must name a release whose every byte verifies. The baseline is a world where nothing is
killed: all tables, weights, releases and journal entries must equal its.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psutil

from benchmarks._figures import FOLDER, Figure, report
from benchmarks.kill_ingest import OF_A_BUILD, OF_THE_CLOCK, stillhouse, surroundings
from lakehouse import guard, server
from lakehouse.home import PROJECT, Home
from lakehouse.ingest.ledger import write_durably
from lakehouse.versions import pin, read
from orchestration.runs import prepare_instance, process_of
from registry import Registry, ReleaseError
from simulator.files import Period
from simulator.simulate import simulate
from simulator.world import START
from tests import small_lake

VICTIMS = ("worker", "lake server", "dbt", "daemon")
# Two weeks to train and calibrate on, then a retrain a week.
FIRST_WEEK, NUM_WEEKS = 2, 5
EXPOSURES = 60_000
KILLS_IN_A_ROW = 6
# By then of a retrain dbt has nearly ended.
SHARE_OF_DBT = 0.6
LIMIT_S = 60.0
PATIENCE_S = 900
# Nothing was killed, and it failed: an old statement was still at work in the server, say.
TRIES = 4
LABELS = ("train", "control")
STILLHOUSE = [sys.executable, "-m", "cli.main"]
DAEMON = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-m", "orchestration.definitions"]
# Ids of releases hold the ids of tables, which no two homes share.
RELEASE = re.compile(r"(\d{4}-\d{2}-\d{2})-[0-9a-f]{8}")
OF_A_HOME = OF_THE_CLOCK | {"inputs", "judged_at", "examples"}


@dataclass
class State:
    """What was done so far, kept in a file after every kill: the benchmark may itself be stopped and run again."""

    path: Path
    seconds: list[float] = field(default_factory=list)
    undisturbed: list[dict[str, str]] = field(default_factory=list)
    kills: list[str] = field(default_factory=list)
    recovered_s: list[float] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    equal: int = 0
    needed: int = 0
    found: int = 0
    repeated: list[str] = field(default_factory=list)
    num_weeks: int = 0
    kills_of_week: int = 0

    @classmethod
    def read(cls, path: Path) -> "State":
        return cls(path=path, **json.loads(path.read_text())) if path.exists() else cls(path=path)

    def write(self) -> None:
        content = {name: value for name, value in asdict(self).items() if name != "path"}
        write_durably(self.path, json.dumps(content, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30, help="a quarter each of worker, lake server, dbt and daemon")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    small_lake.choose()
    folder = FOLDER / "kill_retrain"
    folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {arguments.seed}", flush=True)
    state = State.read(folder / "state.json")
    run_undisturbed(state, home=Home(folder / "undisturbed"))
    run_killed(state, home=Home(folder / "killed"), num_kills=arguments.kills, seed=arguments.seed)
    report("kill_retrain", figures(state))
    shutil.rmtree(folder)


def figures(state: State) -> list[Figure]:
    kills = f"{len(state.kills)} kills ({', '.join(f'{n} of {who}' for who, n in Counter(state.kills).items())})"
    print(f"{kills}; {len(state.commands)} repairs that an error named: {Counter(state.commands)}")
    print(f"{len(state.again)} times it failed and went on when run again: {Counter(state.again)}")
    print(f"differs from the undisturbed world: {Counter(state.different)}; not valid: {state.invalid}")
    print(f"finished trainings that a run took as they were: {state.found}; repeated: {state.repeated}")
    expected = state.equal + len(state.different)
    return [
        Figure(
            figure=f"tables, weights and journals equal to a world where nothing was killed, after {kills}",
            ours=state.equal,
            baseline=expected,
            goal="all",
            holds=not state.different,
        ),
        Figure(
            figure="kills after which pointer and journal were valid and production verified",
            ours=len(state.kills) - len(state.invalid),
            baseline=len(state.kills),
            goal="all",
            holds=not state.invalid,
        ),
        Figure(
            figure="slowest recovery: seconds until no dead run stood as running and no slot was held by one",
            ours=max(state.recovered_s),
            baseline=LIMIT_S,
            goal=f"≤ {LIMIT_S:.0f} s",
            holds=max(state.recovered_s) <= LIMIT_S,
        ),
        Figure(
            figure="trainings carried out to their end; baseline: as many as there were to do",
            ours=state.needed + len(state.repeated),
            baseline=state.needed,
            goal="as many",
            holds=not state.repeated,
        ),
    ]


def run_undisturbed(state: State, *, home: Home) -> None:
    """How long each week's retrain takes, and what it leaves behind."""
    for week in range(FIRST_WEEK + len(state.undisturbed), NUM_WEEKS):
        land(home, week)
        server.ensure(home)
        started = time.monotonic()
        attempt = Attempt(week, home=home)
        if attempt.wait() != 0:
            raise RuntimeError(f"the undisturbed retrain failed:\n{attempt.said()[-3000:]}")
        state.seconds.append(time.monotonic() - started)
        release(home, week)
        state.undisturbed.append(left_behind(home))
        state.write()
        print(f"undisturbed retrain of {partition(week)}: {state.seconds[-1]:.0f} s", flush=True)
    server.stop(home)
    shutil.rmtree(home.root, ignore_errors=True)


def run_killed(state: State, *, home: Home, num_kills: int, seed: int) -> None:
    """Worlds one after the other until there were `num_kills`; a week that was begun is finished and looked at."""
    retrains = NUM_WEEKS - FIRST_WEEK
    while len(state.kills) < num_kills or state.kills_of_week:
        week = FIRST_WEEK + state.num_weeks % retrains
        land(home, week)
        with Daemon(home) as daemon:
            run_week(week, state, home=home, daemon=daemon, num_kills=num_kills, seed=seed)
        release(home, week)
        like, here = state.undisturbed[week - FIRST_WEEK], left_behind(home)
        names = sorted(here.keys() | like.keys())
        different = [name for name in names if here.get(name) != like.get(name)]
        state.different += [f"{name} after {partition(week)}" for name in different]
        state.equal += len(names) - len(different)
        state.needed += 1 if week == FIRST_WEEK else len(LABELS)
        state.num_weeks, state.kills_of_week = state.num_weeks + 1, 0
        print(f"{partition(week)}: {len(names) - len(different)} of {len(names)} equal {different}", flush=True)
        if state.num_weeks % retrains == 0:
            server.stop(home)
            shutil.rmtree(home.root)
        state.write()
    server.stop(home)
    shutil.rmtree(home.root, ignore_errors=True)


def run_week(week: int, state: State, *, home: Home, daemon: "Daemon", num_kills: int, seed: int) -> None:
    """Kill a retrain some times in a row, then let it end."""
    num_wanted = random.Random(f"{seed} {state.num_weeks}").randint(1, KILLS_IN_A_ROW)
    before, tries = finished_trainings(home), 0
    attempt = Attempt(week, home=home)
    while True:
        number = len(state.kills) + 1
        victim = VICTIMS[number % len(VICTIMS)]
        reach = SHARE_OF_DBT if victim == "dbt" else 1.0
        after_s = random.Random(f"{seed} {number}").uniform(0, reach * state.seconds[week - FIRST_WEEK])
        is_to_die = state.kills_of_week < num_wanted and number <= num_kills
        if is_to_die and attempt.is_running_after(after_s) and (process := find(victim, attempt, daemon, home=home)):
            finished = LABELS[: len(finished_trainings(home) - before)]
            process.kill()
            at = time.time()
            if victim == "worker":
                attempt.wait()
            if victim == "daemon":
                daemon.restart()
            note_kill(state, victim, home=home)
            print(f"kill {number}: {victim}, {after_s:.0f} s on; {attempt.last_line()[:100]}", flush=True)
            print(f"    right after {state.recovered_s[-1]:.0f} s; finished trainings: {list(finished)}", flush=True)
            if victim == "worker":
                attempt = Attempt(week, home=home, finished=attempt.finished)
            attempt.finished = dict.fromkeys(finished, at) | attempt.finished
            continue
        if attempt.wait() == 0:
            note_trainings(state, attempt, home=home)
            print("    the retrain went on and is complete", flush=True)
            return
        tries += 1
        named = dict.fromkeys(re.findall(r"`stillhouse (repair [^`]+)`", attempt.said()))
        print(f"    the retrain said: {attempt.last_line()}", flush=True)
        for command in named:
            stillhouse(*shlex.split(command), home=home)
            state.commands.append(command)
        if not named:
            state.again.append(attempt.last_line()[:100])
        state.write()
        if tries == TRIES:
            raise RuntimeError(f"the retrain does not go on:\n{attempt.said()[-4000:]}")
        attempt = Attempt(week, home=home, finished=attempt.finished)


def find(victim: str, attempt: "Attempt", daemon: "Daemon", *, home: Home) -> psutil.Process | None:
    """The process to kill; None if it does not run any more, or not again before the retrain ends."""
    with suppress(psutil.NoSuchProcess):
        if victim == "worker":
            return psutil.Process(attempt.process.pid)
        if victim == "daemon":
            return psutil.Process(daemon.process.pid)
        while attempt.process.poll() is None:
            running = server.status(home)
            if victim == "lake server" and running is not None:
                return psutil.Process(running.pid)
            children = psutil.Process(attempt.process.pid).children(recursive=True)
            for child in children if victim == "dbt" else []:
                if "build" in child.cmdline():
                    return child
            time.sleep(0.1)
    return None


def note_kill(state: State, victim: str, *, home: Home) -> None:
    """Wait until no dead run stands as running or holds a slot, at most twice as long as is allowed."""
    started = time.monotonic()
    try:
        registry = Registry(home.releases)
        registry.journal()
        if registry.production() is not None:
            registry.verify(str(registry.production()))
    except ReleaseError as error:
        state.invalid.append(f"kill {len(state.kills) + 1}: {error}")
    while not is_right(home) and time.monotonic() - started < 2 * LIMIT_S:
        time.sleep(0.5)
    state.recovered_s.append(time.monotonic() - started)
    state.kills.append(victim)
    state.kills_of_week += 1
    state.write()


def is_right(home: Home) -> bool:
    """Whether every run that stands as running has a living process, and slots are held by such runs alone."""
    unfinished = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
    with instance_of(home) as instance:
        alive = set()
        for record in instance.get_run_records(dg.RunsFilter(statuses=unfinished)):
            process = process_of(record, instance)
            if process is None or not process.is_alive():
                return False
            alive.add(record.dagster_run.run_id)
        info = instance.event_log_storage.get_concurrency_info("lake")
        return info.active_run_ids | info.pending_run_ids <= alive


def note_trainings(state: State, attempt: "Attempt", *, home: Home) -> None:
    """Which trainings began again after they had finished, and how often one was taken as it was."""
    with instance_of(home) as instance:
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": partition(attempt.week)}))
        said = [(entry.timestamp, entry.user_message) for run in runs for entry in instance.all_logs(run.run_id)]
    for label, at in attempt.finished.items():
        again = [when for when, words in said if when > at and f"{label}: begins" in words]
        state.repeated += [f"{label} of {partition(attempt.week)}"] * len(again)
    state.found += sum("finished before" in words for _, words in said)


@contextmanager
def instance_of(home: Home) -> Iterator[dg.DagsterInstance]:
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    with dg.DagsterInstance.get() as instance:
        yield instance


def finished_trainings(home: Home) -> set[str]:
    return {path.name for path in (home.dagster / "checkpoints" / "finished").glob("[0-9a-f]*")}


class Attempt:
    """A running `stillhouse retrain`. `finished`: when it was first seen, at a kill, that a training had."""

    def __init__(self, week: int, *, home: Home, finished: dict[str, float] | None = None) -> None:
        self.week, self.finished = week, finished or {}
        self.output = home.root / "retrain.log"
        with self.output.open("w") as file:
            self.process = subprocess.Popen(
                [*STILLHOUSE, "retrain", "--partition", partition(week)],
                cwd=PROJECT,
                env=surroundings(home),
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def is_running_after(self, seconds: float) -> bool:
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def wait(self) -> int:
        """Its exit code; one that hangs is killed."""
        if self.is_running_after(PATIENCE_S):
            self.process.kill()
        return self.process.wait()

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def last_line(self) -> str:
        return ([line for line in self.said().splitlines() if line.strip()] or ["it said nothing"])[-1][:200]


class Daemon:
    """Dagster's daemon of a home, with its code server."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def __enter__(self) -> "Daemon":
        prepare_instance(self.home)
        self.restart()
        return self

    def restart(self) -> None:
        environment = surroundings(self.home) | server.environment(self.home)
        with (self.home.root / "daemon.log").open("a") as log:
            self.process = subprocess.Popen(
                DAEMON, cwd=PROJECT, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def partition(week: int) -> str:
    return (START + timedelta(weeks=week)).isoformat()


def land(home: Home, week: int) -> None:
    """All weeks up to this one; what has landed stays as it is."""
    period = Period(since=START, until=START + timedelta(weeks=week + 1))
    simulate(home, exposures=EXPOSURES, weeks=NUM_WEEKS, seed=1, period=period, progress=lambda _: None)


def release(home: Home, week: int) -> None:
    """Overrule a gate that refused the week."""
    registry = Registry(home.releases)
    judged = [str(entry.release) for entry in registry.journal() if entry.event == "gate"][-1]
    if registry.production() != judged:
        done = stillhouse("gate", "override", judged, "--as", "the benchmark", "--because", "it goes on", home=home)
        if done.returncode != 0:
            raise RuntimeError(f"{judged} of {partition(week)} is not in production: {done.stderr}")


def left_behind(home: Home) -> dict[str, str]:
    """A hash of each table's rows, in any order and without what depends on the clock or the home; of the weights of
    each release; and of the journal."""
    hashes = {}
    for relation, _ in guard.tables(home):
        if relation.endswith(OF_A_BUILD):
            continue
        table = read(pin(relation, home=home))
        rows = table.drop_columns([name for name in table.column_names if name in OF_A_HOME]).to_pylist()
        hashes[relation] = digest(sorted(without_ids(row) for row in rows))
    registry = Registry(home.releases)
    entries = registry.journal()
    hashes["journal"] = digest(
        without_ids(
            (one.event, one.release, one.reason, one.details.get("verdict"), one.details.get("pointer_version"))
        )
        for one in entries
        if one.event != "repaired"
    )
    for one in entries:
        if one.event == "saved":
            hashes[f"weights of {str(one.release)[:10]}"] = registry.load(str(one.release)).weights_hash
    return hashes


def without_ids(content: Any) -> str:
    return RELEASE.sub(r"\1", str(content))


def digest(lines: Any) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


if __name__ == "__main__":
    main()
