"""Promoting, reverting and who teaches; two publishers; and a registry that agrees with itself after any kill."""

import random
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from registry import Registry, ReleaseError, pointer
from tests.registry.conftest import Build, build_release

DAYS = ("1998-01-05", "1998-01-12", "1998-01-19")


def publish(registry: Registry, build: Build, partition: str, value: int = 1) -> str:
    files, lineage = build(partition, value)
    saved = registry.save(files, lineage=lineage)
    registry.promote(saved.id, expected_version=registry.pointer().version, reason="the gate passed")
    return saved.id


def test_nothing_is_in_production_before_the_first_release(registry: Registry) -> None:
    assert registry.production() is None
    assert registry.teacher() is None
    assert registry.journal() == []
    assert not registry.root.exists()  # looking writes nothing
    with pytest.raises(ReleaseError, match="nothing was released yet"):
        registry.revert(reason="in a hurry")


def test_a_promotion_moves_the_pointer_and_is_journaled_with_its_reason(registry: Registry, build: Build) -> None:
    first, second = (publish(registry, build, day) for day in DAYS[:2])
    assert registry.production() == second
    assert registry.pointer().version == 2
    assert registry.teacher() == second
    last = registry.journal()[-1]
    assert (last.event, last.release, last.reason) == ("promoted", second, "the gate passed")
    assert last.details["previous"] == first
    assert [entry.event for entry in registry.journal()] == ["saved", "promoted", "saved", "promoted"]


def test_of_two_overlapping_retrains_only_one_promotes(registry: Registry, build: Build) -> None:
    publish(registry, build, DAYS[0])
    seen = registry.pointer().version
    one, two = (registry.save(files, lineage=lineage).id for files, lineage in (build(DAYS[1], 1), build(DAYS[1], 2)))
    registry.promote(one, expected_version=seen, reason="first")
    with pytest.raises(ReleaseError, match="judged on pointer version 1, which is now 2"):
        registry.promote(two, expected_version=seen, reason="second")
    assert registry.production() == one


def test_promoting_what_is_in_production_changes_nothing(registry: Registry, build: Build) -> None:
    release = publish(registry, build, DAYS[0])
    assert registry.promote(release, expected_version=0, reason="run again after a kill").version == 1
    assert len(registry.journal()) == 2


def test_a_backfill_never_moves_production(registry: Registry, build: Build) -> None:
    production = publish(registry, build, DAYS[1])
    with pytest.raises(ReleaseError, match="a backfill never moves production"):
        publish(registry, build, DAYS[0])
    assert registry.production() == production


def test_what_the_gate_did_not_pass_is_not_promoted(registry: Registry, build: Build) -> None:
    files, lineage = build(**{"gate.json": b'{"verdict": "needs-a-person"}'})
    blocked = registry.save(files, lineage=lineage).id
    with pytest.raises(ReleaseError, match="its gate said needs-a-person"):
        registry.promote(blocked, expected_version=0, reason="please")


def test_a_person_overrules_the_gate_and_it_is_kept_who_and_why(registry: Registry, build: Build) -> None:
    publish(registry, build, DAYS[0])
    files, lineage = build(DAYS[1], 2, **{"gate.json": b'{"verdict": "block"}'})
    blocked = registry.save(files, lineage=lineage).id
    for by, reason in (("", "it is fine"), ("Mei", " ")):
        with pytest.raises(ReleaseError, match="the name of who takes it upon themselves, and why"):
            registry.override(blocked, by=by, reason=reason)
    moved = registry.override(blocked, by="Mei", reason="the segment was renamed")
    assert (moved.production, moved.version) == (blocked, 2)
    assert moved.reason == "block, overridden by Mei: the segment was renamed"
    kept = registry.overridden()[blocked]
    assert (kept.reason, kept.details) == ("the segment was renamed", {"by": "Mei", "verdict": "block"})
    assert [entry.event for entry in registry.journal()[-2:]] == ["overridden", "promoted"]
    assert registry.teacher() == blocked


def test_only_what_the_gate_refused_and_may_follow_production_is_overridden(registry: Registry, build: Build) -> None:
    def saved(day: str, value: int, **verdict: bytes) -> str:
        files, lineage = build(day, value, **verdict)
        return registry.save(files, lineage=lineage).id

    refused, passed = {"gate.json": b'{"verdict": "block"}'}, {"gate.json": b'{"verdict": "pass"}'}
    live = publish(registry, build, DAYS[1])
    cases = {
        live: "is in production already",
        saved(DAYS[2], 3, **passed): "was passed by its gate: there is nothing to override",
        saved(DAYS[2], 4): "was never judged",
        saved(DAYS[0], 5, **refused): "a backfill never moves production",
    }
    for release, why in cases.items():
        with pytest.raises(ReleaseError, match=why):
            registry.override(release, by="Mei", reason="please")
    assert registry.overridden() == {}
    taken_back = saved(DAYS[2], 6, **refused)
    registry.override(taken_back, by="Mei", reason="please")
    registry.revert(reason="clicks fell")
    with pytest.raises(ReleaseError, match="it was reverted on"):
        registry.override(taken_back, by="Mei", reason="again")


def test_an_override_that_was_killed_before_the_pointer_moved_goes_on(
    registry: Registry, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, lineage = build(**{"gate.json": b'{"verdict": "needs-a-person"}'})
    release = registry.save(files, lineage=lineage).id
    with monkeypatch.context() as killed:
        killed.setattr(pointer, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registry.override(release, by="Mei", reason="looked at it")
    assert registry.production() is None
    assert registry.override(release, by="Mei", reason="looked at it").production == release
    assert [entry.event for entry in registry.journal()] == ["saved", "overridden", "promoted"]


def test_a_tampered_release_is_neither_promoted_nor_reverted_to(registry: Registry, build: Build) -> None:
    first, second = (publish(registry, build, day) for day in DAYS[:2])
    (registry.root / first / "calibrator.json").write_bytes(b'{"slope": 2.0}')
    with pytest.raises(ReleaseError, match=r"calibrator\.json was changed"):
        registry.revert(reason="second is bad")
    assert registry.production() == second
    assert registry.pointer().version == 2


def test_revert_goes_to_the_last_good_one_and_marks_the_one_taken_back(registry: Registry, build: Build) -> None:
    first, second, third = (publish(registry, build, day) for day in DAYS)
    registry.revert(reason="clicks fell")
    assert registry.production() == second
    assert registry.teacher() == second
    assert registry.reverted()[third].reason == "clicks fell"
    registry.revert(reason="that was not it")
    assert registry.production() == first
    with pytest.raises(ReleaseError, match="no good release before"):
        registry.revert(reason="still not")


def test_a_reverted_release_is_promoted_by_nobody_but_a_person_can_restore_it(registry: Registry, build: Build) -> None:
    first, second = (publish(registry, build, day) for day in DAYS[:2])
    registry.revert(reason="clicks fell")
    with pytest.raises(ReleaseError, match=r"it was reverted on .* \(clicks fell\)"):
        registry.promote(second, expected_version=registry.pointer().version, reason="the schedule ran again")
    registry.revert(to=second, reason="the fault was elsewhere")
    assert registry.production() == second
    assert registry.teacher() is None  # both were taken back once: neither teaches by default
    assert set(registry.reverted()) == {first, second}


def test_revert_refuses_a_release_that_never_was_in_production(registry: Registry, build: Build) -> None:
    publish(registry, build, DAYS[0])
    files, lineage = build(DAYS[0], 9)
    blocked = registry.save(files, lineage=lineage).id
    with pytest.raises(ReleaseError, match="was never in production"):
        registry.revert(to=blocked, reason="the gate was too strict")


def test_a_partition_trained_again_does_not_learn_from_itself(registry: Registry, build: Build) -> None:
    first, second = (publish(registry, build, day) for day in DAYS[:2])
    assert registry.teacher(before=DAYS[2]) == second
    assert registry.teacher(before=DAYS[1]) == first
    assert registry.teacher(before=DAYS[0]) is None


def test_a_gate_verdict_is_journaled_once(registry: Registry, build: Build) -> None:
    files, lineage = build()
    release = registry.save(files, lineage=lineage).id
    for _ in range(2):
        registry.record_gate(release, verdict="block", reason="AUC: .49")
    gates = [entry for entry in registry.journal() if entry.event == "gate"]
    assert [(entry.release, entry.details["verdict"], entry.reason) for entry in gates] == [
        (release, "block", "AUC: .49")
    ]


def test_a_folder_swapped_for_another_release_is_refused_by_the_journal(registry: Registry, build: Build) -> None:
    release = publish(registry, build, DAYS[0])
    path = registry.root / "journal.jsonl"
    remembered = next(entry.details["manifest"] for entry in registry.journal() if entry.event == "saved")
    path.write_text(path.read_text().replace(remembered, "0" * 64))
    with pytest.raises(ReleaseError, match="not the one that was saved"):
        registry.load(release)


def test_a_torn_last_line_is_cut_off_kept_and_said_again(registry: Registry, build: Build) -> None:
    release = publish(registry, build, DAYS[0])
    path = registry.root / "journal.jsonl"
    whole = path.read_bytes()
    last_line_starts = whole[:-1].rfind(b"\n") + 1
    for cut in (last_line_starts + 1, (last_line_starts + len(whole)) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert [entry.event for entry in registry.journal()] == ["saved", "promoted"]  # read through the tear
        registry.record_gate(release, verdict="pass", reason="all pass")
        entries = registry.journal()
        assert [entry.event for entry in entries] == ["saved", "repaired", "promoted", "gate"]
        assert entries[1].details["torn"] == whole[last_line_starts:cut].decode()
        assert [entry.number for entry in entries] == [1, 2, 3, 4]


def test_a_line_lost_from_the_middle_is_noticed(registry: Registry, build: Build) -> None:
    publish(registry, build, DAYS[0])
    publish(registry, build, DAYS[1])
    path = registry.root / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1] + lines[2:]))
    with pytest.raises(ReleaseError, match="line 2 is entry 3"):
        registry.journal()


def test_a_kill_between_pointer_and_journal_loses_nothing(
    registry: Registry, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, lineage = build()
    release = registry.save(files, lineage=lineage).id
    with monkeypatch.context() as patch:
        patch.setattr(Registry, "_note_pointer", lambda self: None)
        registry.promote(release, expected_version=0, reason="the gate passed")
    assert "promoted" not in (registry.root / "journal.jsonl").read_text()
    owed = registry.journal()[-1]
    registry.record_gate(release, verdict="pass", reason="all pass")
    assert registry.journal()[1] == owed
    assert (owed.event, owed.release) == ("promoted", release)


def publish_for_ever(root: Path, value: int) -> None:
    """Save, judge and promote one release after the other; take every fifth back."""
    registry = Registry(root)
    while True:
        value += 1
        files, lineage = build_release("1998-01-05", value % 250)
        saved = registry.save(files, lineage=lineage)
        if saved.id in registry.reverted():
            continue
        registry.record_gate(saved.id, verdict="pass", reason="all pass")
        registry.promote(saved.id, expected_version=registry.pointer().version, reason=f"value {value}")
        if value % 5 == 0:
            registry.revert(reason=f"value {value} is bad")


def test_forty_kills_of_a_publisher_leave_pointer_and_journal_in_agreement(registry: Registry) -> None:
    draw = random.Random(7)
    changes = 0
    for kill in range(40):
        publisher = get_context("fork").Process(target=publish_for_ever, args=(registry.root, 6 * kill))
        publisher.start()
        time.sleep(draw.uniform(0.01, 0.25))
        publisher.kill()
        publisher.join()
        assert publisher.exitcode == -signal.SIGKILL  # it was at work, not ended by an error

        now = pointer.read(registry.root)
        moves = [entry for entry in registry.journal() if entry.event in ("promoted", "reverted")]
        assert [entry.details["pointer_version"] for entry in moves] == list(range(1, now.version + 1))
        assert now.version >= changes
        changes = now.version
        if now.production is not None:
            assert moves[-1].release == now.production
            registry.verify(now.production)
    assert changes > 10  # the kills hit work, not only its start

    survivors = [path.name for path in registry.root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    production = registry.production()
    assert production is not None
    registry.record_gate(production, verdict="pass", reason="after the last kill")
    assert not list(registry.root.glob(".saving-*"))
    saved = [entry.release or "" for entry in registry.journal() if entry.event == "saved"]
    assert sorted(saved) == sorted(survivors)  # each once
    for release in survivors:
        registry.verify(release)
