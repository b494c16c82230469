"""A figure and how sure we are of it: its one-sided 99 % and 95 % bounds on either side."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import isfinite, isnan
from statistics import NormalDist

import numpy as np

Z_95 = NormalDist().inv_cdf(0.95)
Z_99 = NormalDist().inv_cdf(0.99)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """`figure` with bounds that the truth passes with 1 % (`_99`) or 5 % (`_95`) probability each.

    One-sided: 99 % of the probability lies above `lower_99`, 95 % below `upper_95`. Where a figure is undefined
    (the AUC of rows without a positive) all five are NaN; no rule lets a NaN pass.

    Raises ValueError if the bounds are out of order.
    """

    figure: float
    lower_99: float
    lower_95: float
    upper_95: float
    upper_99: float

    def __post_init__(self) -> None:
        bounds = (self.lower_99, self.lower_95, self.upper_95, self.upper_99)
        if any(low > high for low, high in pairwise(bounds)):
            raise ValueError(f"the bounds are {bounds}; they must rise from lower_99 over lower_95 and upper_95")

    @property
    def defined(self) -> bool:
        values = (self.figure, self.lower_99, self.lower_95, self.upper_95, self.upper_99)
        return not any(isnan(value) for value in values)

    @classmethod
    def from_draws(cls, figure: float, draws: np.ndarray) -> "Interval":
        """Percentile bounds of a bootstrap; `draws` holds the figure of each resample (of users, not of rows).

        A resample where the figure is undefined makes the bounds undefined: they would speak of the others only.

        >>> Interval.from_draws(50.0, np.arange(101.0))
        Interval(figure=50.0, lower_99=1.0, lower_95=5.0, upper_95=95.0, upper_99=99.0)
        """
        bounds = np.quantile(draws, [0.01, 0.05, 0.95, 0.99]) if len(draws) else np.full(4, np.nan)
        lower_99, lower_95, upper_95, upper_99 = (float(bound) for bound in bounds)
        return cls(figure=float(figure), lower_99=lower_99, lower_95=lower_95, upper_95=upper_95, upper_99=upper_99)

    @classmethod
    def normal(cls, figure: float, *, standard_error: float) -> "Interval":
        """figure ± z · standard_error, with z = 1.645 and 2.326."""
        return cls(
            figure=figure,
            lower_99=figure - Z_99 * standard_error,
            lower_95=figure - Z_95 * standard_error,
            upper_95=figure + Z_95 * standard_error,
            upper_99=figure + Z_99 * standard_error,
        )

    def to_json(self) -> dict[str, float | None]:
        """As plain JSON, null for a number that is not finite; `from_json` reads it."""
        return {name: value if isfinite(value) else None for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, content: Mapping[str, float | None]) -> "Interval":
        """The interval that `to_json` wrote; null stands for an undefined number."""
        return cls(**{name: float("nan") if value is None else float(value) for name, value in content.items()})
