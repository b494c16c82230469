"""The whole gate: figures like those of the logs at hand, and each criterion failing in turn."""

import json
from dataclasses import replace
from typing import Any

import pytest

from decisions.calibration import SegmentFigures
from decisions.criterion import Criterion, Decision
from decisions.gate import ActionFigures, gate
from decisions.interval import Interval
from decisions.off_policy import OffPolicyFigures, RankingFigures
from decisions.serving import ServingFigures

SERVING = ServingFigures(weights_bytes=2_000_000, flops=270_000, pcoc_without={"age": 1.1, "item_click_rate": 0.8})
NAN = Interval(**dict.fromkeys(("figure", "lower_99", "lower_95", "upper_95", "upper_99"), float("nan")))


def normal(figure: float, error: float) -> Interval:
    return Interval.normal(figure, standard_error=error)


RANKING = RankingFigures(
    snips=0.61, dr=0.6, effective_rows=900.0, rewarded=120, mean_weight=1.01, mean_weight_error=0.03
)
# A slice that would show two equal rankings to be equal.
OFF_POLICY = OffPolicyFigures(
    requests=40_000, most_candidates=20, candidate=RANKING, production=RANKING, gain=normal(0.004, 0.008)
)
THIN = replace(OFF_POLICY, requests=900, gain=normal(0.05, 0.3))
# Open Bandit lands what was shown, and nothing to order it among.
ONE_CANDIDATE = OffPolicyFigures(requests=4_500, most_candidates=1)
# Four weeks of MovieLens: 12,000 ratings of 170 users, 55 % of them 4 or more.
MOVIELENS = ActionFigures(
    rows=12_000,
    positives=6_600,
    auc=normal(0.72, 0.008),
    normalised_entropy=normal(0.88, 0.012),
    pcoc=normal(1.04, 0.04),
    ece=0.03,
    ece_noise_floor=0.012,
    segments={
        "gender=F": SegmentFigures(pcoc=normal(1.07, 0.06), positives=1_900, users=400, production_pcoc=1.05),
        "gender=M": SegmentFigures(pcoc=normal(1.03, 0.04), positives=4_700, users=400, production_pcoc=1.04),
    },
    auc_gain=normal(0.006, 0.003),
    log_loss_gain=normal(0.004, 0.002),
    churn=normal(0.12, 0.005),
)
# A day of Open Bandit: some tens of clicks.
OPEN_BANDIT = ActionFigures(
    rows=9_000,
    positives=43,
    auc=normal(0.55, 0.044),
    normalised_entropy=normal(1.0, 0.01),
    pcoc=normal(1.1, 0.17),
    ece=0.0012,
    ece_noise_floor=0.001,
    segments={"surface=men": SegmentFigures(pcoc=normal(1.2, 0.3), positives=20, users=400)},
    positions={"position=1": SegmentFigures(pcoc=normal(1.0, 0.3), positives=15, users=400)},
)


def judged(found: ActionFigures, **changes: Any) -> Decision:
    asked: dict[str, Any] = {"actions": ["click"], "random_slice": False, "positions": False, "production": "before"}
    asked["serving"] = SERVING
    return gate({"click": found}, **{**asked, **changes})


def status(decision: Decision, name: str) -> str:
    return next(criterion.status for criterion in decision.criteria if criterion.name == name)


def test_movielens_is_released_first_without_and_then_against_production() -> None:
    alone = replace(MOVIELENS, auc_gain=None, log_loss_gain=None, churn=None)
    first = judged(alone, production=None)
    assert first.verdict == "pass"
    assert status(first, "click: AUC gain") == "not applicable"
    assert status(first, "random slice") == "not applicable"
    assert judged(MOVIELENS).verdict == "pass"


def test_open_bandit_is_not_released_for_want_of_evidence() -> None:
    declared = {"random_slice": True, "positions": True, "off_policy": ONE_CANDIDATE, "production": None}
    decision = judged(OPEN_BANDIT, **declared, random_slice_rows=4_500)
    assert decision.verdict == "needs-a-person"
    assert "click: positives: 43 are too few to decide alone" in decision.reason
    nearly_none = judged(replace(OPEN_BANDIT, positives=7), **declared, random_slice_rows=9)
    assert nearly_none.verdict == "block"


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("click: positives", {"positives": 250}, "needs-a-person"),
        ("click: positives", {"positives": 5}, "block"),
        ("click: negatives", {"positives": 11_990}, "block"),
        ("click: AUC", {"auc": normal(0.53, 0.01)}, "needs-a-person"),
        ("click: AUC", {"auc": normal(0.49, 0.01)}, "block"),
        ("click: AUC", {"auc": None}, "block"),
        ("click: AUC", {"auc": NAN}, "block"),
        ("click: normalised entropy", {"normalised_entropy": normal(0.99, 0.01)}, "needs-a-person"),
        ("click: normalised entropy", {"normalised_entropy": normal(1.1, 0.01)}, "block"),
        ("click: normalised entropy", {"normalised_entropy": None}, "block"),
        ("click: PCOC", {"pcoc": normal(1.1, 0.02)}, "needs-a-person"),
        ("click: PCOC", {"pcoc": normal(1.2, 0.02)}, "block"),
        ("click: PCOC", {"pcoc": None}, "block"),
        ("click: ECE above noise", {"ece": 0.012 + 0.2 * 0.55}, "needs-a-person"),
        ("click: ECE above noise", {"ece": 0.012 + 0.4 * 0.55}, "block"),
        ("click: ECE above noise", {"ece": float("nan")}, "block"),
        ("click: ECE above noise", {"ece_noise_floor": None}, "block"),
        ("click: PCOC by segment", {"segments": None}, "block"),
        ("click: AUC gain", {"auc_gain": normal(-0.004, 0.004)}, "needs-a-person"),
        ("click: AUC gain", {"auc_gain": normal(-0.02, 0.004)}, "block"),
        ("click: AUC gain", {"auc_gain": None}, "block"),
        ("click: log loss gain", {"log_loss_gain": normal(-0.002, 0.004)}, "needs-a-person"),
        ("click: log loss gain", {"log_loss_gain": normal(-0.02, 0.004)}, "block"),
        ("click: log loss gain", {"log_loss_gain": None}, "block"),
        ("click: churn", {"churn": normal(0.4, 0.01)}, "needs-a-person"),
        ("click: churn", {"churn": normal(0.8, 0.01)}, "block"),
        ("click: churn", {"churn": None}, "block"),
    ],
)
def test_each_criterion_can_stop_a_release(name: str, change: dict[str, Any], expected: str) -> None:
    assert status(judged(MOVIELENS), name) == "pass"
    decision = judged(replace(MOVIELENS, **change))
    assert status(decision, name) == expected
    assert decision.verdict != "pass"


def test_what_is_declared_and_missing_blocks() -> None:
    no_positions = judged(MOVIELENS, positions=True)
    assert status(no_positions, "click: PCOC by position") == "block"
    for rows in (None, 0):
        assert status(judged(MOVIELENS, random_slice=True, random_slice_rows=rows), "random slice") == "block"
    assert status(judged(MOVIELENS, random_slice=True, random_slice_rows=400), "random slice") == "needs-a-person"
    declared = {"random_slice": True, "random_slice_rows": 4_000}
    found = replace(MOVIELENS, positions=MOVIELENS.segments)
    assert judged(found, **declared, positions=True, off_policy=OFF_POLICY).verdict == "pass"
    for off_policy in (None, replace(OFF_POLICY, requests=0)):
        missing = judged(found, **declared, positions=True, off_policy=off_policy)
        assert status(missing, "click: off-policy value") == "block"
    assert judged(MOVIELENS, actions=["click", "save"]).reason.startswith("save: ")


@pytest.mark.parametrize(
    ("before", "after", "error", "expected"),
    [
        (1.0, 1.1, 0.01, "block"),
        (1.0, 0.9, 0.01, "block"),
        # Of a move by a tenth, a twentieth is not proven to be wrong.
        (1.0, 1.1, 0.035, "needs-a-person"),
        (1.0, 1.1, 0.06, "pass"),
        # Towards the truth, and next to a production that is as wrong.
        (1.2, 1.1, 0.01, "pass"),
        (1.09, 1.1, 0.01, "pass"),
        (float("nan"), 1.1, 0.01, "block"),
    ],
)
def test_a_segment_that_moved_away_from_the_truth_stops_a_release(
    before: float, after: float, error: float, expected: str
) -> None:
    segment = SegmentFigures(pcoc=normal(after, error), positives=4_000, users=400, production_pcoc=before)
    decision = judged(replace(MOVIELENS, segments={"gender=F": segment}))
    assert status(decision, "click: PCOC by segment against production") == expected


@pytest.mark.parametrize(
    ("off_policy", "support", "value"),
    [
        (OFF_POLICY, "pass", "pass"),
        (replace(OFF_POLICY, gain=normal(-0.035, 0.008)), "pass", "block"),
        (replace(OFF_POLICY, gain=normal(-0.027, 0.0105)), "pass", "needs-a-person"),
        # What a thin slice leaves open is not asked of it; what it proves at 99 % is.
        (THIN, "pass", "not applicable"),
        (replace(THIN, gain=normal(-0.5, 0.29)), "pass", "not applicable"),
        (replace(THIN, gain=normal(-0.5, 0.2)), "pass", "needs-a-person"),
        (replace(THIN, gain=normal(-0.7, 0.2)), "pass", "block"),
        (replace(OFF_POLICY, gain=NAN), "pass", "block"),
        # Handfuls of rows say nothing at all, and propensities that do not add up say what is not so.
        (replace(OFF_POLICY, candidate=replace(RANKING, effective_rows=31.0)), "not applicable", "not applicable"),
        (replace(OFF_POLICY, production=replace(RANKING, rewarded=2)), "not applicable", "not applicable"),
        (replace(OFF_POLICY, candidate=replace(RANKING, mean_weight=1.3)), "block", "not applicable"),
        (ONE_CANDIDATE, "not applicable", "not applicable"),
    ],
)
def test_off_policy_value_decides_as_far_as_the_slice_can_tell(
    off_policy: OffPolicyFigures, support: str, value: str
) -> None:
    decision = judged(
        replace(MOVIELENS, positions=MOVIELENS.segments),
        positions=True,
        random_slice=True,
        random_slice_rows=4_000,
        off_policy=off_policy,
    )
    assert [status(decision, f"click: off-policy {what}") for what in ("support", "value")] == [support, value]


def test_without_positions_or_production_nothing_is_asked_of_the_slice() -> None:
    unplaced = judged(MOVIELENS, random_slice=True, random_slice_rows=4_000, off_policy=OFF_POLICY)
    assert status(unplaced, "click: off-policy value") == "not applicable"
    alone = replace(OFF_POLICY, production=None, gain=None)
    first = judged(MOVIELENS, random_slice=True, positions=True, production=None, off_policy=alone)
    assert [status(first, f"click: off-policy {what}") for what in ("support", "value")] == ["pass", "not applicable"]


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("serving: weights", {"weights_bytes": 2 << 30}, "needs-a-person"),
        ("serving: weights", {"weights_bytes": 5 << 30}, "block"),
        ("serving: work", {"flops": 2_000_000}, "needs-a-person"),
        ("serving: work", {"flops": 20_000_000}, "block"),
        ("serving: without a feature", {"pcoc_without": {"age": 1.1, "item_click_rate": 0.5}}, "needs-a-person"),
        ("serving: without a feature", {"pcoc_without": {"age": 4.0, "item_click_rate": 0.8}}, "block"),
        ("serving: without a feature", {"pcoc_without": {"age": float("nan")}}, "block"),
        ("serving: without a feature", {"pcoc_without": {}}, "block"),
    ],
)
def test_what_is_hard_to_serve_stops_a_release(name: str, change: dict[str, Any], expected: str) -> None:
    assert status(judged(MOVIELENS), name) == "pass"
    assert status(judged(MOVIELENS, serving=replace(SERVING, **change)), name) == expected


def test_what_was_not_measured_of_serving_blocks() -> None:
    assert status(judged(MOVIELENS, serving=None), "serving: work") == "block"


def test_criteria_on_the_data_join_the_verdict() -> None:
    decision = judged(MOVIELENS, data=[Criterion(name="rows", status="block", reason="empty")])
    assert (decision.verdict, decision.reason) == ("block", "rows: empty")


def test_a_decision_is_plain_json_even_with_undefined_figures() -> None:
    written = json.loads(json.dumps(judged(replace(MOVIELENS, auc=NAN)).to_json(), allow_nan=False))
    assert written["verdict"] == "block"
    assert {"name", "status", "figure", "lower", "upper", "limit", "reason"} == set(written["criteria"][0])
