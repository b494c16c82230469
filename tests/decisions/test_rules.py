"""Each rule with an input that passes, one that blocks and one that needs a person; and laws that hold for all."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisions.calibration import SegmentFigures, calibration, calibration_by
from decisions.criterion import Criterion, Decision, judge, missing, not_applicable
from decisions.interval import Interval
from decisions.rules import at_least, at_most, compare, evidence

NAN = math.nan
numbers = st.floats(allow_nan=True, allow_infinity=True)
SEVERITY = {"pass": 0, "needs-a-person": 1, "block": 2}


@pytest.mark.parametrize(
    ("lower_99", "upper_95", "status"),
    [
        (-0.0099, 0.02, "pass"),
        (-0.0101, 0.02, "needs-a-person"),
        (-0.0101, -0.0009, "needs-a-person"),
        (-0.03, -0.0011, "block"),
        (-0.005, -0.0011, "block"),  # within the margin, and proven worse: harm goes first
        (0.001, 0.02, "pass"),
    ],
)
def test_a_difference_follows_the_rule_of_the_design(lower_99: float, upper_95: float, status: str) -> None:
    found = compare("auc", difference=(lower_99 + upper_95) / 2, lower_99=lower_99, upper_95=upper_95, margin=0.01)
    assert found.status == status


@pytest.mark.parametrize(
    ("lower", "upper", "status"), [(0.53, 0.6, "pass"), (0.4, 0.51, "block"), (0.51, 0.53, "needs-a-person")]
)
def test_a_floor_is_cleared_by_the_bound_not_by_the_figure(lower: float, upper: float, status: str) -> None:
    assert at_least("auc", figure=0.525, lower_99=lower, upper_95=upper, limit=0.52).status == status


@pytest.mark.parametrize(
    ("lower", "upper", "status"),
    [(0.1, 0.3, "pass"), (0.3, 0.4, "needs-a-person"), (0.5, 0.55, "needs-a-person"), (0.7, 0.8, "block")],
)
def test_a_ceiling_may_leave_a_range_to_a_person(lower: float, upper: float, status: str) -> None:
    assert at_most("churn", figure=0.3, lower_95=lower, upper_99=upper, limit=0.35, block_above=0.67).status == status


@pytest.mark.parametrize(
    ("count", "status"), [(300, "pass"), (299, "needs-a-person"), (20, "needs-a-person"), (19, "block")]
)
def test_evidence_is_counted(count: int, status: str) -> None:
    assert evidence("clicks", count=count, enough=300, floor=20).status == status


@pytest.mark.parametrize(
    ("figure", "error", "status"),
    [
        (1.03, 0.01, "pass"),
        (0.97, 0.01, "pass"),
        (1.10, 0.02, "needs-a-person"),  # 5 % is proven, 10 % is not
        (0.88, 0.01, "block"),  # 1 / .896 = 1.116
        (1.13, 0.01, "block"),
        (1.0, 0.2, "needs-a-person"),  # it could be 25 % off
        (1.08, 0.045, "pass"),  # a week of MovieLens: users differ more than rows
    ],
)
def test_pcoc_is_judged_by_its_interval_on_both_sides(figure: float, error: float, status: str) -> None:
    interval = Interval.normal(figure, standard_error=error)
    assert calibration("pcoc", interval, tolerance=0.05, harm=0.1, margin=0.25).status == status


def segments(**figures: tuple[float, float, int]) -> dict[str, SegmentFigures]:
    return {
        name: SegmentFigures(pcoc=Interval.normal(figure, standard_error=error), positives=positives, users=400)
        for name, (figure, error, positives) in figures.items()
    }


def by_segment(found: dict[str, SegmentFigures]) -> Criterion:
    return calibration_by("segments", found, min_positives=300, min_users=30, tolerance=0.1, harm=0.2)


def test_the_worst_segment_decides_and_is_named() -> None:
    good = {"a": (1.01, 0.02, 900), "b": (0.98, 0.02, 900)}
    assert by_segment(segments(**good)).status == "pass"
    assert by_segment(segments(**good, c=(1.17, 0.02, 900))).status == "needs-a-person"
    blocked = by_segment(segments(**good, c=(1.3, 0.02, 900)))
    assert blocked.status == "block"
    assert "worst is c with 1.300" in blocked.reason


def test_small_segments_are_counted_not_judged() -> None:
    found = by_segment(segments(a=(1.0, 0.02, 900), tiny=(3.0, 0.1, 5)))
    assert found.status == "pass"
    assert "1 of 2 have fewer than 300 positives" in found.reason
    assert by_segment(segments(tiny=(1.0, 0.1, 5))).status == "needs-a-person"
    assert by_segment({}).status == "block"


def test_of_many_calibrated_segments_few_raise_an_alarm() -> None:
    # True PCOC .10 off everywhere, the very edge of the tolerance: one segment in twenty would pass it by chance,
    # but all forty together must stay within 5 %.
    draws = np.exp(np.random.default_rng(7).normal(np.log(1.1), 0.05, size=(400, 40)))
    alarms = 0
    for figures in draws:
        intervals = {
            str(number): SegmentFigures(
                pcoc=Interval(
                    figure=figure,
                    lower_99=figure * math.exp(-2.326 * 0.05),
                    lower_95=figure * math.exp(-1.645 * 0.05),
                    upper_95=figure * math.exp(1.645 * 0.05),
                    upper_99=figure * math.exp(2.326 * 0.05),
                ),
                positives=900,
                users=400,
            )
            for number, figure in enumerate(figures)
        }
        alarms += by_segment(intervals).status != "pass"
    assert 0.01 < alarms / 400 < 0.09


def test_block_outranks_a_person_outranks_pass() -> None:
    good = Criterion(name="a", status="pass", reason="fine")
    person = Criterion(name="b", status="needs-a-person", reason="unsure")
    assert judge([good]).verdict == "pass"
    assert judge([good, person]).verdict == "needs-a-person"
    decision = judge([person, missing("c", "gone"), good])
    assert (decision.verdict, decision.reason) == ("block", "c: gone")


def test_nothing_that_applies_is_a_block() -> None:
    assert judge([]).verdict == "block"
    assert judge([not_applicable("random slice", "declared absent")]).verdict == "block"


criteria = st.lists(
    st.builds(
        Criterion,
        name=st.just("c"),
        status=st.sampled_from(["pass", "block", "needs-a-person", "not applicable"]),
        reason=st.just("r"),
    )
)


@given(criteria, st.sampled_from(["block", "needs-a-person"]))
def test_another_failing_criterion_never_improves_the_verdict(before: list[Criterion], status: str) -> None:
    failing = Criterion(name="f", status=status, reason="r")  # type: ignore[arg-type]
    applied = [criterion for criterion in before if criterion.status != "not applicable"]
    after: Decision = judge([*before, failing])
    assert after.verdict in SEVERITY
    assert SEVERITY[after.verdict] >= SEVERITY[status]
    if applied:
        assert SEVERITY[after.verdict] >= SEVERITY[judge(before).verdict]


@given(numbers, numbers, numbers)
def test_every_rule_decides_and_no_nan_passes(figure: float, one: float, other: float) -> None:
    lower, upper = (other, one) if one > other else (one, other)
    for found in (
        compare("x", difference=figure, lower_99=lower, upper_95=upper, margin=0.01),
        at_least("x", figure=figure, lower_99=lower, upper_95=upper, limit=0.52),
        at_most("x", figure=figure, lower_95=lower, upper_99=upper, limit=1.0),
        calibration(
            "x",
            Interval(figure=figure, lower_99=lower, lower_95=lower, upper_95=upper, upper_99=upper),
            tolerance=0.05,
            harm=0.1,
            margin=0.25,
        ),
    ):
        assert found.status in SEVERITY
        assert found.reason
        if any(math.isnan(value) for value in (figure, lower, upper)):
            assert found.status == "block"


def test_bounds_out_of_order_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="must rise"):
        Interval(figure=0.5, lower_99=0.6, lower_95=0.5, upper_95=0.7, upper_99=0.8)
    with pytest.raises(ValueError, match="lies above"):
        compare("auc", difference=0, lower_99=0.1, upper_95=-0.1, margin=0.01)
