"""The first two retrains of MovieLens, as a person runs it: killed on the way, finished, and then looked at.

The trainer is killed with SIGKILL, and the same command is run again. What comes out must be what an undisturbed run
gives: every row once, valid releases, the same weights. dbt and the lake are killed during a build in
tests/models/test_incremental.py, the lake during an ingest in test_ingest.py.
"""

import html
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lakehouse.home import Home
from lakehouse.versions import Pin, pin, read
from registry import Registry
from tests import small_lake

pytestmark = [pytest.mark.lake, pytest.mark.slow]
STILLHOUSE = Path(sys.executable).parent / "stillhouse"
PATIENCE_S = 900


class Stillhouse:
    """The command line on a home of its own."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root / "home")
        self.build = root / "build"
        cache = Path.home() / ".cache" / "stillhouse" / "downloads"
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "DBT_", "DAGSTER_"))
        }
        self.environment = {"STILLHOUSE_DOWNLOADS": str(cache)} | kept | {"STILLHOUSE_HOME": str(self.home.root)}
        # Spark works as it does for a user; the other tests' lakes do not compile their queries.
        options = os.environ[small_lake.VARIABLE].split()
        self.environment[small_lake.VARIABLE] = " ".join(
            each for each in options if each not in small_lake.SPARK_OPTIONS
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [STILLHOUSE, *arguments], env=self.environment, capture_output=True, text=True, timeout=PATIENCE_S
        )

    def demo(self) -> list[str]:
        return [str(STILLHOUSE), "demo", "--data", "movielens", "--retrains", "2", "--build", str(self.build)]

    def kill_demo_at(self, moment: str) -> None:
        """Run the demo until it says `moment`, and kill it."""
        with subprocess.Popen(self.demo(), env=self.environment, stderr=subprocess.PIPE, text=True) as running:
            assert running.stderr is not None
            said = []
            for line in running.stderr:
                said.append(line)
                if moment in line:
                    running.kill()
                    return
            pytest.fail(f"the demo ended without saying {moment!r}:\n{''.join(said)}")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stillhouse]:
    """A home whose demo was killed and then ran to its end."""
    stillhouse = Stillhouse(tmp_path_factory.mktemp("end-to-end"))
    try:
        stillhouse.kill_demo_at("train:")
        done = stillhouse.run(*stillhouse.demo()[1:])
        assert done.returncode == 0, done.stderr
        yield stillhouse
    finally:
        stillhouse.run("down")


@pytest.fixture
def rows(finished: Stillhouse) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = json.loads((finished.build / "demo.json").read_text())
    return content


def test_two_weeks_were_judged_and_the_second_learnt_from_the_first(rows: list[dict[str, Any]]) -> None:
    assert [row["verdict"] for row in rows] == ["pass", "pass"]
    assert rows[0]["teacher"] is None
    assert rows[1]["teacher"] == rows[0]["release"]
    assert rows[0]["churn"] is None
    assert rows[1]["churn"] > 0
    assert all(row["auc"] > 0.7 for row in rows)


def test_every_landed_line_stands_in_raw_once(finished: Stillhouse) -> None:
    for stream in ("exposures", "engagements", "items", "users"):
        landed = sum(len(path.read_bytes().splitlines()) for path in (finished.home.landing / stream).rglob("*.jsonl"))
        table = read(pin(f"raw.{stream}", home=finished.home), columns=["payload_hash"])
        assert table.num_rows == landed
        assert len(set(table["payload_hash"].to_pylist())) == landed


def test_every_example_and_every_teacher_score_stands_once(finished: Stillhouse) -> None:
    examples = read(pin("marts.examples_v1", home=finished.home), columns=["event_id"])["event_id"].to_pylist()
    assert len(examples) == len(set(examples)) > 30_000
    scores = read(pin("ops.teacher_scores", home=finished.home), columns=["release_id", "event_id"]).to_pylist()
    assert len(scores) == len({(row["release_id"], row["event_id"]) for row in scores}) > 0


def test_the_week_whose_trainer_was_killed_was_not_built_a_second_time(finished: Stillhouse) -> None:
    builds = read(pin("monitoring.builds", home=finished.home), columns=["event"])["event"].to_pylist()
    assert builds.count("complete") == 2


def test_each_release_names_its_inputs_exactly_and_they_can_be_read(
    finished: Stillhouse, rows: list[dict[str, Any]]
) -> None:
    registry = Registry(finished.home.releases)
    for row in rows:
        for source in registry.load(row["release"]).lineage.inputs:
            named = Pin(relation=source.relation, path=source.path, table_id=source.table_id, version=source.version)
            assert read(named).num_rows >= source.rows > 0


def test_the_first_release_trains_to_the_same_weights_after_more_data_has_landed(
    finished: Stillhouse, rows: list[dict[str, Any]]
) -> None:
    again = finished.run("retrain", "--like", rows[0]["release"])
    assert again.returncode == 0, again.stdout + again.stderr
    assert "the same weights again" in again.stdout


def test_a_release_with_a_teacher_trains_to_the_same_weights_too(
    finished: Stillhouse, rows: list[dict[str, Any]]
) -> None:
    again = finished.run("retrain", "--like", rows[1]["release"])
    assert again.returncode == 0, again.stdout + again.stderr


def test_decisions_and_releases_are_rows_that_sql_sees(finished: Stillhouse, rows: list[dict[str, Any]]) -> None:
    query = "select release_id, status from ops.gate_decisions where criterion = 'overall' order by release_id"
    answer = finished.run("sql", query, "--format", "json")
    assert [json.loads(line)["release_id"] for line in answer.stdout.splitlines()] == [row["release"] for row in rows]
    promoted = finished.run("sql", "select count(*) as n from ops.releases where event = 'promoted'", "--format", "csv")
    assert promoted.stdout.split() == ["n", "2"]


def test_two_releases_are_compared_by_segment_feature_and_table(
    finished: Stillhouse, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    first, second = (row["release"] for row in rows)
    shown = finished.run("compare", first, second, "--picture", str(tmp_path / "segments.png"))
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for words in (first, second, "auc of click", "user_segment=", "marts.examples_v1", "trained until"):
        assert words in shown.stdout
    assert (tmp_path / "segments.png").read_bytes().startswith(b"\x89PNG")


def test_every_criterion_of_a_release_can_be_read(finished: Stillhouse, rows: list[dict[str, Any]]) -> None:
    shown = finished.run("gate", "show", rows[1]["release"]).stdout
    for words in ("click: AUC gain", "serving: without a feature", f"{rows[1]['release']}: pass"):
        assert words in shown
    refused = finished.run("gate", "override", rows[1]["release"], "--as", "me", "--because", "a test")
    assert (refused.returncode, "in production already" in refused.stderr) == (1, True)


def test_each_release_holds_its_card_and_one_command_shows_it_with_what_happened_since(
    finished: Stillhouse, rows: list[dict[str, Any]]
) -> None:
    first, second = (Registry(finished.home.releases).load(row["release"]) for row in rows)
    for release in (first, second):
        page = html.unescape(release.files["card.html"].decode())
        for criterion in release.json("gate.json")["criteria"]:
            assert criterion["reason"] in page
        for source in release.lineage.inputs:
            assert source.content_hash in page
    assert first.id in second.files["card.html"].decode()
    shown = finished.run("release", first.id)
    assert shown.returncode == 0, shown.stderr
    for words in (f"{first.id}: pass, now rollback", f"by {second.id}", "taught", first.lineage.inputs[0].content_hash):
        assert words in shown.stdout


def test_a_release_is_judged_the_same_after_more_data_has_landed(
    finished: Stillhouse, rows: list[dict[str, Any]]
) -> None:
    for row in rows:
        again = finished.run("gate", "again", row["release"])
        assert again.returncode == 0, again.stdout + again.stderr
        assert "the same decision" in again.stdout


def test_production_is_the_second_release_until_it_is_reverted(
    finished: Stillhouse, rows: list[dict[str, Any]]
) -> None:
    assert json.loads(finished.run("production", "--json").stdout)["production"] == rows[1]["release"]
    assert finished.run("revert", "--because", "a test").returncode == 0
    assert json.loads(finished.run("production", "--json").stdout)["production"] == rows[0]["release"]
    assert finished.run("verify", rows[0]["release"]).returncode == 0
