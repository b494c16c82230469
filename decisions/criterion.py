"""A criterion's outcome, and the one decision that follows from all of them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Verdict = Literal["pass", "needs-a-person", "block"]
# In the order in which they are read: what speaks against a release first. One that warns holds nothing up.
Status = Literal["block", "needs-a-person", "warn", "pass", "not applicable"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One question put to a candidate: its figure, the interval's two bounds that were looked at, the limit, why."""

    name: str
    status: Status
    figure: float | None = None
    lower: float | None = None
    upper: float | None = None
    limit: float | None = None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """As plain JSON: a number that is not finite becomes null."""
        return {
            "name": self.name,
            "status": self.status,
            "figure": _finite(self.figure),
            "lower": _finite(self.lower),
            "upper": _finite(self.upper),
            "limit": _finite(self.limit),
            "reason": self.reason,
        }


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The verdict over all criteria, in one sentence and in full."""

    verdict: Verdict
    criteria: tuple[Criterion, ...]
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "criteria": [criterion.to_json() for criterion in self.criteria],
        }


def judge(criteria: Iterable[Criterion]) -> Decision:
    """Block if any criterion blocks, else needs-a-person if any needs one, else pass.

    Nothing asked is nothing shown: without a single criterion that applied, the verdict is block.

    >>> judge([Criterion(name="auc", status="pass", reason="clears .52"),
    ...        Criterion(name="pcoc", status="block", reason="30 % off")]).reason
    'pcoc: 30 % off'
    """
    criteria = tuple(criteria)
    applied = [criterion for criterion in criteria if criterion.status != "not applicable"]
    if not applied:
        return Decision(verdict="block", criteria=criteria, reason="no criterion applied: nothing speaks for a release")
    for verdict in ("block", "needs-a-person"):
        because = [criterion for criterion in applied if criterion.status == verdict]
        if because:
            reason = "; ".join(f"{criterion.name}: {criterion.reason}" for criterion in because)
            return Decision(verdict=verdict, criteria=criteria, reason=reason)
    skipped, warnings = len(criteria) - len(applied), [one.name for one in applied if one.status == "warn"]
    reason = f"all {len(applied)} criteria pass" + (f", {skipped} not applicable" if skipped else "")
    if warnings:
        reason = f"no criterion speaks against it; a warning of {', '.join(warnings)}"
    return Decision(verdict="pass", criteria=criteria, reason=reason)


def in_order(criteria: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Criteria as plain JSON, those that speak against a release first."""
    return sorted(criteria, key=lambda one: STATUSES.index(one["status"]))


def missing(name: str, reason: str) -> Criterion:
    """What should be there and is not: missing data is never a pass."""
    return Criterion(name=name, status="block", reason=reason)


def not_applicable(name: str, reason: str) -> Criterion:
    """What the data set's contract declares absent, or what needs a production model before there is one."""
    return Criterion(name=name, status="not applicable", reason=reason)


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
