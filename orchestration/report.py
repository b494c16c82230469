"""What a release says of its evaluation: the figures of metrics.json, and the pictures."""

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

from decisions.drift import Drift
from orchestration.evaluating import Judged, Model
from orchestration.judging import summary
from orchestration.plan import Plan, Rows
from orchestration.validation import drift_diagram
from ranker import (
    evaluate,
    interval_diagram,
    loss_curve,
    reliability_diagram,
    segment_changes,
    segment_diagram,
)

BOUNDS = ("value", "low", "high")


def report_of(judged: Judged, *, others: Mapping[str, Model | None], rows: Rows, plan: Plan) -> dict[str, Any]:
    """What was measured of the model that was judged, of production, and of the `others` that there are."""
    report = evaluate(judged.probabilities, rows.examples, before=judged.production, seed=plan.seed)
    report["summary"] = summary(report, action=plan.dataset.actions[0])
    report["robustness"] = judged.without
    report["off_policy"] = judged.off_policy
    if judged.production is not None:
        report["production"] = _beside(judged.production, rows, plan, before=None)
    for name, model in others.items():
        if model is not None:
            report[name] = _beside(model.probabilities(rows, plan), rows, plan, before=judged.production)
    return report


def pictures_of(
    judged: Judged,
    report: Mapping[str, Any],
    *,
    curve: list[dict[str, float]],
    drifts: Sequence[Drift],
    rows: Rows,
    plan: Plan,
) -> dict[str, bytes]:
    """The pictures of a release by file name."""
    action = plan.dataset.actions[0]
    pictures = {"loss_curve.png": loss_curve(curve, title="Training loss")} | {
        f"reliability_{one}.png": reliability_diagram(figures_of["reliability"], title=f"Reliability: {one}")
        for one, figures_of in report["actions"].items()
    }
    if drifts:
        pictures["drift.png"] = drift_diagram(drifts)
    if judged.off_policy is not None and "rankings" in judged.off_policy:
        pictures["off_policy.png"] = _off_policy_diagram(judged.off_policy, action=action)
    if judged.production is not None:
        changes = segment_changes(
            action,
            rows.examples,
            candidate=judged.probabilities[action],
            baseline=judged.production[action],
            seed=plan.seed,
        )
        pictures["segments.png"] = segment_diagram(changes, title=f"{action}: beside {plan.teacher}")
    return pictures


def _beside(probabilities: dict[str, Any], rows: Rows, plan: Plan, *, before: dict[str, Any] | None) -> dict[str, Any]:
    """The figures of what stands beside the candidate, on the same rows."""
    report = evaluate(probabilities, rows.examples, before=before, seed=plan.seed)
    return {"summary": summary(report, action=plan.dataset.actions[0]), "actions": report["actions"]}


def _off_policy_diagram(estimates: dict[str, Any], *, action: str) -> bytes:
    """What each ranking would earn, by SNIPS and DR, beside the order that was drawn."""
    values = {
        f"{ranking}, {estimator.upper()}": tuple(nan if one[name] is None else one[name] for name in BOUNDS)
        for ranking, by_estimator in estimates["rankings"].items()
        for estimator, one in by_estimator.items()
        if estimator in ("snips", "dr")
    }
    title = f"Off-policy value on {estimates['requests']:,} random requests"
    return interval_diagram(values, title=title, axis=f"{action} actions of a request, 95 %")
