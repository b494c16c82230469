"""Which releases are live, may come back, may go live, or neither."""

from registry import Registry
from registry.standing import KEPT, Standing, standings
from tests.registry.conftest import build_release


def save(registry: Registry, partition: str, *, promoted: bool = True) -> str:
    files, lineage = build_release(partition, value=int(partition[-2:]))
    saved = registry.save(files, lineage=lineage)
    if promoted:
        registry.promote(saved.id, expected_version=registry.pointer().version, reason="passed")
    return saved.id


def found(registry: Registry) -> dict[str, Standing]:
    return standings(registry.pointer(), registry.journal())


def test_before_the_first_release_there_is_none(registry: Registry) -> None:
    assert found(registry) == {}


def test_a_saved_release_is_a_candidate_until_a_later_week_is_in_production(registry: Registry) -> None:
    waiting = save(registry, "1998-01-05", promoted=False)
    assert found(registry) == {waiting: "candidate"}
    live = save(registry, "1998-01-12")
    later = save(registry, "1998-01-19", promoted=False)
    assert found(registry) == {waiting: "passed over", live: "production", later: "candidate"}
    assert [standing in KEPT for standing in found(registry).values()] == [False, True, True]


def test_what_was_taken_back_is_not_kept_until_it_is_put_back_by_hand(registry: Registry) -> None:
    first, second, third = (save(registry, f"1998-01-{day}") for day in ("05", "12", "19"))
    assert found(registry) == {first: "rollback", second: "rollback", third: "production"}
    registry.revert(reason="clicks fell")
    assert found(registry) == {first: "rollback", second: "production", third: "reverted"}
    assert "reverted" not in KEPT
    registry.revert(to=third, reason="that was a mistake")
    assert found(registry) == {first: "rollback", second: "reverted", third: "production"}
    fourth = save(registry, "1998-01-26")
    assert found(registry) == {first: "rollback", second: "reverted", third: "rollback", fourth: "production"}
