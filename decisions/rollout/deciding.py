"""The decision on a ramp: a pure function of live figures, the ramp's state and the time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite, sqrt
from typing import Any, Literal

import msgspec

from decisions.rollout.evidence import deviation, dispersion, highest_rate, odds, planned_limit
from decisions.rollout.figures import Measured, RampFigures, RampState, StepCounts
from decisions.rollout.rules import Guardrail, RolloutRules

Action = Literal["ramp", "hold", "promote", "revert"]
Status = Literal["harm", "hold", "clear"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a guardrail says: the rates since the ramp began, the odds of harm, and the odds at which it reverts.

    `ruled_out_odds` are those of the harm that must be ruled out before production; `dispersion` is the design effect.
    `deviation` is the canary's from control in standard deviations, harm above 0; it reverts at
    `deviation_reverts_at`, None once the planned requests are over. What was not measured is None.
    """

    guardrail: str
    status: Status
    reason: str
    canary_requests: int = 0
    canary_rate: float | None = None
    control_rate: float | None = None
    dispersion: float | None = None
    odds: float | None = None
    reverts_at: float
    deviation: float | None = None
    deviation_reverts_at: float | None = None
    ruled_out_odds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON: a number that is not finite becomes null."""
        return {
            name: None if isinstance(value, float) and not isfinite(value) else value
            for name, value in vars(self).items()
        }


@dataclass(frozen=True, kw_only=True)
class RolloutDecision:
    """What to do, the share of users that the canary gets by it, why, and the table of guardrails."""

    action: Action
    share: float
    reason: str
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "share": self.share,
            "reason": self.reason,
            "findings": [finding.to_json() for finding in self.findings],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "RolloutDecision":
        return msgspec.convert(content, cls)


def decide(
    figures: RampFigures | None, *, state: RampState, now: datetime, rules: RolloutRules | None = None
) -> RolloutDecision:
    """Revert if a guardrail shows harm; else hold while anything is missing, suspicious or too little; else go on.

    The next share is `ramp`; the one after the last step with control traffic is `promote`. No figures, or figures that
    are cut off, hold: nothing is promoted for want of bad news. A person's hold does not keep harm in traffic.

    Raises ValueError if the state names a step without control traffic.
    """
    rules = rules or RolloutRules()
    if not 0 <= state.step < len(rules.requests):
        raise ValueError(f"step is {state.step}; the ramp has steps 0 to {len(rules.requests) - 1} with a control")
    share = rules.shares[state.step]
    findings = tuple(_findings(figures, state=state, now=now, rules=rules))
    if harm := _reasons(findings, "harm"):
        return RolloutDecision(action="revert", share=0.0, reason=harm, findings=findings)
    waits = [f"a person holds it: {state.held}"] if state.held is not None else []
    if now - state.since < rules.least_time:
        waits.append(f"at {share:.0%} since {state.since:%H:%M}, less than {rules.least_time}")
    waits += filter(None, [_reasons(findings, "hold")])
    if waits:
        return RolloutDecision(action="hold", share=share, reason="; ".join(waits), findings=findings)
    action: Action = "promote" if state.step + 1 == len(rules.requests) else "ramp"
    reason = f"nothing speaks against it after the {rules.requests[state.step]:,} requests that {share:.0%} asks for"
    return RolloutDecision(action=action, share=rules.shares[state.step + 1], reason=reason, findings=findings)


def _reasons(findings: tuple[Finding, ...], status: Status) -> str:
    return "; ".join(f"{one.guardrail}: {one.reason}" for one in findings if one.status == status)


def _findings(
    figures: RampFigures | None, *, state: RampState, now: datetime, rules: RolloutRules
) -> Iterator[Finding]:
    for guardrail in rules.guardrails:
        measured = figures.guardrails.get(guardrail.name) if figures else None
        if measured is None:
            yield Finding(guardrail=guardrail.name, status="hold", reason="no figures", reverts_at=1 / guardrail.level)
        else:
            yield _judged(guardrail, measured, state=state, now=now, rules=rules)


def _judged(
    guardrail: Guardrail, measured: Measured, *, state: RampState, now: datetime, rules: RolloutRules
) -> Finding:
    spread, steps = dispersion(measured), measured.steps
    away = deviation(steps, against=guardrail.tolerated, dispersion=spread)
    limit = planned_limit(steps, level=guardrail.planned_level, requests=guardrail.planned_requests)
    canary_rate, control_rate = _rates(measured)
    found = Finding(
        guardrail=guardrail.name,
        status="clear",
        reason="",
        canary_requests=sum(step.canary.requests for step in steps),
        canary_rate=canary_rate,
        control_rate=control_rate,
        dispersion=spread,
        odds=odds(steps, ratios=guardrail.alternatives, against=guardrail.tolerated, spread=spread),
        reverts_at=1 / guardrail.level,
        deviation=away if guardrail.ruled_out > guardrail.tolerated else -away,
        deviation_reverts_at=limit if isfinite(limit) else None,
        ruled_out_odds=odds(steps, ratios=((guardrail.ruled_out, 1.0),), against=guardrail.tolerated, spread=spread),
    )
    if now - measured.as_of > rules.oldest_figures:
        ended = f"figures end at {measured.as_of:%Y-%m-%d %H:%M}, more than {rules.oldest_figures} ago"
        return replace(found, status="hold", reason=ended)
    if harm := _harm(found):
        return replace(found, status="harm", reason=harm)
    waits = _too_little(guardrail, measured, state=state, rules=rules) or _unsure(
        guardrail, measured, found, state=state, rules=rules
    )
    if waits:
        return replace(found, status="hold", reason=waits)
    return replace(found, reason=f"odds of {found.odds:.2g} : 1 for harm")


def _harm(found: Finding) -> str | None:
    against = []
    if found.odds is not None and found.odds >= found.reverts_at:
        against.append(f"odds of {found.odds:,.3g} : 1 for harm ({found.reverts_at:,.0f} revert)")
    away, limit = found.deviation, found.deviation_reverts_at
    if away is not None and limit is not None and away >= limit:
        against.append(f"{away:.1f} standard deviations from control ({limit:.1f} revert)")
    if not against:
        return None
    rates = (
        f"{found.canary_rate or 0:.3%} of {found.canary_requests:,} requests, {found.control_rate or 0:.3%} in control"
    )
    return f"{rates}: {', '.join(against)}"


def _too_little(guardrail: Guardrail, measured: Measured, *, state: RampState, rules: RolloutRules) -> str | None:
    """What is missing before these figures can let a canary go on; None where nothing is."""
    share = rules.shares[state.step]
    step = next((one for one in measured.steps if one.share == share), None)
    if step is None:
        return f"no figures at {share:.0%}"
    needed = rules.requests[state.step]
    if step.canary.requests < needed:
        return f"{step.canary.requests:,} of {needed:,} requests at {share:.0%}"
    if uneven := _uneven(step, limit=rules.uneven):
        return uneven
    if step.control.events < guardrail.fewest_events:
        return f"only {step.control.events} events in {step.control.requests:,} control requests: are they cut off?"
    return None


def _unsure(
    guardrail: Guardrail, measured: Measured, found: Finding, *, state: RampState, rules: RolloutRules
) -> str | None:
    """Why enough figures do not let a canary go on yet; None where they do."""
    if found.odds is not None and found.odds >= rules.suspicion:
        return (
            f"odds of {found.odds:.3g} : 1 for harm; below {rules.suspicion:g} it goes on, "
            f"at {found.reverts_at:,.0f} it is reverted"
        )
    is_last = state.step + 1 == len(rules.requests)
    is_negligible = highest_rate(measured.steps, missed=rules.missed) < guardrail.negligible
    if is_last and not is_negligible and found.ruled_out_odds is not None and found.ruled_out_odds > rules.missed:
        return (
            f"a ratio of {guardrail.ruled_out:g} is not ruled out: its odds are {found.ruled_out_odds:.2g}, "
            f"above {rules.missed:g}"
        )
    return None


def _uneven(step: StepCounts, *, limit: float) -> str | None:
    users = step.canary.users + step.control.users
    away = (step.canary.users - users * step.share) / sqrt(users * step.share * (1 - step.share))
    if abs(away) <= limit:
        return None
    return (
        f"{step.canary.users:,} of {users:,} users are the canary's, {abs(away):.0f} standard deviations from its "
        f"share of {step.share:.0%}: an arm's figures are cut off, or users are assigned wrongly"
    )


def _rates(measured: Measured) -> tuple[float | None, float | None]:
    """The canary's rate, and that of control weighted to the canary's requests by step: without it, a ramp over hours
    with other rates would show a difference where there is none."""
    steps = [step for step in measured.steps if step.canary.requests and step.control.requests]
    requests = sum(step.canary.requests for step in steps)
    if not requests:
        return None, None
    expected = sum(step.canary.requests * step.control.events / step.control.requests for step in steps)
    return sum(step.canary.events for step in steps) / requests, expected / requests
