"""What the Dagster UI shows of each step: numbers, table versions, the teacher, and pictures."""

import base64
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg

from lakehouse.home import home
from orchestration.card import CARD
from orchestration.page import figure, in_order, number
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
    """What decides comes first, then the figures beside what they are compared with, then the pictures."""
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
        "teacher": judged.teacher or "none: this is the first release",
        "gate": criteria_table(judged),
        "rows": judged.metrics["rows"],
        **{name: round(value, DIGITS) for name, value in judged.metrics["summary"].items() if value is not None},
        **{name: round(value, DIGITS) for name, value in compared.items() if value is not None},
        "inputs": inputs_table(judged.inputs),
        "without_a_feature": robustness_table(judged),
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
        metadata={"verdict": judged.decision.verdict, "criteria": criteria_table(judged)},
    )


def inputs_table(inputs: Sequence[Input]) -> dg.TableMetadataValue:
    """Every table version that was read."""
    return table(
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
    return table(
        {
            "verdict": one["status"],
            "criterion": one["name"],
            "reason": one["reason"],
            **{name: number(one[name]) for name in ("figure", "lower", "upper", "limit")},
        }
        for one in in_order([criterion.to_json() for criterion in judged.decision.criteria])
    )


def robustness_table(judged: Evaluation) -> dg.TableMetadataValue:
    """What each feature's lack would cost, the costliest first."""
    return table(
        {
            "without": loss["group"],
            "action": loss["action"],
            **{name.replace("_", " "): figure(loss[name]) for name in ("auc_lost", "log_loss_gained", "pcoc")},
        }
        for loss in judged.metrics["robustness"]
    )


def table(rows: Iterable[dict[str, str | int]]) -> dg.TableMetadataValue:
    """Rows that the UI shows under their names as they are: a reason may hold what Markdown would take for a column."""
    records = [dg.TableRecord(row) for row in rows]
    columns = [
        dg.TableColumn(name, "int" if isinstance(value, int) else "string")
        for name, value in (records[0].data.items() if records else ())
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![](data:image/png;base64,{base64.b64encode(png).decode()})")
