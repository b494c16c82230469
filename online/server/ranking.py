"""Requests to answers: features, probabilities, what each candidate is worth, and the order that follows.

On the random slice chance orders, and each candidate is as likely at each place.

Shapes: K candidates of a request.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import numpy as np
from xxhash import xxh64_intdigest

from decisions.assignment import Arm
from online.feature_log import LoggedRequest
from online.random_slice import is_random
from online.server.features import Asked, Columns, Floats, Ints
from online.server.messages import Candidate, RankAnswer, Ranked, RankRequest
from online.server.standing import Served, Standing
from online.settings import Settings

# In which order is not drawn as whether chance orders at all.
ORDER_SALT = "random-order-1"
logger = logging.getLogger("stillhouse.server")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a release says of one request's candidates. `ranked_ms`: of the release alone, features and model.

    `failed`: the release of the user's arm failed, and `served` is production, which answered in its place.
    """

    served: Served
    columns: Columns
    probabilities: Mapping[str, Floats]
    ranked_ms: float
    failed: bool


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """A request's candidates in the order of the answer, before it is cut: indices into the request's candidates."""

    request: RankRequest
    asked: Asked
    arm: Arm
    scored: Scored
    is_random: bool
    order_K: Ints
    utility_K: Floats

    @property
    def served(self) -> Served:
        return self.scored.served

    @property
    def columns(self) -> Columns:
        return self.scored.columns

    @property
    def num_wanted(self) -> int:
        return min(self.request.limit or len(self.order_K), len(self.order_K))

    def answer(self, said: RankRequest) -> RankAnswer:
        """In the names that the service said, which may be hashed in the ranking."""
        items = items_of(said)
        shown = self.order_K[: self.num_wanted]
        probabilities = self.scored.probabilities
        names = list(probabilities)
        rows = zip(*(probabilities[name][shown].tolist() for name in names), strict=True)
        return RankAnswer(
            request=said.request,
            release=self.served.model.release,
            traffic=self.traffic,
            features_as_of=self.served.source.snapshot.as_of,
            ranked=[
                Ranked(items[item], place, utility, dict(zip(names, row, strict=True)))
                for place, (item, utility, row) in enumerate(
                    zip(shown.tolist(), self.utility_K[shown].tolist(), rows, strict=True), start=1
                )
            ],
        )

    def logged(self) -> LoggedRequest:
        """For the feature log: what is in the answer; of a random request every candidate."""
        kept = self.order_K if self.is_random else self.order_K[: self.num_wanted]
        shared, features = self.columns.logged(kept)
        num_rows = len(self.order_K)
        return LoggedRequest(
            request_id=self.request.request,
            user_id=self.request.user,
            surface=self.request.context.surface,
            served_at=iso(self.asked.at),
            traffic=self.traffic,
            release_id=self.served.model.release,
            features_as_of=iso(self.served.source.snapshot.as_of),
            propensity=1 / num_rows if self.is_random else None,
            item_ids=[self.asked.items[item] for item in kept.tolist()],
            positions=[place if place <= self.num_wanted else None for place in range(1, len(kept) + 1)],
            scores=self.utility_K[kept].tolist(),
            shared=shared,
            features=features,
        )

    @property
    def traffic(self) -> str:
        return "random" if self.is_random else "policy"


def check(request: RankRequest, settings: Settings) -> None:
    """Raises ValueError for what no type can say: too many candidates, or one of them twice."""
    items = items_of(request)
    if len(items) > settings.most_candidates:
        raise ValueError(f"candidates has {len(items)} entries; at most {settings.most_candidates} are ranked at once")
    if len(set(items)) != len(items):
        twice = sorted({item for item in items if items.count(item) > 1})[:3]
        raise ValueError(f"candidates names {twice} more than once; an item stands in one place of a list")
    if request.context.at is not None and request.context.at.tzinfo is None:
        raise ValueError("context.at has no zone; write 2026-12-01T09:00:00Z")


def rank(
    requests: Sequence[RankRequest], standing: Standing, settings: Settings, *, now: datetime
) -> list[Ranking | Exception]:
    """The rankings of requests that came together, in their order. The requests have been checked.

    A release that fails takes nobody with it: where it is not production, production answers in its place; where it is,
    those whom it was to answer get its exception.
    """
    arms = [standing.arm_of(request.user) for request in requests]
    asked = [asked_of(request, now=now) for request in requests]
    found: dict[int, Scored | Exception] = {}
    for release in dict.fromkeys(one.release for one in arms):
        places = [place for place, one in enumerate(arms) if one.release == release]
        of_release = _scored_or_not([asked[place] for place in places], standing.models[release], standing.production)
        found.update(zip(places, of_release, strict=True))
    return [
        scored if isinstance(scored := found[place], Exception) else _ordered(*of_request, scored, settings=settings)
        for place, of_request in enumerate(zip(requests, asked, arms, strict=True))
    ]


def _scored_or_not(
    asked: Sequence[Asked], served: Served, production: Served
) -> Sequence[Scored] | Sequence[Exception]:
    try:
        return [*_scored(asked, served, failed=False)]
    except Exception as error:
        logger.exception("%s failed on %d requests", served.model.release, len(asked))
        if served is production:
            return [error for _ in asked]
    try:
        return [*_scored(asked, production, failed=True)]
    except Exception as error:
        return [error for _ in asked]


def _scored(asked: Sequence[Asked], served: Served, *, failed: bool) -> list[Scored]:
    """One pass through the model for all of them."""
    started = perf_counter()
    columns = [served.source.columns(one) for one in asked]
    probabilities = served.model.probabilities(columns)
    ranked_ms = 1_000 * (perf_counter() - started)
    return [
        Scored(served=served, columns=of_request, probabilities=found, ranked_ms=ranked_ms, failed=failed)
        for of_request, found in zip(columns, probabilities, strict=True)
    ]


def _ordered(request: RankRequest, asked: Asked, arm: Arm, scored: Scored, *, settings: Settings) -> Ranking:
    num_rows = scored.columns.num_rows
    utility_K = np.zeros(num_rows)
    for action, weight in settings.utility.items():
        if action in scored.probabilities:
            utility_K += weight * scored.probabilities[action]
    by_chance = is_random(request.request, settings.random_share)
    order_K = random_order(request.request, num_rows) if by_chance else np.argsort(-utility_K, kind="stable")
    return Ranking(
        request=request,
        asked=asked,
        arm=arm,
        scored=scored,
        is_random=by_chance,
        order_K=order_K,
        utility_K=utility_K,
    )


def random_order(request: str, num_rows: int) -> Ints:
    """A uniform permutation that follows from the request's name: asked again, the same request is ordered the same."""
    return np.random.default_rng(xxh64_intdigest(f"{ORDER_SALT}/{request}".encode())).permutation(num_rows)


def iso(moment: datetime) -> str:
    """In UTC to the millisecond, as landing files have it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1_000:03d}Z"


def items_of(request: RankRequest) -> list[str]:
    return [one.item if isinstance(one, Candidate) else one for one in request.candidates]


def asked_of(request: RankRequest, *, now: datetime) -> Asked:
    brought: dict[str, list[Any]] = {}
    for place, candidate in enumerate(request.candidates):
        if isinstance(candidate, Candidate):
            for name, value in candidate.features.items():
                if name not in brought:
                    brought[name] = [None] * len(request.candidates)
                brought[name][place] = value
    return Asked(
        user=request.user,
        surface=request.context.surface,
        at=(request.context.at or now).astimezone(UTC),
        items=items_of(request),
        context=request.context.features,
        candidates=brought,
    )
