"""Experiments as the journal tells of them: what began and ended each, and who answered whom meanwhile."""

from datetime import UTC, datetime, timedelta

from decisions.assignment import LONG_HOLDOUT_SALT, canary_salt, holdout_salt
from registry import Entry, Holdouts, Registry
from registry.experiments import arms, experiments
from registry.moves import promoted
from registry.pointer import NOTHING
from registry.registry import _entry_of
from tests.registry.conftest import Build

HOLDOUTS = Holdouts(share=0.05, long_share=0.01)
DAYS = ("1998-01-05", "1998-01-12", "1998-01-19", "1998-01-26", "1998-02-02", "1998-02-09")


def saved(registry: Registry, build: Build, number: int) -> str:
    files, lineage = build(DAYS[number], number)
    return registry.save(files, lineage=lineage).id


def publish(registry: Registry, build: Build, number: int) -> str:
    release = saved(registry, build, number)
    registry.promote(release, expected_version=registry.pointer().version, reason="good", holdouts=HOLDOUTS)
    return release


def test_each_publish_begins_an_experiment_and_ends_the_one_before_it(registry: Registry, build: Build) -> None:
    first, second, third = (publish(registry, build, number) for number in range(3))
    one, other = (found for found in experiments(registry.journal()) if found.kind == "holdout")
    assert (one.name, one.treatment, one.control, one.control_share) == ("holdout-2", second, first, 0.05)
    assert (one.salt, one.first_version, one.last_version) == (holdout_salt(second), 2, 2)
    assert one.ended_at == other.began_at == registry.pointer().updated_at
    assert (other.name, other.treatment, other.control) == ("holdout-3", third, second)
    assert (other.salt, other.last_version, other.ended_at) == (holdout_salt(third), None, None)


def test_a_canary_goes_through_an_experiment_without_ending_it(registry: Registry, build: Build) -> None:
    _, second = (publish(registry, build, number) for number in range(2))
    canary = saved(registry, build, 2)
    registry.start_canary(canary, share=0.01, expected_version=2, reason="the gate passed")
    registry.revert_canary(reason="twice the errors")
    [found] = [one for one in experiments(registry.journal()) if one.kind == "holdout"]
    assert (found.first_version, found.last_version) == (2, None)
    before, during, after = arms(registry.journal())[-3:]
    assert (during.canary, during.canary_salt, during.canary_share) == (canary, canary_salt(canary), 0.01)
    assert during.production == second
    assert (before.canary, before.canary_salt, after.canary_share) == (None, None, None)


def test_a_revert_ends_the_experiment_that_it_decides(registry: Registry, build: Build) -> None:
    publish(registry, build, 0)
    publish(registry, build, 1)
    registry.revert(reason="clicks fell")
    ended, long_one = experiments(registry.journal())
    assert (ended.kind, ended.last_version, ended.ended_at) == ("holdout", 2, registry.pointer().updated_at)
    # Who stays on what is in production again goes on with it.
    assert (long_one.kind, long_one.last_version) == ("long-holdout", None)


def test_a_long_holdout_is_one_experiment_over_the_publishes_of_four_weeks() -> None:
    now, journal = NOTHING, []
    for number, day in enumerate(DAYS):
        at = (datetime(1998, 1, 5, tzinfo=UTC) + timedelta(days=7 * number)).isoformat()
        now = promoted(now, day, at=at, holdouts=HOLDOUTS)
        now = type(now)(**vars(now) | {"version": number + 1, "updated_at": at})
        journal.append(Entry(number=number + 1, **_entry_of(now)))
    first, second = (one for one in experiments(journal) if one.kind == "long-holdout")
    assert (first.control, first.treatment, first.salt) == (DAYS[0], None, LONG_HOLDOUT_SALT)
    assert (first.first_version, first.last_version) == (2, 5)
    assert (second.control, second.first_version, second.last_version) == (DAYS[4], 6, None)
    assert len({one.name for one in experiments(journal)}) == len(experiments(journal)) == 7


def test_a_journal_of_before_there_were_arms_tells_of_production_alone() -> None:
    entry = Entry(
        number=1, at="1998-01-05T00:00:00Z", event="promoted", release="a", reason="", details={"pointer_version": 1}
    )
    note = Entry(number=2, at="1998-01-06T00:00:00Z", event="gate", release="b", reason="")
    [found] = arms([entry, note])
    assert (found.version, found.production, found.holdout, found.canary_share) == (1, "a", None, None)
    assert experiments([entry, note]) == []
