"""Production built day by day, from rows in any order, by builds that are killed on the way and run again.

That every table then is what one build of everything gives stands in test_on_a_cluster.py.
"""

from datetime import timedelta
from typing import Any

import pytest
from conftest import Grown
from tiny_world import World

from lakehouse.home import Home
from lakehouse.session import connect
from tests.planted_joins import DATA_TESTS

pytestmark = pytest.mark.lake


def rows(home: Home, statement: str) -> list[dict[str, Any]]:
    return [row.asDict() for row in connect(home).sql(statement).collect()]


def test_what_days_built_again_say_was_known_agrees_with_a_recount(grown: Grown) -> None:
    assert grown.passed == set(DATA_TESTS)


def test_a_build_goes_back_to_what_changed_and_no_further_than_the_look_back(grown: Grown, world: World) -> None:
    reached = max(row["served_at"] for row in world.exposures).date() - timedelta(days=4)
    # The first run, which was killed, went back to an event that was delivered again for a later day. Then rows of
    # the first day landed: the second went back three days of look-back and one of attribution, and no further.
    for event, load in (("started", 2), ("started", 3), ("complete", 3)):
        found = rows(
            grown.home,
            f"select first_day from monitoring.builds where event = '{event}' and exposures_load = {load} order by at",
        )
        assert found[0]["first_day"] == reached, (event, load)


def test_what_lands_too_late_is_counted_and_left_out(grown: Grown) -> None:
    home, landed = grown.home, grown.landed
    late = {row["event_id"] for row in landed.too_late.exposures}
    assert rows(home, "select stream, sum(num_rows) as num from monitoring.late_rows group by stream") == [
        {"stream": "exposures", "num": len(landed.too_late.exposures)}
    ]
    built = {row["event_id"] for row in rows(home, "select event_id from intermediate.int_exposures_deduplicated")}
    assert late - built == late


def test_conflicts_and_actions_on_what_did_not_land_are_accounted_for(grown: Grown) -> None:
    home, landed = grown.home, grown.landed
    conflicts = {row["event_id"] for row in rows(home, "select event_id from intermediate.int_exposures_conflicts")}
    assert conflicts == landed.conflicting
    examples = rows(home, "select event_id, acted, logging_probability from marts.examples where event_id like '%/%'")
    assert {row["event_id"] for row in examples} <= landed.unlogged
    assert len(examples) > 10
    assert all(row["acted"] == 1 and row["logging_probability"] == 1.0 for row in examples)


def test_a_build_of_production_and_an_analyst_s_queries_do_not_disturb_each_other(grown: Grown) -> None:
    assert grown.answers.errors == ""
    assert len(grown.answers.counts) > 5


def test_after_a_backfill_no_row_waits_for_one(backfilled: Home) -> None:
    assert rows(backfilled, "select * from monitoring.late_rows") == []
