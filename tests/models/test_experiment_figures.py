"""What SQL says of requests, releases and experiments, against the tiny world counted by hand."""

from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from tiny_world import POINTERS, START, WINDOW, World

from decisions.assignment import canary_salt
from decisions.draw import draw
from decisions.experiment import Moments

pytestmark = pytest.mark.lake
LOOKS = (date(2026, 1, 2), date(2026, 1, 3), date(2026, 1, 4))
METRICS = ("clicked", "engaged", "hidden", "dwell_s")


@pytest.fixture(scope="module")
def closed(world: World) -> list[dict[str, Any]]:
    """The requests whose windows have closed, each with the actions inside its window."""
    actions: dict[str, set[str]] = defaultdict(set)
    served = {row["request_id"]: row["served_at"] for row in world.requests}
    for row in world.engagements:
        if row["engaged_at"] < served[row["request_id"]] + WINDOW:
            actions[row["request_id"]].add(row["action"])
    watermark = max(row["served_at"] for row in world.exposures)
    return [
        row
        | {
            "clicked": "click" in actions[row["request_id"]],
            "engaged": bool(actions[row["request_id"]]),
            "hidden": "hide" in actions[row["request_id"]],
            "dwell_s": 0,
        }
        for row in world.requests
        if row["served_at"] + WINDOW <= watermark
    ]


def test_a_release_s_hours_are_counted_as_by_hand(
    world: World, closed: list[dict[str, Any]], query: Callable[[str], list[dict[str, Any]]]
) -> None:
    def hour(row: dict[str, Any]) -> tuple[str, datetime]:
        told = POINTERS[row["pointer_version"] - 1]
        release = told["canary"] if row["arm"] == "canary" else row["release_id"]
        return release, row["served_at"].replace(minute=0)

    expected: dict[tuple[str, datetime], list[dict[str, Any]]] = defaultdict(list)
    for row in world.requests:
        expected[hour(row)].append(row)
    engaged = {row["request_id"] for row in closed if row["engaged"]}
    known = {row["request_id"] for row in closed}
    found = {
        (row["release_id"], row["hour"].replace(tzinfo=START.tzinfo)): row
        for row in query("select * from monitoring.serving_health")
    }
    assert found.keys() == expected.keys()
    assert sum(row["failed"] for row in found.values()) == sum(row["failed"] for row in world.requests) > 0
    for key, rows in expected.items():
        one = found[key]
        ids = [row["request_id"] for row in rows]
        assert one["requests"] == len(rows)
        assert one["failed"] == sum(row["failed"] for row in rows)
        assert one["random_requests"] == sum(row["traffic"] == "random" for row in rows)
        assert one["closed_requests"] == len(known & set(ids))
        assert one["engaged_requests"] == len(engaged & set(ids))
        assert (one["engagement_rate"] is None) == (not known & set(ids))
        assert one["latency_ms_p99"] == max(row["latency_ms"] for row in rows)
        assert one["memory_bytes"] == max(row["memory_bytes"] for row in rows)


def test_the_draws_in_sql_give_the_arm_that_python_served_by(query: Callable[[str], list[dict[str, Any]]]) -> None:
    found = query("select arm, expected_arm, count(*) as num from intermediate.int_requests_answered group by all")
    assert {row["arm"] for row in found} == {"production", "canary", "holdout", "long-holdout"}
    assert all(row["arm"] == row["expected_arm"] for row in found)


@pytest.mark.parametrize("kind", ["holdout", "long-holdout"])
def test_an_experiment_s_sums_are_those_of_its_users(
    kind: str, world: World, closed: list[dict[str, Any]], query: Callable[[str], list[dict[str, Any]]]
) -> None:
    found = query(f"select * from monitoring.experiment_figures where experiment = '{kind}-2'")
    began = {row["user_id"]: row for row in world.users if row["updated_at"] == START}
    segments = {
        user: "devoted"
        if any(
            row["user_id"] == user and row["updated_at"] <= START + timedelta(days=1) and "devoted" in row["attributes"]
            for row in world.users
        )
        else "regular"
        for user in began
    }
    assert {row["day"] for row in found} == set(LOOKS)
    policy = [row for row in closed if row["traffic"] == "policy"]
    checked = 0
    for look in LOOKS:
        during = [row for row in policy if LOOKS[0] <= row["served_at"].date() <= look and _is_in(row, kind=kind)]
        before = [row for row in policy if row["served_at"].date() < LOOKS[0]]
        for metric in METRICS:
            users: dict[tuple[str, str], dict[str, np.ndarray]] = defaultdict(dict)
            for user in {row["user_id"] for row in during}:
                arm = "control" if any(row["arm"] == kind for row in during if row["user_id"] == user) else "treatment"
                numbers = np.array(
                    [
                        total
                        for rows in (during, before)
                        for total in (
                            sum(row[metric] for row in rows if row["user_id"] == user),
                            sum(row["user_id"] == user for row in rows),
                        )
                    ],
                    dtype=float,
                )
                for segment in ("all", f"user_segment: {segments[user]}"):
                    users[arm, segment][user] = numbers
            of_look = [row for row in found if row["day"] == look and row["metric"] == metric]
            assert {(row["arm"], row["segment"]) for row in of_look} == users.keys()
            for row in of_look:
                expected = Moments.of(np.array(list(users[row["arm"], row["segment"]].values())))
                assert row["users"] == expected.users
                assert [row[f"sum_{name}"] for name in "ynxm"] == pytest.approx(expected.sums)
                for one, column in enumerate("ynxm"):
                    for other, another in list(enumerate("ynxm"))[one:]:
                        assert row[f"sum_{column}{another}"] == pytest.approx(expected.products[one][other])
                checked += 1
    assert checked >= 2 * len(LOOKS) * len(METRICS)


def _is_in(row: dict[str, Any], *, kind: str) -> bool:
    """Whether an experiment has the request: a publish does without those whom the canary's draw has, in both arms."""
    if kind == "long-holdout":
        return True
    told = POINTERS[row["pointer_version"] - 1]
    is_of_canary = bool(
        told.get("canary") and draw(row["user_id"], salt=canary_salt(told["canary"])) < told["canary_share"]
    )
    return row["arm"] in ("holdout", "production") and not is_of_canary
