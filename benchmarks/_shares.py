"""A share of repetitions, and how well so many of them know it."""

from collections.abc import Iterable
from dataclasses import dataclass

from scipy.stats import binomtest


@dataclass(frozen=True)
class Share:
    hits: int
    of: int

    @classmethod
    def where(cls, found: Iterable[bool]) -> "Share":
        hits = list(found)
        return cls(sum(hits), len(hits))

    @property
    def value(self) -> float:
        return self.hits / self.of

    def __str__(self) -> str:
        """The exact interval of 95 % (Clopper and Pearson 1934)."""
        interval = binomtest(self.hits, self.of).proportion_ci()
        return f"{self.hits:,} of {self.of:,}: {interval.low:.4f} to {interval.high:.4f}"
