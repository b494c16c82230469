"""Simulated ramps: healthy ones, planted harm, figures cut off at each step; beside it a threshold rule. (5 minutes)

A look every 5,000 requests, those of 1,000 users with five each. Engagement has a design effect of 2, and rises and
falls by 30 % over 48 looks. A fifth of engagement missing, or errors at three times their rate, are planted
from the first request on. The settings were chosen on seeds from 10,000 on; judged are seeds from 0 on.

The threshold rule takes a canary back once, after 100 requests, it has 1.5 times the errors or slow requests of
control, or less than nine tenths of its engagement.
"""

import argparse
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from math import pi, sin
from multiprocessing import get_context

# One thread a process: NumPy's own would wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import betabinom, binom

from benchmarks._figures import Figure, report
from benchmarks._shares import Share
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
from simulator.chance import generator

RULES = RolloutRules()
START = datetime(2026, 1, 5, tzinfo=UTC)
USERS, REQUESTS_A_USER = 1_000, 5
LOOK = timedelta(seconds=100)
# A ramp that cannot decide by then is held on.
MOST_LOOKS = 800
# What a healthy ramp needs of all arms' traffic.
TRAFFIC = 1_100_000
INTRACLASS = {"errors": 0.0, "slow": 0.05, "engaged": 0.25}
SLOW, ENGAGED = 0.05, 0.05
WAVE, WAVES = 0.3, 48
AFTER, TOO_MANY, TOO_FEW = 100, 1.5, 0.9


@dataclass(frozen=True, kw_only=True)
class Case:
    """Control's error rate, and what the canary's rates are to control's."""

    name: str
    errors: float
    ratios: Mapping[str, float] = field(default_factory=dict)


HEALTHY = tuple(Case(name=f"healthy, {errors:.1%} errors", errors=errors) for errors in (0.001, 0.02, 0.05))
ERRORS = Case(name="errors 2 → 6 %", errors=0.02, ratios={"errors": 3})
ENGAGEMENT = Case(name="engagement −20 %", errors=0.02, ratios={"engaged": 0.8})
SLOWER = Case(name="three times as many slow", errors=0.02, ratios={"slow": 3})


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a ramp ended, after how many requests, and after how many of the canary the threshold rule took it back."""

    action: str
    requests: int
    canary_requests: int
    threshold_at: int | None


@dataclass(kw_only=True)
class Tally:
    """What a ramp's figures add up to, by guardrail: events and spread of canary and control by step."""

    users: list[list[int]] = field(default_factory=list)
    events: dict[str, list[list[int]]] = field(default_factory=lambda: {name: [] for name in INTRACLASS})
    spreads: dict[str, list[list[int]]] = field(
        default_factory=lambda: {name: [[0, 0, 0], [0, 0, 0]] for name in INTRACLASS}
    )

    def begin_step(self) -> None:
        self.users.append([0, 0])
        for steps in self.events.values():
            steps.append([0, 0])

    def figures(self, *, as_of: datetime) -> RampFigures:
        return RampFigures(guardrails={name: self._measured(name, as_of=as_of) for name in INTRACLASS})

    def _measured(self, name: str, *, as_of: datetime) -> Measured:
        steps = []
        for share, users, events in zip(RULES.shares, self.users, self.events[name], strict=False):
            canary, control = (
                ArmCounts(users=arm_users, requests=REQUESTS_A_USER * arm_users, events=arm_events)
                for arm_users, arm_events in zip(users, events, strict=True)
            )
            steps.append(StepCounts(share=share, canary=canary, control=control))
        canary_spread, control_spread = (
            Spread(requests_squared=squared, requests_events=crossed, events_squared=events)
            for squared, crossed, events in self.spreads[name]
        )
        return Measured(as_of=as_of, steps=tuple(steps), canary_spread=canary_spread, control_spread=control_spread)


@cache
def chances(name: str, rate: float) -> np.ndarray:
    """Of 0, 1, … events among a user's requests."""
    counts, intraclass = np.arange(REQUESTS_A_USER + 1), INTRACLASS[name]
    if intraclass == 0:
        found = binom.pmf(counts, REQUESTS_A_USER, rate)
    else:
        size = 1 / intraclass - 1
        found = betabinom.pmf(counts, REQUESTS_A_USER, rate * size, (1 - rate) * size)
    return found / found.sum()


def looks(case: Case, *, seed: int) -> Iterator[tuple[RampFigures, RampState, datetime, RolloutDecision]]:
    """A ramp as a sensor sees it, until it is promoted or reverted."""
    chance = generator(seed, case.name)
    tally, step, since = Tally(), 0, START
    tally.begin_step()
    counts = np.arange(REQUESTS_A_USER + 1)
    for look in range(MOST_LOOKS):
        now = START + (look + 1) * LOOK
        wave = 1 + WAVE * sin(2 * pi * (look % WAVES) / WAVES)
        canary_users = int(chance.binomial(USERS, RULES.shares[step]))
        for place, users in enumerate((canary_users, USERS - canary_users)):
            tally.users[step][place] += users
            for name, rate in (("errors", case.errors), ("slow", SLOW), ("engaged", ENGAGED)):
                ratio = case.ratios.get(name, 1) if place == 0 else 1
                level = rate * ratio * (wave if name == "engaged" else 1)
                users_by_count = chance.multinomial(users, chances(name, level))
                events = int(users_by_count @ counts)
                tally.events[name][step][place] += events
                sums = tally.spreads[name][place]
                sums[0] += REQUESTS_A_USER**2 * users
                sums[1] += REQUESTS_A_USER * events
                sums[2] += int(users_by_count @ counts**2)
        figures, state = tally.figures(as_of=now), RampState(step=step, since=since)
        decision = decide(figures, state=state, now=now, rules=RULES)
        yield figures, state, now, decision
        if decision.action in ("promote", "revert"):
            return
        if decision.action == "ramp":
            step, since = step + 1, now
            tally.begin_step()


def outcome(case: Case, seed: int) -> Outcome:
    decisions = [decision for *_, decision in looks(case, seed=seed)]
    reached = [one.findings[0].canary_requests for one in decisions]
    beyond = (requests for one, requests in zip(decisions, reached, strict=True) if beyond_thresholds(one))
    return Outcome(
        action=decisions[-1].action,
        requests=len(decisions) * USERS * REQUESTS_A_USER,
        canary_requests=reached[-1],
        threshold_at=next(beyond, None),
    )


def beyond_thresholds(decision: RolloutDecision) -> bool:
    found = {one.guardrail: (one.canary_rate or 0, one.control_rate or 0) for one in decision.findings}
    return decision.findings[0].canary_requests >= AFTER and (
        any(found[name][0] > TOO_MANY * found[name][1] for name in ("errors", "slow"))
        or found["engaged"][0] < TOO_FEW * found["engaged"][1]
    )


def cut_off(seed: int) -> list[str]:
    """The actions on figures that are cut off, each way, at each step of a healthy ramp that was about to go on."""
    found: list[str] = []
    for figures, state, now, decision in looks(HEALTHY[1], seed=seed):
        if decision.action not in ("ramp", "promote"):
            continue
        found.append(decide(None, state=state, now=now, rules=RULES).action)
        # As if it had gone on and nothing new came.
        if decision.action == "ramp":
            moved = RampState(step=state.step + 1, since=now)
            later = now + RULES.oldest_figures
            found.append(decide(figures, state=moved, now=later, rules=RULES).action)
        for name, measured in figures.guardrails.items():
            assert measured is not None
            *before, last = measured.steps
            nothing = ArmCounts(users=0, requests=0, events=0)
            broken = [
                None,
                replace(measured, as_of=now - RULES.oldest_figures - LOOK),
                replace(measured, steps=tuple(before)),
                replace(measured, steps=(*before, replace(last, canary=nothing))),
                replace(measured, steps=(*before, replace(last, control=nothing))),
                replace(measured, steps=(*before, replace(last, canary=halved(last.canary)))),
            ]
            if name == "engaged":
                silent = {arm: replace(getattr(last, arm), events=0) for arm in ("canary", "control")}
                broken.append(replace(measured, steps=(*before, replace(last, **silent))))
            for one in broken:
                partly = RampFigures(guardrails={**figures.guardrails, name: one})
                found.append(decide(partly, state=state, now=now, rules=RULES).action)
    return found


def halved(counts: ArmCounts) -> ArmCounts:
    """Half of an arm's servers do not send."""
    return ArmCounts(users=counts.users // 2, requests=counts.requests // 2, events=counts.events // 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ramps", type=int, default=2_000)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.ramps)
    print(f"seeds {seeds.start} to {seeds.stop - 1}")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        outcomes = {
            case.name: list(processes.map(partial(outcome, case), seeds, chunksize=50))
            for case in (*HEALTHY, ERRORS, ENGAGEMENT, SLOWER)
        }
        cut = [action for actions in processes.map(cut_off, seeds[:200], chunksize=10) for action in actions]
    show(outcomes)
    figures = [figure for case in HEALTHY for figure in of_healthy(case, outcomes[case.name])]
    figures.append(of_harm(ERRORS, outcomes[ERRORS.name], within=800, goal=0.99))
    figures.append(of_harm(ENGAGEMENT, outcomes[ENGAGEMENT.name], within=20_000, goal=0.95))
    held = sum(action == "hold" for action in cut)
    figures.append(
        Figure(
            figure=f"held of {len(cut)} times that figures were cut off",
            ours=held / len(cut),
            baseline=1,
            goal="all",
            holds=held == len(cut),
        )
    )
    report("canary", figures)


def of_healthy(case: Case, found: list[Outcome]) -> list[Figure]:
    reverted = Share.where(one.action == "revert" for one in found)
    promoted = Share.where(one.action == "promote" and one.requests <= TRAFFIC for one in found)
    thresholds = Share.where(one.threshold_at is not None for one in found)
    return [
        Figure(
            figure=f"reverted, {case.name} ({reverted}); baseline the threshold rule",
            ours=reverted.value,
            baseline=thresholds.value,
            goal="≤ .005",
            holds=reverted.value <= 0.005,
        ),
        Figure(
            figure=f"at 100 % by {TRAFFIC / 1e6:g} M requests, {case.name} ({promoted}); baseline spared by thresholds",
            ours=promoted.value,
            baseline=1 - thresholds.value,
            goal="≥ .95",
            holds=promoted.value >= 0.95,
        ),
    ]


def of_harm(case: Case, found: list[Outcome], *, within: int, goal: float) -> Figure:
    ours = Share.where(one.action == "revert" and one.canary_requests <= within for one in found)
    thresholds = Share.where(one.threshold_at is not None and one.threshold_at <= within for one in found)
    return Figure(
        figure=f"{case.name}: reverted within {within:,} canary requests ({ours}); baseline the threshold rule",
        ours=ours.value,
        baseline=thresholds.value,
        goal=f"≥ {goal:g}",
        holds=ours.value >= goal,
    )


def show(outcomes: Mapping[str, list[Outcome]]) -> None:
    table = Table("ramps", "promoted", "reverted", "held on", "requests, median", "canary requests, median", "95 %")
    for name, found in outcomes.items():
        counts = [sum(one.action == action for one in found) for action in ("promote", "revert", "hold")]
        canary_requests = [one.canary_requests for one in found]
        table.add_row(
            name,
            *map(str, counts),
            f"{np.median([one.requests for one in found]):,.0f}",
            f"{np.median(canary_requests):,.0f}",
            f"{np.quantile(canary_requests, 0.95):,.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
