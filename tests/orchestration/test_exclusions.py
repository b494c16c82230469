"""Rows that are left out of training: by release, by window, in every use; and kept with the release."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakehouse.home import Home
from orchestration.again import plan_of
from orchestration.plan import Plan, calibration_rows, evaluation_rows, training_rows
from orchestration.retrain import settings_of
from registry import Exclusion, Registry
from tests.orchestration.small_releases import build, examples, save, write

NEITHER: dict[str, Any] = {
    "number": 4,
    "by": None,
    "at": "2026-01-20T00:00:00+00:00",
    "reason": "clicks fell",
    "release": None,
}
BAD = "2026-01-12-0badc0de"
OF_RELEASE = Exclusion(kind="release", since=None, until=None, **NEITHER | {"release": BAD})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def plan(home: Home) -> Plan:
    """A third of the rows each: of the release that was taken back, of another one, of none."""
    made, table = build(home, seed=0), examples(seed=0)
    ranked_by = pa.array([(BAD, "2026-01-05-11111111", None)[row % 3] for row in range(table.num_rows)], pa.string())
    table = table.append_column("release_id", ranked_by)
    sampled = table.append_column("negative_keep_probability", pa.array([0.5] * table.num_rows))
    sampled = sampled.append_column("recipe", pa.array([made.recipe.name] * table.num_rows))
    return replace(
        made,
        teacher=None,
        teacher_scores=None,
        examples=write(home, "marts.examples_v2", table),
        sampling=write(home, "marts.training_examples_v2", sampled),
    )


@pytest.mark.parametrize("rows", [training_rows, calibration_rows, evaluation_rows])
def test_what_a_release_logged_that_was_taken_back_is_used_for_nothing(plan: Plan, rows: object) -> None:
    def ranked_by(plan: Plan) -> list[str | None]:
        return list(rows(plan).table["release_id"].to_pylist())  # type: ignore[operator]

    before, after = ranked_by(plan), ranked_by(replace(plan, exclusions=(OF_RELEASE,)))
    assert BAD in before
    # Rows that no release of ours ranked stay.
    assert None in after
    assert after == [release for release in before if release != BAD]


def test_a_window_is_left_out_from_its_first_moment_up_to_its_last(plan: Plan) -> None:
    served = sorted(training_rows(plan).table["served_at"].to_pylist())
    since, until = served[3], served[len(served) // 2]
    window = Exclusion(kind="window", since=since.isoformat(), until=until.isoformat(), **NEITHER)
    left = training_rows(replace(plan, exclusions=(window,))).table["served_at"].to_pylist()
    assert sorted(left) == [moment for moment in served if not since <= moment < until]
    assert 0 < len(left) < len(served)


def test_a_release_keeps_what_was_left_out_of_it(home: Home) -> None:
    made = build(home, seed=0)
    release = save(home, made)
    assert plan_of(Registry(home.releases).load(release), home=home).exclusions == ()
    assert Exclusion(**settings_of(replace(made, exclusions=(OF_RELEASE,)))["exclusions"][0]) == OF_RELEASE
