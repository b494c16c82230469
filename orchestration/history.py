"""Decisions and releases as rows: what the registry keeps for good, shown to SQL in ops.*."""

import json
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakehouse import ops
from lakehouse.home import Home
from lakehouse.session import connect
from orchestration.pointers import publish_pointers
from orchestration.rollout import decisions

if TYPE_CHECKING:
    # Imports torch, which on-call need not wait for.
    from orchestration.retrain import Evaluation
from registry.registry import Registry

TIME = pa.timestamp("us", "UTC")


def record_decision(judged: "Evaluation", *, home: Home, registry: Registry) -> None:
    """Every criterion of the gate as a row of ops.gate_decisions, and the verdict in the journal; once per release."""
    decision = judged.decision
    registry.record_gate(judged.release, verdict=decision.verdict, reason=decision.reason)
    rows = [criterion.to_json() for criterion in decision.criteria]
    rows.append({"name": "overall", "status": decision.verdict, "reason": decision.reason})
    judged_at = next(
        entry.at for entry in registry.journal() if entry.event == "gate" and entry.release == judged.release
    )
    _append_decisions(
        [
            {
                "release_id": judged.release,
                "judged_at": _time(judged_at),
                "partition": judged.partition,
                "verdict": decision.verdict,
                "criterion": row["name"],
                **{name: row.get(name) for name in ("status", "figure", "lower", "upper", "limit", "reason")},
            }
            for row in rows
        ],
        home=home,
    )


def _append_decisions(rows: list[dict[str, Any]], *, home: Home) -> None:
    schema = pa.schema(
        [
            ("release_id", pa.string()),
            ("judged_at", TIME),
            ("partition", pa.string()),
            ("verdict", pa.string()),
            ("criterion", pa.string()),
            ("status", pa.string()),
            ("figure", pa.float64()),
            ("lower", pa.float64()),
            ("upper", pa.float64()),
            ("limit", pa.float64()),
            ("reason", pa.string()),
        ]
    )
    table = pa.Table.from_pylist(rows, schema=schema)
    ops.append(connect(home), "ops.gate_decisions", table, home=home, key=("release_id", "criterion"))


def _time(at: str) -> datetime:
    return datetime.fromisoformat(at).astimezone(UTC)


def publish_history(registry: Registry, *, home: Home) -> None:
    """Bring SQL up to the journal: in ops.releases a row for each thing that happened to a release, in
    ops.gate_decisions one for each override, as the criterion `override`, in ops.rollout_decisions one for each
    decision on a canary that was kept, in ops.exclusions those that are in force; ops.pointers and ops.experiments.
    """
    _publish_exclusions(registry, home=home)
    _publish_rollouts(home)
    publish_pointers(registry, home=home)
    # Loading verifies every byte; a release that was saved, promoted and reverted needs that once.
    load = cache(registry.load)
    overrides = [
        {
            "release_id": release_id,
            "judged_at": _time(entry.at),
            "partition": load(release_id).lineage.partition,
            "verdict": entry.details["verdict"],
            "criterion": "override",
            "status": "pass",
            "reason": f"{entry.details['by']}: {entry.reason}",
        }
        for release_id, entry in registry.overridden().items()
    ]
    if overrides:
        _append_decisions(overrides, home=home)
    rows = []
    for entry in registry.journal():
        if entry.event == "gate" or entry.release is None:
            continue
        artifact = load(entry.release)
        rows.append(
            {
                "release_id": entry.release,
                "event": entry.event,
                "at": _time(entry.at),
                "partition": artifact.lineage.partition,
                "teacher": artifact.lineage.teacher,
                "pointer_version": entry.details.get("pointer_version"),
                "reason": entry.reason,
                "metrics": list(artifact.json("metrics.json")["summary"].items()),
                "inputs": json.dumps([vars(source) for source in artifact.lineage.inputs], sort_keys=True),
            }
        )
    ops.append(
        connect(home),
        "ops.releases",
        pa.Table.from_pylist(
            rows,
            schema=pa.schema(
                [
                    ("release_id", pa.string()),
                    ("event", pa.string()),
                    ("at", TIME),
                    ("partition", pa.string()),
                    ("teacher", pa.string()),
                    ("pointer_version", pa.int64()),
                    ("reason", pa.string()),
                    ("metrics", pa.map_(pa.string(), pa.float64())),
                    ("inputs", pa.string()),
                ]
            ),
        ),
        home=home,
        key=("release_id", "event", "at"),
    )


def _publish_rollouts(home: Home) -> None:
    """Every decision on a canary that was kept."""
    rows = [
        {
            "release_id": one.release,
            "decided_at": one.at.astimezone(UTC),
            "pointer_version": one.pointer_version,
            "share": one.rules.shares[one.state.step],
            "action": one.decision.action,
            "next_share": one.decision.share,
            "reason": one.decision.reason,
            "findings": json.dumps([finding.to_json() for finding in one.decision.findings], sort_keys=True),
            "taken_on": json.dumps({name: one.to_json()[name] for name in ("figures", "state", "rules")}),
        }
        for one in decisions(home)
    ]
    schema = pa.schema(
        [
            ("release_id", pa.string()),
            ("decided_at", TIME),
            ("pointer_version", pa.int64()),
            ("share", pa.float64()),
            ("action", pa.string()),
            ("next_share", pa.float64()),
            ("reason", pa.string()),
            ("findings", pa.string()),
            ("taken_on", pa.string()),
        ]
    )
    table = pa.Table.from_pylist(rows, schema=schema)
    ops.append(connect(home), "ops.rollout_decisions", table, home=home, key=("release_id", "decided_at"))


def _publish_exclusions(registry: Registry, *, home: Home) -> None:
    """The exclusions in force, in place of those that were; a version of the table only where something changed."""
    schema = pa.schema(
        [
            ("number", pa.int64()),
            ("kind", pa.string()),
            ("release_id", pa.string()),
            ("since", TIME),
            ("until", TIME),
            ("excluded_by", pa.string()),
            ("excluded_at", TIME),
            ("reason", pa.string()),
        ]
    )
    spark = connect(home)
    known = {(row.kind, row.number) for row in spark.table("ops.exclusions").select("kind", "number").collect()}
    for kind in ("release", "window"):
        rows = [
            {
                "number": one.number,
                "kind": kind,
                "release_id": one.release,
                "since": _time(one.since) if one.since else None,
                "until": _time(one.until) if one.until else None,
                "excluded_by": one.by,
                "excluded_at": _time(one.at),
                "reason": one.reason,
            }
            for one in registry.exclusions()
            if one.kind == kind
        ]
        if {(kind, row["number"]) for row in rows} != {one for one in known if one[0] == kind}:
            table = pa.Table.from_pylist(rows, schema=schema)
            ops.replace(spark, "ops.exclusions", table, home=home, column="kind", value=kind)
