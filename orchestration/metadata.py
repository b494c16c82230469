"""What the Dagster UI shows of each step: numbers, table versions, the teacher, and pictures."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from decisions.criterion import in_order
from lakehouse.home import home
from orchestration.card import CARD
from orchestration.page import figure, number
from orchestration.plan import Plan
from orchestration.retrain import Candidate, Evaluation, Pair
from registry import Input, Pointer

# Of a figure in the UI; more are noise.
DIGITS = 6


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
    """What decides comes first, then the figures beside what they are compared with, then the pictures.

    Every criterion stands in the check, whose page has room for them.
    """
    beside = {"of_production": "production", "without_teacher": "control"}
    compared = {
        f"{name}_{suffix}": value
        for suffix, side in beside.items()
        for name, value in judged.metrics.get(side, {}).get("summary", {}).items()
    }
    return {
        "release": judged.release,
        "verdict": judged.decision.verdict,
        "reason": judged.decision.reason,
        "card": dg.MetadataValue.path(home().releases / judged.release / CARD),
        "teacher": judged.teacher or "none",
        **({"teacher_verdict": told["reason"]} if (told := judged.metrics.get("teacher")) else {}),
        "rows": judged.metrics["rows"],
        **{name: round(value, DIGITS) for name, value in judged.metrics["summary"].items() if value is not None},
        **{name: round(value, DIGITS) for name, value in compared.items() if value is not None},
        **{name.removesuffix(".png"): picture(content) for name, content in judged.pictures.items()},
        "without_a_feature": robustness_table(judged),
        "inputs": inputs_table(judged.inputs),
    }


def of_release(judged: Evaluation, pointer: Pointer) -> dict[str, Any]:
    standing = {"production": pointer.production or "nothing", "canary": pointer.canary or "nothing"}
    return {**standing, "canary_share": pointer.canary_share, "pointer_version": pointer.version} | of_evaluation(
        judged
    )


def gate_check(judged: Evaluation) -> dg.AssetCheckResult:
    """The gate as a blocking check: only a pass lets the release step run."""
    return dg.AssetCheckResult(
        check_name="gate",
        passed=judged.decision.verdict == "pass",
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{judged.decision.verdict}: {judged.decision.reason}",
        metadata={"verdict": judged.decision.verdict, "criteria": criteria_table(judged)},
    )


def inputs_table(inputs: Sequence[Input]) -> dg.MarkdownMetadataValue:
    """Every table version that was read."""
    return markdown(
        {
            "relation": one.relation,
            "rows": one.rows,
            "version": one.version,
            "table id": one.table_id,
            "sha256 of the rows": one.content_hash,
        }
        for one in inputs
    )


def criteria_table(judged: Evaluation) -> dg.TableMetadataValue:
    """Every criterion, those that speak against the release first."""
    records = [
        dg.TableRecord(
            {
                "verdict": one["status"],
                "criterion": one["name"],
                "reason": one["reason"],
                **{name: number(one[name]) for name in ("figure", "lower", "upper", "limit")},
            }
        )
        for one in in_order([criterion.to_json() for criterion in judged.decision.criteria])
    ]
    return dg.MetadataValue.table(records)


def robustness_table(judged: Evaluation) -> dg.MarkdownMetadataValue:
    """What each feature's lack would cost, the costliest first."""
    return markdown(
        {
            "without": loss["group"],
            "action": loss["action"],
            **{name.replace("_", " "): figure(loss[name]) for name in ("auc_lost", "log_loss_gained", "pcoc")},
        }
        for loss in judged.metrics["robustness"]
    )


def markdown(rows: Iterable[Mapping[str, object]]) -> dg.MarkdownMetadataValue:
    """Rows as a Markdown table, which the page of an asset folds away; a `|` in a cell begins no column."""
    rows = list(rows)
    titles = list(rows[0]) if rows else []
    lines = [titles, ["---"] * len(titles), *([str(row[title]) for title in titles] for row in rows)]
    escaped = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines)
    return dg.MetadataValue.md("\n".join(f"| {line} |" for line in escaped))


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![](data:image/png;base64,{base64.b64encode(png).decode()})")
