"""Rollout: what each kind of figures leads to, replays, and the arithmetic against SciPy and by simulation."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.stats import binom

from decisions.rollout import (
    ArmCounts,
    Measured,
    RampFigures,
    RampState,
    RolloutDecision,
    RolloutRules,
    Spread,
    StepCounts,
    decide,
)
from decisions.rollout.evidence import deviation, dispersion, log_likelihood_ratio, odds, planned_limit

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
RULES = RolloutRules()
RATES = {"errors": 0.02, "slow": 0.05, "engaged": 0.1}


def measured(rate: float, *, ratio: float = 1.0, steps: int = 1, requests: int | None = None) -> Measured:
    """Every user brings one request; each step has just the requests that it asks for."""
    found = []
    for share, asked in zip(RULES.shares[:steps], RULES.requests, strict=False):
        canary, others = requests or asked, round((requests or asked) / share) - (requests or asked)
        found.append(
            StepCounts(
                share=share,
                canary=ArmCounts(users=canary, requests=canary, events=round(canary * rate * ratio)),
                control=ArmCounts(users=others, requests=others, events=round(others * rate)),
            )
        )
    spreads = [
        Spread(
            requests_squared=sum(getattr(one, arm).requests for one in found),
            requests_events=sum(getattr(one, arm).events for one in found),
            events_squared=sum(getattr(one, arm).events for one in found),
        )
        for arm in ("canary", "control")
    ]
    return Measured(as_of=NOW, steps=tuple(found), canary_spread=spreads[0], control_spread=spreads[1])


def figures(ratios: Mapping[str, float] | None = None, *, steps: int = 1, requests: int | None = None) -> RampFigures:
    return RampFigures(
        guardrails={
            name: measured(rate, ratio=(ratios or {}).get(name, 1.0), steps=steps, requests=requests)
            for name, rate in RATES.items()
        }
    )


def decided(found: RampFigures | None, *, step: int = 0, held: str | None = None) -> RolloutDecision:
    return decide(found, state=RampState(step=step, since=NOW - timedelta(hours=1), held=held), now=NOW)


def test_a_healthy_canary_goes_on_step_by_step_and_is_promoted() -> None:
    found = [decided(figures(steps=step + 1), step=step) for step in range(4)]
    assert [(one.action, one.share) for one in found] == [("ramp", 0.05), ("ramp", 0.2), ("ramp", 0.5), ("promote", 1)]


@pytest.mark.parametrize(("guardrail", "ratio"), [("errors", 3), ("slow", 4), ("engaged", 0.6)])
def test_harm_reverts_and_is_named(guardrail: str, ratio: float) -> None:
    found = decided(figures({guardrail: ratio}))
    assert (found.action, found.share) == ("revert", 0)
    assert found.reason.startswith(f"{guardrail}: ")
    assert [one.status for one in found.findings if one.guardrail == guardrail] == ["harm"]


@pytest.mark.parametrize(("guardrail", "ratio"), [("errors", 0.3), ("slow", 0.2), ("engaged", 1.5)])
def test_a_better_canary_is_not_reverted(guardrail: str, ratio: float) -> None:
    assert decided(figures({guardrail: ratio})).action == "ramp"


def test_harm_in_traffic_outweighs_a_persons_hold_and_what_is_missing() -> None:
    found = RampFigures(guardrails={**figures({"errors": 3}).guardrails, "engaged": None})
    assert decided(found, held="waiting for Ada").action == "revert"


def test_a_person_holds_a_healthy_canary() -> None:
    found = decided(figures(), held="waiting for Ada")
    assert (found.action, found.share) == ("hold", 0.01)
    assert "waiting for Ada" in found.reason


def test_what_cannot_be_known_yet_holds() -> None:
    assert decided(None).action == "hold"
    assert "4,000 of 5,000 requests" in decided(figures(requests=4_000)).reason
    assert "no figures at 5%" in decided(figures(steps=1), step=1).reason
    soon = decide(figures(), state=RampState(step=0, since=NOW - timedelta(minutes=5)), now=NOW)
    assert (soon.action, "less than 0:30:00" in soon.reason) == ("hold", True)


@pytest.mark.parametrize("guardrail", RATES)
@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_old_figures_hold_whatever_they_say(guardrail: str, ratio: float) -> None:
    found = figures({"errors": ratio})
    old = {
        name: replace(one, as_of=NOW - timedelta(hours=1)) if one and (name == guardrail or ratio > 1) else one
        for name, one in found.guardrails.items()
    }
    decision = decided(RampFigures(guardrails=old))
    assert (decision.action, "ago" in decision.reason) == ("hold", True)


def test_an_arm_whose_users_are_missing_holds() -> None:
    found = figures().guardrails["errors"]
    assert found is not None
    [step] = found.steps
    lost = replace(step, control=ArmCounts(users=300_000, requests=300_000, events=6_000))
    decision = decided(RampFigures(guardrails={**figures().guardrails, "errors": replace(found, steps=(lost,))}))
    assert (decision.action, "standard deviations from its share" in decision.reason) == ("hold", True)


def test_engagement_that_stops_arriving_in_both_arms_holds() -> None:
    silent = RampFigures(guardrails={**figures().guardrails, "engaged": measured(0.0)})
    decision = decided(silent)
    assert (decision.action, "cut off" in decision.reason) == ("hold", True)


def test_a_suspicion_holds_and_the_last_step_asks_that_harm_is_ruled_out() -> None:
    suspicious = decided(figures({"errors": 1.35}))
    assert (suspicious.action, "below 10 it goes on" in suspicious.reason) == ("hold", True)
    few = RolloutRules(requests=(1_000,) * 4)
    state = RampState(step=3, since=NOW - timedelta(hours=1))
    unclear = decide(figures(steps=4, requests=1_000), state=state, now=NOW, rules=few)
    assert (unclear.action, "a ratio of 0.9 is not ruled out" in unclear.reason) == ("hold", True)


@pytest.mark.parametrize("rate", [0.0, 0.0001])
def test_a_service_without_errors_to_compare_still_goes_to_production(rate: float) -> None:
    found = decided(RampFigures(guardrails={**figures(steps=4).guardrails, "errors": measured(rate, steps=4)}), step=3)
    assert (found.action, found.findings[0].status) == ("promote", "clear")


@pytest.mark.parametrize("ratios", [{}, {"errors": 3.0}, {"engaged": 0.97}])
def test_a_decision_is_replayed_from_its_record(ratios: dict[str, float]) -> None:
    state = RampState(step=1, since=NOW - timedelta(hours=1))
    decision = decide(figures(ratios, steps=2), state=state, now=NOW)
    record = json.loads(json.dumps([figures(ratios, steps=2).to_json(), state.to_json(), NOW.isoformat()]))
    again = decide(
        RampFigures.from_json(record[0]),
        state=RampState.from_json(record[1]),
        now=datetime.fromisoformat(record[2]),
    )
    assert again == decision
    json.dumps(decision.to_json(), allow_nan=False)


def test_steps_that_lead_nowhere_are_refused() -> None:
    with pytest.raises(ValueError, match="rise"):
        RolloutRules(shares=(0.1, 0.05, 1), requests=(10, 10))
    with pytest.raises(ValueError, match="one entry"):
        RolloutRules(shares=(0.1, 1), requests=(10, 10))
    with pytest.raises(ValueError, match="step is 4"):
        decided(figures(), step=4)


def test_all_guardrails_together_revert_at_most_a_two_hundredth_of_harmless_canaries() -> None:
    assert sum(one.level + one.planned_level for one in RULES.guardrails) <= 0.005 + 1e-12


def test_the_likelihood_ratio_is_that_of_binomial_counts_summed_over_steps() -> None:
    steps = measured(0.02, ratio=1.7, steps=3).steps
    expected = 0.0
    for step in steps:
        events = step.canary.events + step.control.events
        for ratio, sign in ((2.0, 1), (1.25, -1)):
            chance = step.share * ratio / (step.share * ratio + 1 - step.share)
            expected += sign * binom.logpmf(step.canary.events, events, chance)
    found = log_likelihood_ratio(steps, ratio=2, against=1.25, dispersion=2)
    assert found == pytest.approx(expected / 2, rel=1e-9)


def test_control_at_another_level_in_each_step_is_no_difference() -> None:
    """At 1 % of users the rate was 2 %, at 50 % it is 8 %: pooled, the canary would seem to have more."""
    steps = (
        StepCounts(
            share=0.01,
            canary=ArmCounts(users=1_000, requests=1_000, events=20),
            control=ArmCounts(users=99_000, requests=99_000, events=1_980),
        ),
        StepCounts(
            share=0.5,
            canary=ArmCounts(users=10_000, requests=10_000, events=800),
            control=ArmCounts(users=10_000, requests=10_000, events=800),
        ),
    )
    assert deviation(steps, against=1, dispersion=1) == pytest.approx(0, abs=1e-6)
    assert odds(steps, ratios=((1.2, 1.0),), against=1, spread=1) < 0.01


def test_dispersion_is_the_variance_of_users_over_that_of_independent_events() -> None:
    chance = np.random.default_rng(1)
    requests = chance.integers(1, 10, 20_000)
    events = chance.binomial(requests, chance.beta(1, 9, 20_000))
    arm = ArmCounts(users=20_000, requests=int(requests.sum()), events=int(events.sum()))
    spread = Spread(
        requests_squared=int(requests @ requests),
        requests_events=int(requests @ events),
        events_squared=int(events @ events),
    )
    step = StepCounts(share=0.5, canary=arm, control=arm)
    found = dispersion(Measured(as_of=NOW, steps=(step,), canary_spread=spread, control_spread=spread))
    rate = events.sum() / requests.sum()
    assert found == pytest.approx(((events - rate * requests) ** 2).sum() / events.sum())
    # Of a beta-binomial with intraclass correlation 1/11: (1 − p) (1 + (E[n²] / E[n] − 1) / 11).
    size = (requests @ requests) / requests.sum()
    assert found == pytest.approx((1 - rate) * (1 + (size - 1) / 11), rel=0.03)


def test_harmless_traffic_seldom_passes_either_boundary_at_any_of_many_looks() -> None:
    """Level .1 for both tests, 400 looks at 2,000 streams: .1 and three standard errors at most, and not far below."""
    chance = np.random.default_rng(2)
    streams, looks, level = 2_000, 400, 0.1
    of_canary = chance.binomial(5, 0.5, (streams, looks)).cumsum(axis=1)
    by_odds, by_plan = 0, 0
    for canary in of_canary:
        passed = [False, False]
        for look in range(9, looks, 10):
            requests = (look + 1) * 25
            arms = [
                ArmCounts(users=requests, requests=requests, events=int(events))
                for events in (canary[look], (look + 1) * 5 - canary[look])
            ]
            steps = (StepCounts(share=0.5, canary=arms[0], control=arms[1]),)
            passed[0] |= odds(steps, ratios=((1.2, 1.0),), against=1, spread=1) >= 1 / level
            limit = planned_limit(steps, level=level, requests=looks * 25 // 2)
            passed[1] |= deviation(steps, against=1, dispersion=1) >= limit
        by_odds, by_plan = by_odds + passed[0], by_plan + passed[1]
    assert 0.04 < by_odds / streams <= 0.12
    assert 0.04 < by_plan / streams <= 0.12
