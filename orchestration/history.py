"""Decisions and releases as rows: what the registry keeps for good, shown to SQL in ops.*."""

import json
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakehouse import ops
from lakehouse.home import Home
from lakehouse.session import connect

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
    """Bring SQL up to the journal: in ops.releases a row for each time that a release was saved, overridden, promoted
    or reverted, in ops.gate_decisions one for each override, as the criterion `override`.
    """
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
        if entry.event not in ("saved", "overridden", "promoted", "reverted") or entry.release is None:
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
