"""Forget people: everything that is kept of them goes, in an order that a kill at any point only interrupts.

What tells of them without naming them goes before what names them, and files go last: whoever is killed and begins
again finds the rest. Releases are marked before anything that they were made from goes.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from filelock import FileLock, Timeout

from lakehouse import forget as lake
from lakehouse import frozen, guard, server, snapshot
from lakehouse.errors import LakeError
from lakehouse.forget import Held, LandedFile, Names
from lakehouse.home import PROJECT, Home
from lakehouse.ingest.ingest import alone
from lakehouse.ingest.ledger import Ledger
from lakehouse.session import connect
from lakehouse.versions import Pin, data_files
from lakehouse.writer import writing
from online.feature_log import FeatureLog
from online.segments import MOST_SEGMENT_S, land_left_behind
from orchestration.retention import pin_of
from orchestration.runs import RETRAINS
from registry.registry import Registry

# Services look at their segments every few seconds.
LANDS_WITHIN_S = MOST_SEGMENT_S + 30
LOOK_S = 1.0


class ForgetError(LakeError):
    """Nobody was forgotten yet, or not everywhere: says what stands in the way."""


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What was found of them, and went; in a dry run, what would go. `left`: files that still name one of them."""

    num_requests: int
    files: list[LandedFile]
    tables: list[Held]
    snapshots: list[Path]
    releases: dict[str, list[str]]
    left: list[Path]

    @property
    def is_nothing(self) -> bool:
        return not (self.num_requests or self.files or self.tables or self.snapshots)


def forget(
    users: Collection[str], *, home: Home, on_progress: Callable[[str], None], dry_run: bool = False
) -> Forgotten:
    """Forget users by their ids in the lake; killed and run again, it goes on.

    Stops the lake server, which remembers what it read. Raises ForgetError while an ingest is half-way, a retrain runs,
    or a service does not land what it holds, IngestError and WriterBusy while an ingest or a build is at work,
    TableFault for a log that is damaged, and ReleaseError for a release that does not verify.
    """
    names = Names(frozenset(users))
    with no_retrain(home), alone(home), writing(home, "stillhouse forget"):
        if Ledger(home).begun():
            raise ForgetError("an ingest was interrupted; run `stillhouse ingest`, which ends it, and then this again")
        guard.check_tables(home)
        log = FeatureLog(home.online / "features")
        requests = log.of_users(names.users)
        names |= Names(names.users, requests=frozenset(requests))
        if not dry_run:
            on_progress("forget: the feature log")
            log.forget(names.users)
            wait_for_segments(home, on_progress=on_progress)

        on_progress("forget: looking for rows in every version of every table")
        copies = frozen.tables(home)
        held, names = lake.find([*guard.tables(home), *copies], names)
        found = Forgotten(
            num_requests=len(requests),
            files=lake.landed_files(home, names),
            tables=held,
            snapshots=snapshot.holding(home, names.users),
            releases=touched(held, home=home),
            left=[],
        )
        if dry_run:
            return found
        mark(found.releases, num_users=len(names.users), home=home)
        on_progress(f"forget: {len(found.files):,} landing files")
        lake.rewrite(home, found.files, names)
        delete_rows(held, copies={path for _, path in copies}, home=home, on_progress=on_progress)
        count_items_again(held, home=home, on_progress=on_progress)
        if held:
            server.stop(home)
        for one in held:
            on_progress(f"forget: {len(one.files):,} files of {one.relation}")
            lake.purge(one)
        snapshot.forget(home, names.users)
        lake.cut_truth(home, names)
        lake.clear_leftovers(home)
        on_progress("forget: looking once more")
        still, _ = lake.find([*guard.tables(home), *copies], names)
        if still:
            raise ForgetError(
                f"{', '.join(one.relation for one in still)} got new rows of theirs meanwhile: run this again"
            )
        return Forgotten(**vars(found) | {"left": sorted(lake.traces(home, names))})


@contextmanager
def no_retrain(home: Home) -> Iterator[None]:
    """Keep retrains of this machine's command line away inside the block. Raises ForgetError while one runs."""
    home.dagster.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home.dagster / RETRAINS, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ForgetError(
            "a retrain runs, which reads what is to be forgotten; wait for it and run this again"
        ) from None
    try:
        yield
    finally:
        lock.release()


def wait_for_segments(home: Home, *, on_progress: Callable[[str], None]) -> None:
    """Wait until running services have landed what they held; what those that do not run left lands now.

    What they take from now on is of nobody who was forgotten: the feature log does not know them any more.
    """
    waiting = set(land_left_behind(home))
    deadline = time.monotonic() + LANDS_WITHIN_S
    while waiting:
        on_progress(f"forget: waiting until {len(waiting)} open segments have landed")
        if time.monotonic() > deadline:
            raise ForgetError(
                f"{min(waiting)} was not landed within {LANDS_WITHIN_S:.0f} s: stop its service, then run this again"
            )
        time.sleep(LOOK_S)
        waiting &= set(land_left_behind(home))


def touched(held: Iterable[Held], *, home: Home) -> dict[str, list[str]]:
    """The releases that cannot be made again without these files, each with the inputs that lose rows.

    A release that was frozen is made from its copy.
    """
    files = {file for one in held for file in one.files}
    registry = Registry(home.releases)
    found = {}
    for release in sorted({entry.release for entry in registry.journal() if entry.event == "saved" and entry.release}):
        if not (home.releases / release).exists():
            continue
        pins = dict.fromkeys(pin_of(source) for source in registry.load(release).lineage.inputs)
        copies = frozen.copies(home, release)
        inputs = [pin.relation for pin in pins if not files.isdisjoint(_files_of(copies.get(pin, pin), home=home))]
        if inputs:
            found[release] = sorted(inputs)
    return found


def _files_of(pin: Pin, *, home: Home) -> list[Path]:
    """The data files of a pinned version, there or not; none if no log leads to it any more."""
    schema, _, name = pin.relation.partition(".")
    # A home that was moved keeps its pins.
    folder = Path(pin.path) if Path(pin.path).is_dir() else home.warehouse / f"{schema}.db" / name
    try:
        table = DeltaTable(folder, version=pin.version)
    except (DeltaError, OSError):
        return []
    return data_files(table, folder) if str(table.metadata().id) == pin.table_id else []


def mark(releases: dict[str, list[str]], *, num_users: int, home: Home) -> None:
    registry = Registry(home.releases)
    people = "somebody was" if num_users == 1 else f"{num_users} people were"
    for release, inputs in releases.items():
        reason = f"{people} forgotten, of whom it was made: rows are gone from {', '.join(inputs)}"
        registry.record_forgotten(release, reason=reason, inputs=inputs)


def delete_rows(held: list[Held], *, copies: Collection[Path], home: Home, on_progress: Callable[[str], None]) -> None:
    """Make versions without their rows the newest ones."""
    for one in held:
        if one.path in copies and one.num_rows:
            on_progress(f"forget: {one.num_rows:,} rows of {one.relation}")
            frozen.drop_rows(one.path, one.where)
    tables = [one for one in held if one.path not in copies and one.num_rows]
    if not tables:
        return
    spark = connect(home)
    unknown = {fault.path for fault in guard.unregistered(home, spark)}
    if stuck := [one.relation for one in tables if one.path in unknown]:
        raise ForgetError(
            f"{', '.join(stuck)} hold rows of theirs and are not in the catalogue: `stillhouse repair TABLE` registers "
            "one, with --remove it deletes it; then run this again"
        )
    lake.restate_loads(spark, tables)
    for one in tables:
        on_progress(f"forget: {one.num_rows:,} rows of {one.relation}")
        lake.delete(spark, one)


def count_items_again(held: Iterable[Held], *, home: Home, on_progress: Callable[[str], None]) -> None:
    """Build production's counts of items by day again, of the days of rows that went: a build counts what trailing
    features say again from the rows that are there. Nothing is built on top; what other rows say stays.
    """
    events = ("intermediate.int_exposures_deduplicated", "intermediate.int_engagements_deduplicated")
    files = {file for one in held if one.relation in events for file in one.files}
    days = sorted({part.removeprefix("day=") for file in files for part in file.parts if part.startswith("day=")})
    if not days:
        return
    on_progress(f"forget: counts of items from {days[0]} to {days[-1]}")
    command = [str(Path(sys.executable).with_name("dbt")), "run", "--target", "prod", "--select", "int_items_by_day"]
    chosen = json.dumps({"backfill_from": days[0], "backfill_to": days[-1]})
    done = subprocess.run(
        [*command, "--vars", chosen],
        cwd=PROJECT,
        env=os.environ | server.environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ForgetError(f"dbt could not count items again, run this again: {done.stdout.strip()[-1_000:]}")
