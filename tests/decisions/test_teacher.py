"""The verdict on a teacher: harm that is proven drops it, and nothing else does."""

import json

import pytest

from decisions.interval import Interval
from decisions.teacher import TeacherFigures, judge_teacher

NOTHING = (0.0, 0.0002)


def figures(
    *, auc: tuple[float, float], log_loss: tuple[float, float], bare: tuple[float, float] = NOTHING
) -> TeacherFigures:
    gains = [Interval.normal(figure, standard_error=error) for figure, error in (auc, log_loss, bare)]
    return TeacherFigures(rate=0.1, auc_gain=gains[0], log_loss_gain=gains[1], bare_log_loss_gain=gains[2])


@pytest.mark.parametrize(
    ("auc", "log_loss", "outcome"),
    [
        (NOTHING, NOTHING, "kept"),
        ((0.002, 0.001), NOTHING, "kept"),
        # Worse by less than counts, surely; worse by more, perhaps.
        ((-0.0009, 0.00001), NOTHING, "kept"),
        ((-0.004, 0.002), NOTHING, "kept"),
        ((-0.004, 0.001), NOTHING, "harmful"),
        # The entropy of .1 is .325: a thousandth of it is harm.
        (NOTHING, (-0.0003, 0.00001), "kept"),
        (NOTHING, (-0.0004, 0.00001), "harmful"),
        # What one gains does not make up for what the other loses.
        ((0.01, 0.001), (-0.01, 0.001), "harmful"),
    ],
)
def test_only_harm_that_is_proven_drops_a_teacher(
    auc: tuple[float, float], log_loss: tuple[float, float], outcome: str
) -> None:
    assert judge_teacher(figures(auc=auc, log_loss=log_loss)).outcome == outcome


def test_logits_that_calibration_would_mend_are_no_lesson_for_the_next_student() -> None:
    for loss, outcome in ((0.002, "kept"), (0.01, "harmful")):
        assert judge_teacher(figures(auc=NOTHING, log_loss=NOTHING, bare=(-loss, 0.0002))).outcome == outcome


def test_the_reason_names_what_got_worse_and_undefined_figures_prove_nothing() -> None:
    verdict = judge_teacher(figures(auc=(-0.02, 0.001), log_loss=NOTHING))
    assert "AUC at best -0.01767 (99 %)" in verdict.reason
    assert "log loss" not in verdict.reason
    nan = float("nan")
    unknown = Interval(figure=nan, lower_99=nan, lower_95=nan, upper_95=nan, upper_99=nan)
    kept = judge_teacher(TeacherFigures(rate=0.0, auc_gain=unknown, log_loss_gain=unknown, bare_log_loss_gain=unknown))
    assert kept.outcome == "kept"
    assert json.loads(json.dumps(kept.to_json(), allow_nan=False))["auc_gain"]["figure"] is None
