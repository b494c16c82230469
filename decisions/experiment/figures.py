"""An experiment's plan, and what is known of its users at a look, as plain JSON.

A user has four numbers a metric: y and n since the experiment began, x and m from before it. The metric is Σy / Σn:
with the requests that had an engagement, and requests, it is a rate; with seconds of dwell and requests, dwell.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

COLUMNS = ("y", "n", "x", "m")
ALL_USERS = "all"


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Of an arm's users: how many were seen, the sums of y, n, x, m, and the sums of their products, row by row."""

    users: int
    sums: tuple[float, ...]
    products: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if len(self.sums) != len(COLUMNS) or [len(row) for row in self.products] != [len(COLUMNS)] * len(COLUMNS):
            raise ValueError(f"sums and products must have one entry, and one row of entries, for each of {COLUMNS}")

    @classmethod
    def of(cls, values_U4: NDArray[np.float64]) -> "Moments":
        """Of users' rows of y, n, x, m."""
        products = values_U4.T @ values_U4
        return cls(
            users=len(values_U4),
            sums=tuple(values_U4.sum(axis=0).tolist()),
            products=tuple(map(tuple, products.tolist())),
        )

    @property
    def means(self) -> NDArray[np.float64]:
        return np.array(self.sums) / self.users

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Of a user's four numbers, unbiased; users must be two at least."""
        centred = np.array(self.products) - self.users * np.outer(self.means, self.means)
        return centred / (self.users - 1)


@dataclass(frozen=True, kw_only=True)
class Compared:
    treatment: Moments
    control: Moments


@dataclass(frozen=True, kw_only=True)
class Look:
    """All that is known by the end of `day`, since the experiment began.

    The users that each arm was seen to have, whatever they did; and `metrics`, by name and then by segment, of which
    `all` is everybody.
    """

    day: date
    treatment_users: int
    control_users: int
    metrics: Mapping[str, Mapping[str, Compared]]

    def to_json(self) -> dict[str, Any]:
        return dict(msgspec.to_builtins(self))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Look":
        """Raises msgspec.ValidationError, which names the place, if the content is of another form."""
        return msgspec.convert(content, cls)


@dataclass(frozen=True, kw_only=True)
class ExperimentPlan:
    """What is settled before the first look: the verdict's metric, how long, which share of the two arms' users is
    treated. Later, each of them would be chosen by what was seen."""

    primary: str
    first_day: date
    days: int = 14
    treatment_share: float = 0.5
    # Of a verdict, or of an interval that misses, at any look though there is no difference.
    level: float = 0.05
    # Of an alarm at any look though users are assigned as planned. An alarm voids an experiment: it must be rare.
    sample_ratio_level: float = 0.005

    def __post_init__(self) -> None:
        if self.days < 1:
            raise ValueError(f"days is {self.days}; an experiment takes one day at least")
        for name in ("treatment_share", "level", "sample_ratio_level"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie between 0 and 1")

    def fraction(self, day: date) -> float:
        """The share of the plan that has passed by the end of a day. Raises ValueError for a day outside it."""
        passed = (day - self.first_day).days + 1
        if not 1 <= passed <= self.days:
            raise ValueError(f"a look at {day} lies outside the plan, {self.days} days from {self.first_day}")
        return passed / self.days
