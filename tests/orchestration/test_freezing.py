"""What releases need, and freezing one: over tables written by delta-rs and releases with real lineages; no JVM."""

from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse import frozen
from lakehouse.home import Home
from lakehouse.vacuum import vacuum
from lakehouse.versions import PinError, fault, read
from orchestration.again import plan_of
from orchestration.freezing import check_sources, freeze
from orchestration.retention import needs
from registry import Registry, ReleaseError
from tests.orchestration.small_releases import ROWS_A_DAY, TEACHER, build, examples, inputs_of, save


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def say_nothing(_: str) -> None:
    pass


def test_each_release_names_what_it_needs_and_whether_it_is_there(home: Home) -> None:
    first, second = save(home, build(home, seed=1)), save(home, build(home, seed=2))
    found = needs(home)
    assert [(need.release, need.standing) for need in found] == [(first, "rollback")] * 3 + [(second, "production")] * 3
    by_relation = {need.pin.relation: need for need in found[3:]}
    days = {"marts.training_examples": 14, "ops.teacher_scores": 14, "marts.examples_v1": 14}
    assert {name: need.rows for name, need in by_relation.items()} == {
        name: num_days * ROWS_A_DAY for name, num_days in days.items()
    }
    assert all(need.fault is None and need.is_kept for need in found)
    kept = {need.pin for need in found if need.release == first}
    vacuum(home, keep=kept, older_than_days=0)
    assert all(need.fault is None for need in needs(home))


def test_what_a_reverted_release_needs_is_not_kept(home: Home) -> None:
    first, second = save(home, build(home, seed=1)), save(home, build(home, seed=2))
    Registry(home.releases).revert(reason="clicks fell")
    assert {(need.release, need.is_kept) for need in needs(home)} == {(first, True), (second, False)}


def test_a_release_that_does_not_verify_stops_whoever_asks(home: Home) -> None:
    release = save(home, build(home, seed=1))
    (home.releases / release / "spec.json").write_bytes(b"[]")
    with pytest.raises(ReleaseError, match=r"spec\.json was changed"):
        needs(home)


def test_a_frozen_release_reads_its_exact_rows_after_its_versions_are_gone(home: Home) -> None:
    release = save(home, build(home, seed=1))
    artifact = Registry(home.releases).load(release)
    folder = freeze(release, home=home, on_progress=say_nothing)
    assert freeze(release, home=home, on_progress=say_nothing) == folder
    build(home, seed=2)
    assert not any(need.is_kept for need in needs(home))
    assert plan_of(artifact, home=home).examples.path == str(home.warehouse / "marts.db" / "examples_v1")
    vacuum(home, keep=[need.pin for need in needs(home) if need.is_kept], older_than_days=0)
    assert all(need.fault is not None and need.copy is not None for need in needs(home))

    again = plan_of(artifact, home=home)
    assert Path(again.sampling.path).parent == folder
    check_sources(artifact, again)
    # Exactly what was used, with every column: two weeks of training, one that calibrates, one that evaluates.
    assert read(again.sampling).num_rows == 14 * ROWS_A_DAY
    assert read(again.examples).column_names == examples(seed=1).column_names
    assert read(again.examples).num_rows == 14 * ROWS_A_DAY
    assert again.teacher_scores is not None
    assert set(read(again.teacher_scores)["release_id"].to_pylist()) == {TEACHER}


def test_without_a_copy_a_release_whose_versions_are_gone_says_so(home: Home) -> None:
    release = save(home, build(home, seed=1))
    build(home, seed=2)
    vacuum(home, keep=[], older_than_days=0)
    assert fault(plan_of(Registry(home.releases).load(release), home=home).examples) is not None
    with pytest.raises(PinError, match="it was vacuumed"):
        freeze(release, home=home, on_progress=say_nothing)
    assert frozen.copies(home, release) == {}


def test_rows_that_are_not_those_of_the_lineage_are_not_frozen(home: Home) -> None:
    plan = build(home, seed=1)
    training, *others = inputs_of(plan)
    release = save(home, plan, inputs=(replace(training, content_hash="00"), *others))
    with pytest.raises(ReleaseError, match=r"is not frozen: the rows of marts\.training_examples are not those"):
        freeze(release, home=home, on_progress=say_nothing)
    assert list((home.lake / "frozen").iterdir()) == []
