"""A release on its way to everybody: where somebody is served it is a canary first, and figures decide how it goes on.

Each decision is kept with all that it was taken on, so that it can be taken again, and is shown in
ops.rollout_decisions. Needs no lake.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from decisions.rollout import RampFigures, RampState, RolloutDecision, RolloutRules, decide
from lakehouse.home import Home
from online.ramp import Ramp, ramp
from online.request_log import STREAM
from online.settings import Settings
from registry import Entry, Pointer, Registry, ReleaseError
from registry.durable import replace

# A hold whose reasons are of the same kind as before is kept so often only.
KEPT_EVERY = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A decision on a canary, and all that it was taken on. `slow_ms`: above it, a ranking counted as slow."""

    release: str
    at: datetime
    pointer_version: int
    state: RampState
    figures: RampFigures | None
    slow_ms: float | None
    rules: RolloutRules
    decision: RolloutDecision

    def again(self) -> RolloutDecision:
        """The decision that follows from the same figures today."""
        return decide(self.figures, state=self.state, now=self.at, rules=self.rules)

    def to_json(self) -> dict[str, Any]:
        return {
            "release": self.release,
            "at": self.at.isoformat(),
            "pointer_version": self.pointer_version,
            "state": self.state.to_json(),
            "figures": None if self.figures is None else self.figures.to_json(),
            "slow_ms": self.slow_ms,
            "rules": self.rules.to_json(),
            "decision": self.decision.to_json(),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Decided":
        return cls(
            release=content["release"],
            at=datetime.fromisoformat(content["at"]),
            pointer_version=content["pointer_version"],
            state=RampState.from_json(content["state"]),
            figures=None if content["figures"] is None else RampFigures.from_json(content["figures"]),
            slow_ms=content["slow_ms"],
            rules=RolloutRules.from_json(content["rules"]),
            decision=RolloutDecision.from_json(content["decision"]),
        )


def is_served(home: Home) -> bool:
    """Whether a ranking server has ever answered anybody here: from then on, releases are canaries first.

    No files from now on do not change it: nothing is promoted to everybody for want of figures.
    """
    return any((home.landing / STREAM).glob("*"))


def first_share(home: Home, settings: Settings) -> float | None:
    """The share of the users that a release gets at first; None where it goes to all at once."""
    share = settings.rollout_shares[0]
    return share if share < 1 and is_served(home) else None


def bring(release: str, *, home: Home, registry: Registry, settings: Settings, version: int, reason: str) -> str:
    """Put a release that its gate passed on its way, as decided on pointer `version`; what was done, in words.

    The first release of all goes to everybody: there is nothing that it could be compared with.
    """
    share = first_share(home, settings)
    if share is None or registry.production() is None:
        holdouts = settings.holdouts if is_served(home) else None
        registry.promote(release, expected_version=version, reason=reason, holdouts=holdouts)
        return f"{release} is in production"
    now = registry.pointer()
    if now.canary not in (None, release):
        return (
            f"{release} is kept but must wait: {now.canary} is the canary, at {now.canary_share:.0%}. "
            f"Promote or revert that, then `stillhouse rollout start {release}`"
        )
    moved = registry.start_canary(release, share=share, expected_version=version, reason=reason)
    if moved.production == release:
        return f"{release} is in production"
    return f"{release} is the canary, at {moved.canary_share:.0%} of the users; `stillhouse rollout` shows how it does"


def look(*, home: Home, registry: Registry, settings: Settings, now: datetime) -> Decided | None:
    """Decide about the canary as things stand; None where there is none. Changes nothing.

    Raises ReleaseError where online.yml has no step for its share: its ramp began with others.
    """
    pointer = registry.pointer()
    if pointer.canary is None:
        return None
    rules, began = settings.rollout, beginning(registry)
    step = step_of(pointer, rules)
    found: Ramp | None = ramp(
        home,
        began=datetime.fromisoformat(began.at),
        pointer_version=began.details["pointer_version"],
        engaged_within=timedelta(minutes=settings.engaged_within_minutes),
    )
    figures = found.figures if found else None
    # By the clock of the requests, as all figures are: the step begins when the first of it is served.
    since = found.since.get(pointer.canary_share, now) if found else now
    state = RampState(step=step, since=since, held=pointer.canary_held)
    return Decided(
        release=pointer.canary,
        at=now,
        pointer_version=pointer.version,
        state=state,
        figures=figures,
        slow_ms=found.slow_ms if found else None,
        rules=rules,
        decision=decide(figures, state=state, now=now, rules=rules),
    )


def step_of(pointer: Pointer, rules: RolloutRules) -> int:
    if pointer.canary_share not in rules.shares[:-1]:
        raise ReleaseError(
            f"{pointer.canary} is at {pointer.canary_share:.0%}, and rollout_shares of online.yml are {rules.shares}: "
            "put the step back, or promote or revert it by hand"
        )
    return rules.shares.index(pointer.canary_share)


def beginning(registry: Registry) -> Entry:
    """The entry with which the canary's ramp began."""
    return next(entry for entry in reversed(registry.journal()) if entry.event == "canary_started")


def act(decided: Decided, *, home: Home, registry: Registry, settings: Settings) -> str:
    """Do what was decided, unless the pointer moved on meanwhile; what was done, in words. The decision is kept first.

    Raises ReleaseError if the pointer did, or the release can no longer be verified.
    """
    keep(decided, home=home)
    decision, version = decided.decision, decided.pointer_version
    if decision.action == "ramp":
        registry.ramp_canary(share=decision.share, expected_version=version, reason=decision.reason)
        return f"{decided.release} goes to {decision.share:.0%}: {decision.reason}"
    if decision.action == "promote":
        registry.promote(decided.release, expected_version=version, reason=decision.reason, holdouts=settings.holdouts)
        return f"{decided.release} is in production: {decision.reason}"
    if decision.action == "revert":
        registry.revert_canary(expected_version=version, reason=decision.reason)
        return f"{decided.release} was taken back: {decision.reason}"
    return f"{decided.release} stays at {decision.share:.0%}: {decision.reason}"


def keep(decided: Decided, *, home: Home) -> None:
    """Write a decision down, unless it is a hold for the same kinds of reason as the last one and that is not old."""
    before = decisions(home, decided.release)
    last = before[-1] if before else None
    if last is not None and _is_the_same_hold(last, decided) and decided.at - last.at < KEPT_EVERY:
        return
    folder = home.online / "rollout" / decided.release
    folder.mkdir(parents=True, exist_ok=True)
    replace(folder / f"{len(before):06d}.json", (json.dumps(decided.to_json()) + "\n").encode())


def decisions(home: Home, release: str | None = None) -> list[Decided]:
    """The decisions that were kept, of one canary or of all, each canary's in order."""
    return [Decided.from_json(json.loads(path.read_bytes())) for path in _paths(home, release)]


def _paths(home: Home, release: str | None) -> Iterator[Path]:
    yield from sorted((home.online / "rollout").glob(f"{release or '*'}/[0-9]*.json"))


def _is_the_same_hold(one: Decided, other: Decided) -> bool:
    return _kind(one) == _kind(other) and one.decision.action == "hold"


def _kind(decided: Decided) -> tuple[Any, ...]:
    statuses = tuple((finding.guardrail, finding.status) for finding in decided.decision.findings)
    return decided.decision.action, decided.pointer_version, statuses
