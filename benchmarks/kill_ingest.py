"""60 kills at random points of ingests and builds: no row lost, none doubled, and all goes on (50 minutes).

In worlds of two parts a part lands, is ingested and is built. Ingest and build are killed with SIGKILL on the way, some
times in a row, the lake server as often as the client. After a kill the same command is run again, as a person would;
where its error names a command, that one first. What must stand in the tables is counted from the landing files, in
plain Python. The baseline is a world where nothing is killed: all tables must equal its.
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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import _tiny_logs as logs
from benchmarks._figures import FOLDER, Figure, report
from lakehouse import guard, server
from lakehouse.home import PROJECT, Home
from lakehouse.ingest.ledger import write_durably
from lakehouse.landing import STREAMS
from lakehouse.versions import pin, read
from tests import small_lake

NUM_PARTS = 2
KILLS_IN_A_ROW = 7
PHASES = ("ingest", "build")
PATIENCE_S = 480
# By hand, dbt does not notice that its server is gone: a person would wait a little and press Ctrl-C.
GRACE_S = {"ingest": 60, "build": 5}
# Nothing was killed, and it failed: an old statement was still at work in the server, say.
TRIES = 4
STILLHOUSE = [sys.executable, "-m", "cli.main"]
DBT = [str(Path(sys.executable).parent / "dbt"), "build", "--target", "prod", "--exclude-resource-type", "unit_test"]
# When it was loaded, and what belongs to one build alone.
OF_THE_CLOCK = {"ingested_at", "at"}
OF_A_BUILD = ("monitoring.builds", "monitoring.late_row_counts", "_totals")


@dataclass
class Tally:
    """What was found: lines and examples that must stand once, and tables compared with the undisturbed world."""

    once: int = 0
    lost: int = 0
    doubled: int = 0
    equal: int = 0
    different: list[str] = field(default_factory=list)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(**{name: getattr(self, name) + getattr(other, name) for name in asdict(self)})


@dataclass
class State:
    """What was done so far, kept in a file after every kill: the benchmark may itself be stopped and run again."""

    path: Path
    seconds: dict[str, float] = field(default_factory=dict)
    undisturbed: list[dict[str, str]] = field(default_factory=list)
    kills: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    num_parts: int = 0
    num_phases: int = 0
    kills_of_phase: int = 0
    found: Tally = field(default_factory=Tally)
    expected: Tally = field(default_factory=Tally)

    @classmethod
    def read(cls, path: Path) -> "State":
        if not path.exists():
            return cls(path=path)
        content = json.loads(path.read_text())
        content |= {name: Tally(**content[name]) for name in ("found", "expected")}
        return cls(path=path, **content)

    def write(self) -> None:
        content = {name: value for name, value in asdict(self).items() if name != "path"}
        write_durably(self.path, json.dumps(content, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="half of them of the lake server")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    small_lake.choose()
    folder = FOLDER / "kill_ingest"
    folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {arguments.seed}", flush=True)
    state = State.read(folder / "state.json")
    parts = logs.make_parts(NUM_PARTS)
    run_undisturbed(state, parts, home=Home(folder / "undisturbed"))
    run_killed(state, parts, home=Home(folder / "killed"), num_kills=arguments.kills, seed=arguments.seed)
    report("kill_ingest", figures(state))
    shutil.rmtree(folder)


def figures(state: State) -> list[Figure]:
    of_server = sum(kill == "server" for kill in state.kills)
    kills = f"{len(state.kills)} kills ({of_server} of the lake server)"
    found, expected = state.found, state.expected
    print(f"{kills}; {len(state.commands)} repairs that an error named: {Counter(state.commands)}")
    print(f"{len(state.again)} times it failed and went on when run again: {Counter(state.again)}")
    print(f"lost {found.lost}, doubled {found.doubled}, tables that differ: {found.different}")
    return [
        Figure(
            figure=f"landed lines and examples that stand once and where they must, after {kills}",
            ours=found.once,
            baseline=expected.once,
            goal="0 lost, 0 doubled",
            holds=found.once == expected.once and found.lost == found.doubled == 0,
        ),
        Figure(
            figure=f"tables equal to those of a world where nothing was killed, after {kills}",
            ours=found.equal,
            baseline=expected.equal,
            goal="all",
            holds=found.equal == expected.equal,
        ),
        Figure(
            figure="kills after which the same command, or the one that its error named, went on",
            ours=len(state.kills),
            baseline=len(state.kills),
            goal="all",
            holds=True,
        ),
    ]


def run_undisturbed(state: State, parts: list[logs.Part], *, home: Home) -> None:
    """How long each phase takes, and what stands in the tables after each part."""
    for number, part in enumerate(parts[len(state.undisturbed) :], start=len(state.undisturbed) + 1):
        server.ensure(home)
        logs.write(part, home)
        for phase in PHASES:
            state.seconds[phase] = run_to_the_end(phase, home=home)
            print(f"undisturbed {phase} of part {number}: {state.seconds[phase]:.0f} s", flush=True)
        there = contents(home)
        tally = found_in(home, parts[:number], like=there)
        if tally.lost or tally.doubled:
            raise RuntimeError(f"not even the undisturbed world is right: {tally}")
        state.undisturbed.append(there)
        state.write()
    server.stop(home)
    shutil.rmtree(home.root, ignore_errors=True)


def run_to_the_end(phase: str, *, home: Home) -> float:
    """The seconds that an ingest or a build takes when nothing is killed; a busy machine may need a second try."""
    for _ in range(TRIES):
        attempt = Attempt(phase, home=home)
        started = time.monotonic()
        if attempt.wait() == 0:
            return time.monotonic() - started
    raise RuntimeError(f"the undisturbed {phase} failed:\n{attempt.said()[-3000:]}")


def run_killed(state: State, parts: list[logs.Part], *, home: Home, num_kills: int, seed: int) -> None:
    """Worlds one after the other until there were `num_kills`; what was begun is finished and looked at."""
    while len(state.kills) < num_kills or state.num_phases or state.kills_of_phase:
        part = state.num_parts % NUM_PARTS
        logs.write(parts[part], home)
        for phase in PHASES[state.num_phases :]:
            run_phase(phase, state, home=home, num_kills=num_kills, seed=seed)
            state.num_phases, state.kills_of_phase = state.num_phases + 1, 0
            state.write()
        like = state.undisturbed[part]
        found = found_in(home, parts[: part + 1], like=like)
        state.found += found
        state.expected += Tally(once=found.once + found.lost, equal=len(like))
        state.num_parts, state.num_phases = state.num_parts + 1, 0
        print(f"part {part + 1} of world {(state.num_parts + 1) // NUM_PARTS}: {found}", flush=True)
        if state.num_parts % NUM_PARTS == 0:
            server.stop(home)
            shutil.rmtree(home.root)
        state.write()
    server.stop(home)


def run_phase(phase: str, state: State, *, home: Home, num_kills: int, seed: int) -> None:
    """Kill an ingest or a build some times in a row, then let it end."""
    num_wanted = random.Random(f"{seed} {state.num_parts} {phase}").randint(1, KILLS_IN_A_ROW)
    tries = 0
    while True:
        number = len(state.kills) + 1
        after_s = random.Random(f"{seed} {number}").uniform(0, state.seconds[phase])
        is_to_die = state.kills_of_phase < num_wanted and number <= num_kills
        attempt = Attempt(phase, home=home)
        if is_to_die and attempt.is_running_after(after_s):
            victim = attempt.kill("server" if 2 * state.kills.count("server") < number else "client")
            state.kills.append(victim)
            state.kills_of_phase += 1
            state.write()
            print(f"kill {number}: {victim}, {after_s:.1f} s into the {phase}; {attempt.last_line()}", flush=True)
            continue
        if attempt.wait() == 0:
            print(f"    the {phase} went on and is complete", flush=True)
            return
        tries += 1
        named = dict.fromkeys(re.findall(r"`stillhouse (repair [^`]+)`", attempt.said()))
        print(f"    the {phase} said: {attempt.last_line()}", flush=True)
        for command in named:
            done = stillhouse(*shlex.split(command), home=home)
            state.commands.append(command)
            print(f"    stillhouse {command}: {(done.stdout + done.stderr).strip()}", flush=True)
        if not named:
            state.again.append(attempt.last_line()[:100])
        state.write()
        if tries == TRIES:
            raise RuntimeError(f"the {phase} does not go on:\n{attempt.said()[-4000:]}")


class Attempt:
    """A running `stillhouse ingest`, or a `dbt build` of production begun as the documentation says."""

    def __init__(self, phase: str, *, home: Home) -> None:
        self.phase, self.home = phase, home
        self.output = home.root / f"{phase}.log"
        home.root.mkdir(parents=True, exist_ok=True)
        command, environment = [*STILLHOUSE, "ingest"], surroundings(home)
        if phase == "build":
            exported = stillhouse("env", home=home)
            words = shlex.split(exported.stdout.replace("export ", ""))
            environment |= dict(word.split("=", maxsplit=1) for word in words)
            refusal = ["sh", "-c", f"printf %s {shlex.quote(exported.stderr)}; false"]
            command = DBT if exported.returncode == 0 else refusal
        with self.output.open("w") as file:
            self.process = subprocess.Popen(
                command, cwd=PROJECT, env=environment, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )

    def is_running_after(self, seconds: float) -> bool:
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return True
        except KeyboardInterrupt:
            self._kill_client()
            raise
        return False

    def kill(self, victim: str) -> str:
        """Kill the lake server, or the client; the client too where there is no server yet. Who was killed."""
        running = server.status(self.home)
        if victim == "server" and running is not None:
            os.kill(running.pid, signal.SIGKILL)
            if self.is_running_after(GRACE_S[self.phase]):
                self._kill_client()
            return "server"
        self._kill_client()
        return "client"

    def wait(self) -> int:
        """Its exit code; a client that waits for a server that does not answer is killed."""
        if self.is_running_after(PATIENCE_S):
            self._kill_client()
        return self.process.wait()

    def _kill_client(self) -> None:
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def last_line(self) -> str:
        """The last thing that it said: of a dbt that failed, what failed first."""
        lines = [line.strip() for line in self.said().splitlines() if line.strip()]
        errors = [line for line in lines if re.search(r" ERROR | FAIL |Error", line)]
        return (errors or lines[-1:] or ["it said nothing"])[0][:200]


def stillhouse(*arguments: str, home: Home) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*STILLHOUSE, *arguments],
        cwd=PROJECT,
        env=surroundings(home),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def surroundings(home: Home) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "DBT_", "DAGSTER_"))}
    return kept | {"STILLHOUSE_HOME": str(home.root)}


def found_in(home: Home, parts: list[logs.Part], *, like: dict[str, str]) -> Tally:
    """Every landed line and every example against plain Python, every table against the undisturbed world."""
    tally = Tally()
    for stream in STREAMS:
        hashes = read(pin(f"raw.{stream}", home=home), columns=["payload_hash"])["payload_hash"].to_pylist()
        count(tally, Counter(hashes), Counter(logs.loaded(parts, stream)))
    put_aside = read(pin("raw.quarantine", home=home), columns=["source_file", "source_row", "payload"]).to_pylist()
    count(tally, Counter((row["source_file"], row["payload"]) for row in put_aside), logs.quarantined(parts))
    landed = read(pin("ops.ingest_loads", home=home), columns=["stream", "landed"]).to_pylist()
    count(tally, sum((Counter({row["stream"]: row["landed"]}) for row in landed), Counter()), logs.num_lines(parts))
    examples = read(pin("marts.examples_v1", home=home), columns=["event_id", "acted"]).to_pylist()
    count(tally, Counter((row["event_id"], row["acted"]) for row in examples), Counter(logs.acted(parts).items()))
    here = contents(home)
    names = sorted(here.keys() | like.keys())
    tally.different += [name for name in names if here.get(name) != like.get(name)]
    tally.equal += len(names) - len(tally.different)
    return tally


def count(tally: Tally, found: Counter[Any], expected: Counter[Any]) -> None:
    tally.lost += (expected - found).total()
    tally.doubled += (found - expected).total()
    tally.once += (expected & found).total()


def contents(home: Home) -> dict[str, str]:
    """A hash of the rows of each table, in any order, without what depends on when it was made."""
    hashes = {}
    for relation, _ in guard.tables(home):
        if relation.endswith(OF_A_BUILD):
            continue
        table = read(pin(relation, home=home))
        table = table.drop_columns([name for name in table.column_names if name in OF_THE_CLOCK])
        rows = "\n".join(sorted(str(row) for row in table.to_pylist()))
        hashes[relation] = hashlib.sha256(rows.encode()).hexdigest()
    return hashes


if __name__ == "__main__":
    main()
