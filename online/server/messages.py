"""What goes over the wire of the ranking server: decoded, checked and encoded by msgspec."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

Id = Annotated[str, Meta(min_length=1, max_length=200)]
Number = float | None


class Candidate(Struct, frozen=True, forbid_unknown_fields=True):
    """An item to rank, with the features that the service brings for it alone."""

    item: Id
    features: dict[str, Number] = {}


class Context(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the request comes from. `at`: when, by default now; a time with a zone. `features`: what the service brings
    for all candidates alike."""

    surface: Id
    at: datetime | None = None
    features: dict[str, Number] = {}

    def __post_init__(self) -> None:
        """Raises ValueError here rather than where the requests of others are ranked beside it."""
        if self.at is not None and self.at.tzinfo is not None:
            try:
                self.at.astimezone(UTC)
            except OverflowError:
                raise ValueError(f"at is {self.at.isoformat()}, which is in no year from 1 to 9999 of UTC") from None


class RankRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`request` names it for good. `limit`: how many of the candidates, which differ, are wanted in the answer."""

    request: Id
    user: Id
    context: Context
    candidates: Annotated[list[Candidate | Id], Meta(min_length=1)]
    limit: Annotated[int, Meta(ge=1)] | None = None


class Ranked(Struct, frozen=True):
    """A candidate in its place: calibrated p(action) were it shown first, and what it is worth."""

    item: str
    position: int
    utility: float
    probabilities: dict[str, float]


class RankAnswer(Struct, frozen=True):
    """The candidates in order. `traffic` is random where chance ordered them; `features_as_of` says of when the
    features are that the service did not bring."""

    request: str
    release: str
    traffic: str
    features_as_of: datetime
    ranked: list[Ranked]


REQUEST = msgspec.json.Decoder(RankRequest)
ENCODER = msgspec.json.Encoder()
EXAMPLE = {
    "request": "r-2026-12-01-000017",
    "user": "u42",
    "context": {"surface": "home", "features": {}},
    "candidates": [{"item": "i7", "features": {"affinity": 0.31}}, "i9"],
    "limit": 10,
}
