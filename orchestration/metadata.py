"""What the Dagster UI shows of each step: numbers, table versions, the teacher, and pictures."""

import base64
from collections.abc import Sequence
from typing import Any

import dagster as dg

from orchestration.plan import Plan
from orchestration.retrain import Candidate, Evaluation, Pair
from registry import Input, Pointer


def of_plan(plan: Plan) -> dict[str, Any]:
    scores = plan.teacher_scores
    return {
        "teacher": plan.teacher or "none: this is the first release",
        "recipe": plan.recipe.name,
        plan.sampling.relation.removeprefix("marts."): plan.sampling.data_version,
        "examples": plan.examples.data_version,
        **({"delta_version": scores.version, "delta_table_id": scores.table_id} if scores else {}),
    }


def of_candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "teacher": candidate.plan.teacher or "none",
        "recipe": candidate.plan.recipe.name,
        "rows": candidate.inputs[0].rows,
        "final_loss": candidate.curve[-1]["loss"],
        "inputs": inputs_table(candidate.inputs),
    }


def of_pair(pair: Pair) -> dict[str, Any]:
    notes = {action: one.note for action, one in pair.calibrator.actions.items() if one.note}
    return {
        "rows": pair.calibrated_on.rows,
        "calibration": dg.MetadataValue.json(pair.calibrator.to_json()),
        **({"thin_evidence": dg.MetadataValue.json(notes)} if notes else {}),
    }


def of_evaluation(judged: Evaluation) -> dict[str, Any]:
    control = judged.metrics.get("control", {}).get("summary", {})
    return {
        "release": judged.release,
        "teacher": judged.teacher or "none: this is the first release",
        "inputs": inputs_table(judged.inputs),
        "rows": judged.metrics["rows"],
        **{name: value for name, value in judged.metrics["summary"].items() if value is not None},
        **{f"{name}_without_teacher": value for name, value in control.items() if value is not None},
        "gate": dg.MetadataValue.md(criteria_table(judged)),
        "without_a_feature": dg.MetadataValue.md(robustness_table(judged)),
        **{name.removesuffix(".png"): picture(content) for name, content in judged.pictures.items()},
    }


def of_release(judged: Evaluation, pointer: Pointer) -> dict[str, Any]:
    return {"production": pointer.production or "nothing", "pointer_version": pointer.version} | of_evaluation(judged)


def gate_check(judged: Evaluation) -> dg.AssetCheckResult:
    """The gate as a blocking check: only a pass lets the release step run."""
    return dg.AssetCheckResult(
        check_name="gate",
        passed=judged.decision.verdict == "pass",
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{judged.decision.verdict}: {judged.decision.reason}",
        metadata={"verdict": judged.decision.verdict, "criteria": dg.MetadataValue.md(criteria_table(judged))},
    )


def inputs_table(inputs: Sequence[Input]) -> dg.MarkdownMetadataValue:
    """Every table version that was read, as a row of a Markdown table."""
    lines = ["| relation | table id | version | rows |", "|---|---|---|---|"]
    lines += [f"| {one.relation} | {one.table_id} | {one.version} | {one.rows:,} |" for one in inputs]
    return dg.MetadataValue.md("\n".join(lines))


def criteria_table(judged: Evaluation) -> str:
    """Every criterion as a row of a Markdown table."""
    lines = ["| criterion | status | figure | limit | reason |", "|---|---|---|---|---|"]
    for criterion in judged.decision.criteria:
        numbers = ["" if number is None else f"{number:.4g}" for number in (criterion.figure, criterion.limit)]
        lines.append(f"| {criterion.name} | {criterion.status} | {' | '.join(numbers)} | {criterion.reason} |")
    return "\n".join(lines)


def robustness_table(judged: Evaluation) -> str:
    """What each feature's lack would cost, as a row of a Markdown table."""
    lines = ["| without | action | AUC lost | log loss gained | PCOC |", "|---|---|---|---|---|"]
    for loss in judged.metrics["robustness"]:
        numbers = [loss[name] for name in ("auc_lost", "log_loss_gained", "pcoc")]
        figures = ["" if number is None else f"{number:.4f}" for number in numbers]
        lines.append(f"| {loss['group']} | {loss['action']} | {' | '.join(figures)} |")
    return "\n".join(lines)


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![](data:image/png;base64,{base64.b64encode(png).decode()})")
