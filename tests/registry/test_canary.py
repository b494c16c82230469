"""A canary's way through the pointer, who is held out from what, and the journal that tells of both."""

from dataclasses import replace

import pytest

from registry import Holdouts, Pointer, Registry, ReleaseError, journal, moves
from registry.pointer import NOTHING
from registry.standing import standings
from tests.registry.conftest import Build

DAYS = ("1998-01-05", "1998-01-12", "1998-01-19", "1998-01-26", "1998-02-02", "1998-02-09")
HOLDOUTS = Holdouts(share=0.05, long_share=0.01)


def saved(registry: Registry, build: Build, day: str) -> str:
    files, lineage = build(day, DAYS.index(day))
    return registry.save(files, lineage=lineage).id


def with_canary(registry: Registry, build: Build) -> tuple[str, str]:
    """One in production, its successor the canary."""
    live, next_one = (saved(registry, build, day) for day in DAYS[:2])
    registry.promote(live, expected_version=0, reason="the first")
    registry.start_canary(next_one, share=0.01, expected_version=1, reason="the gate passed")
    return live, next_one


def test_a_canary_is_ramped_and_promoted(registry: Registry, build: Build) -> None:
    live, canary = with_canary(registry, build)
    assert (registry.pointer().canary, registry.pointer().canary_share, registry.production()) == (canary, 0.01, live)
    registry.ramp_canary(share=0.05, expected_version=2, reason="nothing speaks against it")
    moved = registry.promote(canary, expected_version=3, reason="nor now", holdouts=HOLDOUTS)
    assert (moved.production, moved.canary, moved.canary_share, moved.canary_since) == (canary, None, 0.0, None)
    assert (moved.holdout, moved.holdout_share, moved.long_holdout) == (live, 0.05, live)
    told = [(entry.event, entry.release) for entry in registry.journal() if entry.event != "saved"]
    assert told == [("promoted", live), ("canary_started", canary), ("canary_ramped", canary), ("promoted", canary)]
    assert registry.teacher() == canary


def test_a_canary_that_is_taken_back_is_never_a_teacher_nor_released_again(registry: Registry, build: Build) -> None:
    live, canary = with_canary(registry, build)
    moved = registry.revert_canary(reason="twice the errors")
    assert (moved.production, moved.canary) == (live, None)
    last = registry.journal()[-1]
    assert (last.event, last.release, last.reason) == ("canary_reverted", canary, "twice the errors")
    assert registry.teacher() == live
    assert standings(moved, registry.journal())[canary] == "reverted"
    with pytest.raises(ReleaseError, match=r"it was reverted on .*twice the errors"):
        registry.promote(canary, expected_version=3, reason="again")
    with pytest.raises(ReleaseError, match=r"it was reverted on .*twice the errors"):
        registry.start_canary(canary, share=0.01, expected_version=3, reason="again")
    # Production got where it is by its promotion, whatever became of canaries since.
    brought = registry.brought()
    assert brought is not None
    assert (brought.event, brought.release) == ("promoted", live)


def test_nothing_else_is_released_while_there_is_a_canary(registry: Registry, build: Build) -> None:
    _, canary = with_canary(registry, build)
    other = saved(registry, build, DAYS[2])
    with pytest.raises(ReleaseError, match=f"{other} must wait: {canary} is the canary, at 1%"):
        registry.promote(other, expected_version=2, reason="in a hurry")
    with pytest.raises(ReleaseError, match="must wait"):
        registry.start_canary(other, share=0.01, expected_version=2, reason="in a hurry")


def test_a_ramp_takes_no_user_back_and_holds_for_the_pointer_that_it_was_decided_on(
    registry: Registry, build: Build
) -> None:
    with_canary(registry, build)
    with pytest.raises(ReleaseError, match="takes no user back"):
        registry.ramp_canary(share=0.01, expected_version=2, reason="on")
    for change in (
        lambda: registry.ramp_canary(share=0.05, expected_version=1, reason="on"),
        lambda: registry.revert_canary(expected_version=1, reason="bad"),
    ):
        with pytest.raises(ReleaseError, match="judged on pointer version 1, which is now 2"):
            change()


def test_a_person_holds_a_canary_and_lets_it_go_on(registry: Registry, build: Build) -> None:
    _, canary = with_canary(registry, build)
    since = registry.pointer().canary_since
    held = registry.hold_canary(by="Mei", reason="the sale begins tonight")
    assert (held.canary, held.canary_held, held.canary_since) == (canary, "the sale begins tonight", since)
    assert registry.journal()[-1].details["by"] == "Mei"
    assert registry.resume_canary(by="Mei", reason="it is over").canary_held is None
    with pytest.raises(ReleaseError, match="nobody holds"):
        registry.resume_canary(by="Mei", reason="again")


def test_reverting_production_ends_the_canary_and_the_experiment_that_compared_with_it(
    registry: Registry, build: Build
) -> None:
    live, canary = with_canary(registry, build)
    registry.promote(canary, expected_version=2, reason="good", holdouts=HOLDOUTS)
    third = saved(registry, build, DAYS[2])
    registry.start_canary(third, share=0.01, expected_version=3, reason="the gate passed")
    moved = registry.revert(reason="clicks fell")
    assert (moved.production, moved.canary, moved.holdout) == (live, None, None)
    assert standings(moved, registry.journal())[third] == "candidate"
    # Nobody was taken from the long holdout: its release is the one that is good.
    assert moved.long_holdout == live


def test_a_released_refusal_is_a_canary_first_where_there_are_canaries(registry: Registry, build: Build) -> None:
    live = saved(registry, build, DAYS[0])
    registry.promote(live, expected_version=0, reason="the first")
    files, lineage = build(DAYS[1], 7, **{"gate.json": b'{"verdict": "block"}'})
    refused = registry.save(files, lineage=lineage).id
    moved = registry.override(refused, by="Mei", reason="the segment was renamed", canary_share=0.01)
    assert (moved.production, moved.canary, moved.canary_share) == (live, refused, 0.01)
    assert registry.promote(refused, expected_version=2, reason="nothing spoke against it").production == refused


def test_the_long_holdout_stays_on_its_release_for_four_weeks() -> None:
    now = replace(NOTHING, version=1, production=DAYS[0], event="promoted")
    stays: list[str | None] = []
    for day in DAYS[1:]:
        now = moves.promoted(now, day, at=f"{day}T09:00:00+00:00", holdouts=HOLDOUTS)
        assert now.holdout == now.previous
        stays.append(now.long_holdout)
    assert stays == [DAYS[0]] * 4 + [DAYS[4]]


def test_there_is_no_canary_without_production() -> None:
    with pytest.raises(ReleaseError, match="nothing is in production that it could be compared with"):
        moves.canary_started(NOTHING, DAYS[0], share=0.01, at="1998-01-05T09:00:00+00:00")
    for change in (moves.canary_reverted, moves.canary_resumed):
        with pytest.raises(ReleaseError, match="there is no canary"):
            change(NOTHING)


def test_the_entry_owed_by_a_killed_publisher_is_about_the_canary(
    registry: Registry, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, canary = with_canary(registry, build)
    with monkeypatch.context() as killed:
        killed.setattr(journal, "append", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registry.revert_canary(reason="twice the errors")
    assert (registry.journal()[-1].event, registry.journal()[-1].release) == ("canary_reverted", canary)
    assert registry.reverted()[canary].reason == "twice the errors"


def test_everybody_who_answers_is_named_once() -> None:
    now: Pointer = replace(NOTHING, production="b", canary="c", holdout="a", long_holdout="a")
    assert now.releases == ("b", "c", "a")
