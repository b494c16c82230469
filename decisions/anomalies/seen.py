"""A day beside the days before it: what the rules look at."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from decisions.days import FEWEST_DAYS, DayFigures, FeatureFigures, Floats

# A rate or count that doubled or halved, and moved twice as far as it ever did.
DOUBLED = log(2)
# A share of rows that no clean day gains or loses.
GROSS_SHARE = 0.1
# A KS or total variation distance that makes two distributions strangers.
GROSS_DISTANCE = 0.5

Rule = Callable[["Seen"], Iterator[str]]


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What the contract says of the examples: the features by kind, which of them are ids (of users, items), whether
    random traffic lands, and whether positions do."""

    kinds: Mapping[str, str]
    ids: frozenset[str]
    random_slice: bool
    positions: bool

    def of_kind(self, kind: str) -> list[str]:
        return [name for name, its in self.kinds.items() if its == kind and name not in self.ids]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A day, the days before it that count as usual, oldest first, and the promise."""

    day: DayFigures
    past: Sequence[DayFigures]
    promise: Promise

    def usual(self, figure: Callable[[DayFigures], float]) -> Floats:
        """The figure on each past day where it is a number."""
        found = np.array([figure(one) for one in self.past], dtype=np.float64)
        return found[np.isfinite(found)]

    def features(self, kind: str) -> Iterator[tuple[str, FeatureFigures, list[tuple[DayFigures, FeatureFigures]]]]:
        """Each feature of a kind that is no id: its name, its figures, and those of the past days."""
        for name in self.promise.of_kind(kind):
            past = [(one, one.features[name]) for one in self.past if name in one.features]
            if name in self.day.features and len(past) >= FEWEST_DAYS:
                yield name, self.day.features[name], past


def moved(now: float, usual: Floats) -> bool:
    """Whether a positive number doubled or halved against the median, and moved twice as far as on any past day."""
    usual = usual[usual > 0]
    if not len(usual):
        return False
    middle = float(np.median(usual))
    farthest = float(np.abs(np.log(usual / middle)).max())
    return now <= 0 or abs(log(now / middle)) > max(DOUBLED, 2 * farthest)
