"""From the figures of SQL to what an experiment's page says: the same numbers, at every look."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from decisions.experiment import ExperimentPlan, Moments, analyse
from lakehouse import ops
from lakehouse.home import Home
from lakehouse.versions import pin, read
from orchestration.experiments import PRIMARY, analysed, looks_of, metadata, publish, title_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FIRST = date(2026, 3, 2)
NUM_USERS = {"treatment": 2_400, "control": 600}
EXPERIMENT: dict[str, Any] = {
    "experiment": "holdout-7",
    "kind": "holdout",
    "salt": "holdout/b",
    "treatment_release": "b",
    "control_release": "a",
    "control_share": 0.2,
    "first_pointer_version": 7,
    "last_pointer_version": None,
    "began_at": datetime(2026, 3, 2, 9, tzinfo=UTC),
    "ended_at": None,
    "planned_days": 4,
}


def figures(*lifts: float, num_users: dict[str, int] = NUM_USERS) -> list[dict[str, Any]]:
    """Rows of monitoring.experiment_figures at a look a day: two metrics of everybody and of two segments."""
    chance, rows = np.random.default_rng(3), []
    for arm, num in num_users.items():
        taste_U = chance.beta(2, 8, num)
        before_U = chance.poisson(6, num) + 1
        values_U4 = np.stack([np.zeros(num), np.zeros(num), chance.binomial(before_U, taste_U), before_U], axis=1)
        for number, lift in enumerate(lifts):
            asked_U = chance.poisson(3, num) + 1
            rate_U = np.clip(taste_U * (1 + lift * (arm == "treatment")), 0, 1)
            values_U4 = values_U4 + np.stack(
                [chance.binomial(asked_U, rate_U), asked_U, np.zeros(num), np.zeros(num)], axis=1
            )
            for metric in (PRIMARY, "engaged"):
                for segment, chosen in {
                    "all": slice(None),
                    "young": slice(0, num // 3),
                    "old": slice(num // 3, None),
                }.items():
                    found = Moments.of(values_U4[chosen])
                    rows.append(
                        {
                            "experiment": EXPERIMENT["experiment"],
                            "day": FIRST + timedelta(days=number),
                            "metric": metric,
                            "segment": segment,
                            "arm": arm,
                            "users": found.users,
                            **{f"sum_{name}": found.sums[place] for place, name in enumerate("ynxm")},
                            **{
                                f"sum_{one}{other}": found.products[row][column]
                                for row, one in enumerate("ynxm")
                                for column, other in enumerate("ynxm")
                                if row <= column
                            },
                        }
                    )
    return rows


def test_rows_of_sql_are_the_moments_that_the_analysis_needs() -> None:
    [look] = looks_of(figures(0.0))
    chance = np.random.default_rng(3)
    assert (look.treatment_users, look.control_users) == (2_400, 600)
    compared = look.metrics[PRIMARY]["all"]
    products = np.array(compared.treatment.products)
    assert np.array_equal(products, products.T)
    assert compared.treatment.products[0][0] >= compared.treatment.sums[0] > 0
    # The first draws of the figures: the tastes, and how often each user had asked before.
    chance.beta(2, 8, 2_400)
    before_U = chance.poisson(6, 2_400) + 1
    assert compared.treatment.sums[3] == before_U.sum()
    assert compared.treatment.products[3][3] == (before_U**2).sum()


def test_each_look_says_what_was_known_by_then() -> None:
    rows = figures(0.0, 0.6, 0.6)
    [found] = analysed(rows, [EXPERIMENT])
    plan = ExperimentPlan(primary=PRIMARY, first_day=FIRST, days=4, treatment_share=0.8)
    assert found.result == analyse(looks_of(rows), plan=plan)
    for number in (1, 2, 3):
        by_then = analyse(looks_of(rows)[:number], plan=plan)
        of_look = [row for row in found.rows if row["day"] == FIRST + timedelta(days=number - 1)]
        assert {(row["verdict"], row["reason"]) for row in of_look} == {(by_then.verdict, by_then.reason)}
        assert len(of_look) == 6
        for one in by_then.comparisons:
            if one.day == of_look[0]["day"]:
                [row] = [row for row in of_look if (row["metric"], row["segment"]) == (one.metric, one.segment)]
                assert (row["lift"], row["lower"], row["upper"]) == pytest.approx((one.lift, one.lower, one.upper))
    assert found.rows[0]["verdict"] is None
    assert found.result.verdict == "better"


def test_uneven_arms_have_no_verdict_from_then_on() -> None:
    [found] = analysed(figures(0.6, 0.6, num_users={"treatment": 2_400, "control": 300}), [EXPERIMENT])
    assert {row["verdict"] for row in found.rows} == {None}
    assert all(row["sample_ratio_alarm"] and row["reason"].startswith("sample ratio") for row in found.rows)
    assert title_of(found) == "holdout-7: b against a: no verdict"


def test_an_arm_that_nobody_was_seen_in_gives_no_lift() -> None:
    [found] = analysed([row for row in figures(0.0) if row["arm"] == "treatment"], [EXPERIMENT])
    assert {row["lift"] for row in found.rows} == {None}
    assert {row["verdict"] for row in found.rows} == {None}


def test_experiments_without_a_look_and_those_of_long_ago_are_left_as_they_are() -> None:
    old = [row | {"experiment": "holdout-2", "day": row["day"] - timedelta(days=60)} for row in figures(0.0)]
    before = EXPERIMENT | {
        "experiment": "holdout-2",
        "began_at": EXPERIMENT["began_at"] - timedelta(days=60),
        "first_pointer_version": 2,
    }
    fresh = EXPERIMENT | {"experiment": "holdout-9", "first_pointer_version": 9}
    found = analysed([*old, *figures(0.0)], [before, EXPERIMENT, fresh])
    assert [one.experiment["experiment"] for one in found] == ["holdout-7"]


def test_the_page_has_the_standing_and_two_pictures_of_each() -> None:
    found = analysed(figures(0.0, 0.1), [EXPERIMENT])
    shown = metadata(found)
    assert list(shown) == ["experiments", "standing", "holdout-7 by look", "holdout-7 by segment"]
    assert "| holdout-7 | b | a | 2026-03-03 |" in str(shown["standing"].value)
    assert all(str(shown[name].value).startswith("![](data:image/png;base64,iVBOR") for name in list(shown)[2:])


@pytest.mark.lake
def test_results_stand_in_the_lake_once_and_follow_what_is_found(spark: "SparkSession", lake_home: Home) -> None:
    ops.create_tables(spark)
    rows = figures(0.0, 0.1)
    found = analysed(rows, [EXPERIMENT])
    publish(found, home=lake_home)
    first = pin("ops.experiment_results", home=lake_home)
    publish(found, home=lake_home)
    assert pin("ops.experiment_results", home=lake_home) == first
    publish([replace(found[0], rows=found[0].rows[:3])], home=lake_home)
    there = read(pin("ops.experiment_results", home=lake_home)).to_pylist()
    assert len([row for row in there if row["experiment"] == "holdout-7"]) == 3
