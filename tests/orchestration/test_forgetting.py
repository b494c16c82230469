"""People forgotten on a real lake: killed on the way, then nowhere to be found; everybody else as before."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from cli.main import stillhouse
from lakehouse import guard, ops, server
from lakehouse.home import Home
from lakehouse.ingest import ingest
from lakehouse.session import connect
from lakehouse.versions import Pin, pin, read
from online.collector.events import Unfit
from online.collector.keeping import quarantine_line
from online.feature_log import FeatureLog
from orchestration import forgetting
from orchestration.again import train_again
from orchestration.forgetting import Forgotten
from orchestration.freezing import freeze
from orchestration.retention import needs
from registry import Registry, ReleaseError
from tests.online.small_service import publish_states
from tests.online.test_feature_log import request
from tests.orchestration import small_releases
from tests.written import written

pytestmark = pytest.mark.lake

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
MEI, TOM = "mei-314159", "tom-271828"


def exposure(user: str, number: int, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": f"{user}/r{number}/i1",
        "request_id": f"{user}/r{number}",
        "user_id": user,
        "item_id": "i1",
        "position": 1,
        "surface": "home",
        "served_at": "2026-01-31T12:00:00Z",
        "impressed": True,
        "traffic": "policy",
        "release_id": None,
        "propensity": None,
        "logging_probability": 0.1,
        "logging_draw": 0.05,
        "score": 0.25,
        "features": {"affinity": number},
        "features_as_of": None,
    } | changes


def land(home: Home, stream: str, name: str, rows: list[Any]) -> None:
    folder = home.landing / stream
    folder.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows]
    (folder / name).write_bytes(b"".join(lines))


def land_a_small_log(home: Home) -> None:
    """Two files of exposures, the second with duplicates and lines of every kind that is quarantined, and states."""
    first = [exposure(user, number) for number in range(3) for user in (MEI, TOM)]
    land(home, "exposures", "day-1.jsonl", first)
    broken = [
        exposure(MEI, 9, position=0),
        exposure(TOM, 9, position=0),
        quarantine_line("unfit_event", Unfit(f'{{"who": "{MEI}"}}'.encode(), "no event")),
        quarantine_line("unfit_event", Unfit(b'{"who": "nobody"}', "no event")),
        quarantine_line("unknown_item", Unfit(f'{{"request_id": "{MEI}/r1"}}'.encode(), "unknown_item")),
        f"{MEI};{TOM}\n".encode(),
    ]
    land(home, "exposures", "day-2.jsonl", [first[0], first[1], exposure(MEI, 5), *broken, exposure(TOM, 5)])
    states = [{"user_id": user, "updated_at": "2026-01-01T00:00:00Z", "attributes": {}} for user in (MEI, TOM)]
    land(home, "users", "states.jsonl", states)
    # What a collector left that was killed.
    left = json.dumps(exposure(MEI, 6)).encode() + b"\n" + json.dumps(exposure(TOM, 6)).encode() + b"\n{"
    land(home, "exposures", ".collector-0-17.open", [left])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("forgetting").resolve())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILLHOUSE_HOME", str(home.root))
        patch.setenv("STILLHOUSE_MEMORY", "1500m")
        for name in ("STILLHOUSE_CONNECT_PORT", "STILLHOUSE_JDBC_PORT", "SPARK_REMOTE"):
            patch.delenv(name, raising=False)
        yield home
        server.stop(home)


@dataclass(frozen=True)
class Case:
    """A home in which Mei was forgotten, what each table held before, and its releases: made without her, made of her
    rows, and made of them and frozen."""

    home: Home
    before: dict[str, pa.Table]
    without: str
    of_hers: str
    frozen: str
    dry: Forgotten
    done: Forgotten


def write_in_spark(home: Home, relation: str, table: pa.Table, *, partition_by: list[str] | None = None) -> Pin:
    """A new version of a table, as small_releases has it written."""
    schema, _, _ = relation.partition(".")
    spark = connect(home)
    spark.sql(f"create schema if not exists {schema}")
    with ops._handed_over(spark, table, home=home) as rows:
        rows.write.format("delta").mode("overwrite").partitionBy(*partition_by or ()).saveAsTable(relation)
    return pin(relation, home=home)


def with_mei(table: pa.Table) -> pa.Table:
    """The same with Mei in the place of a user."""
    if "user_id" not in table.column_names:
        return table
    names = pc.if_else(pc.equal(table["user_id"], "u3"), MEI, table["user_id"])
    return table.set_column(table.column_names.index("user_id"), "user_id", names)


def at_another_time(table: pa.Table) -> pa.Table:
    """The same with events of other names."""
    names = pc.binary_join_element_wise("before", table["event_id"], "-")
    return table.set_column(table.column_names.index("event_id"), "event_id", names)


def release(home: Home, *, seed: int, change: Callable[[pa.Table], pa.Table]) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            small_releases,
            "write",
            lambda home, relation, table, **how: write_in_spark(home, relation, change(table), **how),
        )
        return small_releases.save(home, small_releases.build(home, seed=seed))


def newest(home: Home) -> dict[str, pa.Table]:
    return {relation: read(pin(relation, home=home)) for relation, _ in guard.tables(home)}


class KilledError(BaseException):
    """Not an Exception: nothing on the way may take it for one."""


def killed_at(call: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, until it is called for the n-th time."""
    left = iter(range(call - 1))

    def dying(*arguments: Any, **named: Any) -> Any:
        if next(left, None) is None:
            raise KilledError
        return function(*arguments, **named)

    return dying


@pytest.fixture(scope="module")
def case(home: Home) -> Case:
    land_a_small_log(home)
    ingest(home, now=NOW)
    without, of_hers, frozen = (
        release(home, seed=seed, change=change) for seed, change in ((1, at_another_time), (2, with_mei), (3, with_mei))
    )
    freeze(frozen, home=home, on_progress=say_nothing)
    FeatureLog(home.online / "features").write([request("r-77", user=MEI), request("r-78", user=TOM)])
    publish_states(home, name_user=lambda name: MEI if name == "u3" else name)
    before = newest(home)

    dry = forgetting.forget({MEI}, home=home, on_progress=say_nothing, dry_run=True)
    # Killed while landing files are replaced, while rows are deleted, and while files are.
    for function, call in (("rewrite", 1), ("delete", 3), ("purge", 2), ("cut_truth", 1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(forgetting.lake, function, killed_at(call, getattr(forgetting.lake, function)))
            with pytest.raises(KilledError):
                forgetting.forget({MEI}, home=home, on_progress=say_nothing)
    done = forgetting.forget({MEI}, home=home, on_progress=say_nothing)
    return Case(home, before, without, of_hers, frozen, dry, done)


def say_nothing(_: str) -> None:
    pass


def test_a_dry_run_says_what_goes(case: Case) -> None:
    rows = {held.relation: held.num_rows for held in case.dry.tables if "frozen" not in held.path.parts}
    assert rows == {
        "marts.examples_v1": 31,
        "marts.training_examples": 31,
        "ops.teacher_scores": 31,
        "raw.exposures": 4,
        "raw.quarantine": 4,
        "raw.users": 1,
    }
    assert (case.dry.num_requests, sum(file.num_lines for file in case.dry.files)) == (1, 10)
    assert len(case.dry.snapshots) == 1


def test_nothing_names_who_was_forgotten_or_what_she_did(case: Case) -> None:
    hers = set(case.before["marts.examples_v1"].filter(pc.field("user_id") == MEI)["event_id"].to_pylist())
    assert len(hers) > 20
    words = re.compile(rf"{MEI}|r-77|(?<![\w-])(?:{'|'.join(hers)})(?!\w)")
    assert [str(path) for path, text in written(case.home.root) if words.search(text)] == []
    assert case.done.left == []


def test_everybody_else_s_rows_are_as_they_were(case: Case) -> None:
    hers = set(case.before["marts.examples_v1"].filter(pc.field("user_id") == MEI)["event_id"].to_pylist())
    for relation, after in newest(case.home).items():
        before = case.before[relation]
        if relation in ("ops.ingest_loads", "raw.quarantine"):
            continue
        if "user_id" in before.column_names:
            before = before.filter(pc.field("user_id") != MEI)
        elif "event_id" in before.column_names:
            before = before.filter(~pc.field("event_id").isin(sorted(hers)))
        assert counted(after) == counted(before), relation
    assert list(FeatureLog(case.home.online / "features").read(["r-77", "r-78"])) == ["r-78"]


def counted(table: pa.Table) -> Counter[str]:
    return Counter(map(str, table.to_pylist()))


def test_a_deletion_keeps_the_order_of_the_rows_in_a_file(case: Case) -> None:
    newest = DeltaTable(case.home.warehouse / "marts.db" / "training_examples")
    (file,) = newest.file_uris()
    before = case.before["marts.training_examples"].filter(pc.field("user_id") != MEI)["event_id"].to_pylist()
    assert pa.parquet.read_table(file)["event_id"].to_pylist() == before


def test_what_is_left_of_a_log_adds_up_and_is_not_loaded_again(case: Case) -> None:
    assert ingest(case.home, now=NOW).stream("exposures").landed == 1, "the line that a killed collector left"
    again = ingest(case.home, now=NOW)
    assert (again.landed, [stream.waiting for stream in again.streams if stream.waiting]) == (0, [])
    tables = newest(case.home)
    for load in tables["ops.ingest_loads"].to_pylist():
        assert load["landed"] == load["loaded"] + load["duplicate"] + load["quarantined"]
        assert sum(dict(load["reasons"]).values()) == load["quarantined"]
    totals = Counter[tuple[str, str]]()
    for load in tables["ops.ingest_loads"].to_pylist():
        for fate in ("loaded", "quarantined"):
            totals[load["stream"], fate] += load[fate]
    assert totals["exposures", "loaded"] == tables["raw.exposures"].num_rows == 5
    assert totals["exposures", "quarantined"] == tables["raw.quarantine"].num_rows == 2
    assert totals["users", "loaded"] == tables["raw.users"].num_rows == 1


def test_releases_that_were_made_of_her_are_neither_made_nor_judged_again(case: Case) -> None:
    registry = Registry(case.home.releases)
    assert set(registry.forgotten()) == {case.of_hers, case.frozen} == set(case.dry.releases)
    assert sum(entry.event == "forgotten" for entry in registry.journal()) == 2
    for release in (case.of_hers, case.frozen):
        for again in (train_again, freeze):
            with pytest.raises(ReleaseError, match="somebody was forgotten, of whom it was made: rows are gone from"):
                again(release, home=case.home, on_progress=say_nothing)
        assert registry.load(release).id == release, "it goes on serving"
    assert {(need.release, need.is_kept) for need in needs(case.home) if need.forgotten} == {
        (case.of_hers, False),
        (case.frozen, False),
    }


def test_a_release_that_was_made_without_her_can_still_be_made_again(case: Case) -> None:
    kept = [need for need in needs(case.home) if need.release == case.without]
    assert len(kept) == 3
    assert all(need.fault is None and need.is_kept for need in kept)
    assert read(kept[0].pin).num_rows == case.before["marts.training_examples"].num_rows


def test_the_command_says_that_nothing_is_left_and_shows_the_mark(case: Case) -> None:
    again = CliRunner().invoke(stillhouse, ["forget", MEI])
    assert (again.exit_code, again.stdout) == (0, "Nothing is kept of them.\n"), again.output
    assert (
        f'"forgotten": "{datetime.now(UTC):%Y-%m-%d}"' in CliRunner().invoke(stillhouse, ["versions", "--json"]).output
    )
    assert "forgotten" in CliRunner().invoke(stillhouse, ["release", case.of_hers]).output


def test_an_open_segment_of_a_running_service_is_waited_for(
    home: Home, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([[Path("one"), Path("two")], [Path("two")], [Path("later")]])
    monkeypatch.setattr(forgetting, "land_left_behind", lambda _: next(answers))
    monkeypatch.setattr(forgetting, "LOOK_S", 0.0)
    said: list[str] = []
    forgetting.wait_for_segments(home, on_progress=said.append)
    assert [line for line in said if "waiting until" in line] == [
        "forget: waiting until 2 open segments have landed",
        "forget: waiting until 1 open segments have landed",
    ]
    monkeypatch.setattr(forgetting, "LANDS_WITHIN_S", -1.0)
    monkeypatch.setattr(forgetting, "land_left_behind", lambda _: [Path("one")])
    with pytest.raises(forgetting.ForgetError, match=r"one was not landed within .* stop its service"):
        forgetting.wait_for_segments(home, on_progress=said.append)
