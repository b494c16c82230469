"""What is known of a ramp, as plain JSON: requests and events of both arms by step, and how users spread them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec


@dataclass(frozen=True, kw_only=True)
class ArmCounts:
    """Of one arm in one step: users seen, their requests, and the requests with the event."""

    users: int
    requests: int
    events: int

    def __post_init__(self) -> None:
        if not 0 <= self.events <= self.requests or not 0 <= self.users <= self.requests:
            raise ValueError(f"{self}: events and users must lie between 0 and the requests")


@dataclass(frozen=True, kw_only=True)
class StepCounts:
    """Both arms while `share` of the users were in the canary; control is what was served at the same time."""

    share: float
    canary: ArmCounts
    control: ArmCounts

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share is {self.share}; both arms must have users, so it must lie between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Sums over an arm's users, of each user's requests n and events y since the ramp began: Σn², Σny, Σy²."""

    requests_squared: int
    requests_events: int
    events_squared: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One guardrail's figures, complete up to `as_of`: a request counts once its event could have been seen."""

    as_of: datetime
    steps: tuple[StepCounts, ...]
    canary_spread: Spread
    control_spread: Spread


@dataclass(frozen=True, kw_only=True)
class RampFigures:
    """By guardrail; None is what could not be read."""

    guardrails: Mapping[str, Measured | None]

    def to_json(self) -> dict[str, Any]:
        return dict(msgspec.to_builtins(self))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "RampFigures":
        """Raises msgspec.ValidationError, which names the place, if the content is of another form."""
        return msgspec.convert(content, cls)


@dataclass(frozen=True, kw_only=True)
class RampState:
    """The current step (from 0), since when, and the reason of the person who holds the ramp, if one does."""

    step: int
    since: datetime
    held: str | None = None

    def to_json(self) -> dict[str, Any]:
        return dict(msgspec.to_builtins(self))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "RampState":
        return msgspec.convert(content, cls)
