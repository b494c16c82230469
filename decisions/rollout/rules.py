"""How a ramp goes: its steps, and what is asked of a canary at each of them. Every default has its reason beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

import msgspec


@dataclass(frozen=True, kw_only=True)
class Guardrail:
    """A kind of request whose rate must not go the wrong way.

    `ratio` is canary rate / control rate. `tolerated` is the worst ratio that is no harm. `alternatives` are the ratios
    that the open-ended test looks for, with weights that sum to 1: any ratio beyond the tolerated one is found in time,
    those near an alternative soonest. `level` bounds the probability that it ever reverts a harmless canary.
    `planned_level` bounds the same for a second test, which ends with the first `planned_requests` of the canary and is
    the stronger for it. `ruled_out` is the ratio that the figures must speak against before the canary is promoted.
    A rate of the canary that is surely below `negligible` needs nothing to be ruled out: where events are rarer than
    that, their ratio would take weeks to know. With fewer than `fewest_events` of control in a step, the figures are
    taken for cut off.
    """

    name: str
    level: float
    tolerated: float
    alternatives: tuple[tuple[float, float], ...]
    ruled_out: float
    planned_level: float = 0.0
    planned_requests: int = 0
    negligible: float = 0.0
    fewest_events: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.level < 1 and 0 <= self.planned_level < 1):
            raise ValueError(f"{self.name}: level and planned_level are probabilities: above 0, from 0, below 1")
        sides = {ratio > self.tolerated for ratio, _ in self.alternatives} | {self.ruled_out > self.tolerated}
        if len(sides) != 1 or abs(sum(weight for _, weight in self.alternatives) - 1) > 1e-9:
            raise ValueError(
                f"{self.name}: alternatives {self.alternatives} and ruled_out {self.ruled_out} must lie on one side of "
                f"the tolerated {self.tolerated}, and the weights must sum to 1"
            )


# Together they revert at most .005 of harmless canaries. Engagement gets most of it: its harm is the hardest to see.
# What is planned for is that errors go from 2 to 6 %, and that a fifth of engagement is missing.
GUARDRAILS = (
    # Any excess of errors is one too many; a doubling is looked for first.
    Guardrail(
        name="errors",
        level=0.0004,
        tolerated=1,
        alternatives=((1.2, 0.15), (2, 0.7), (5, 0.15)),
        planned_level=0.001,
        planned_requests=800,
        ruled_out=2,
        negligible=0.001,
    ),
    # Requests slower than production's 95th percentile was when the ramp began. A canary's caches are cold.
    Guardrail(
        name="slow",
        level=0.0002,
        tolerated=1.25,
        alternatives=((1.5, 0.3), (2.5, 0.4), (6, 0.3)),
        ruled_out=2.5,
        negligible=0.01,
    ),
    # Requests with an engagement. None at all in control means that they do not arrive.
    Guardrail(
        name="engaged",
        level=0.0005,
        tolerated=1,
        alternatives=((0.95, 0.2), (0.86, 0.6), (0.6, 0.2)),
        planned_level=0.0029,
        planned_requests=19_500,
        ruled_out=0.9,
        fewest_events=30,
    ),
)


@dataclass(frozen=True, kw_only=True)
class RolloutRules:
    """Every limit of a ramp.

    `shares` of users by step; the last, 1, is production itself. `requests` of the canary in each step but the last:
    what it takes to see errors go from 2 to 6 % in the first, and a fifth of engagement missing in the second, while
    few users meet the canary and control, which is most of the traffic, is known well.
    """

    shares: tuple[float, ...] = (0.01, 0.05, 0.2, 0.5, 1.0)
    requests: tuple[int, ...] = (5_000, 15_000, 15_000, 10_000)
    guardrails: tuple[Guardrail, ...] = GUARDRAILS
    # What breaks a service within minutes of a change is seen, however much traffic there is.
    least_time: timedelta = timedelta(minutes=30)
    # Engagement comes minutes after its exposure; what is older than this says nothing of the canary now.
    oldest_figures: timedelta = timedelta(minutes=30)
    # A canary with odds of 10 : 1 against it stays where it is until they fall, or it is reverted.
    suspicion: float = 10
    # The probability that harm of the size `ruled_out` gets past a guardrail.
    missed: float = 0.05
    # Standard deviations of the arms' users from their shares: a metric that one arm does not send looks like this.
    uneven: float = 4.5

    def to_json(self) -> dict[str, Any]:
        return dict(msgspec.to_builtins(self))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "RolloutRules":
        return msgspec.convert(content, cls)

    def __post_init__(self) -> None:
        rising = all(one < other for one, other in pairwise(self.shares))
        if not self.shares or not rising or self.shares[0] <= 0 or self.shares[-1] != 1:
            raise ValueError(f"shares is {self.shares}; they must rise from above 0 to 1")
        if len(self.requests) != len(self.shares) - 1:
            raise ValueError(
                f"requests is {self.requests}; it needs one entry for each of {len(self.shares) - 1} steps"
            )
