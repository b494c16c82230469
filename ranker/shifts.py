"""How far the features of two sets of rows lie apart. Shapes: B rows, L values of a sequence."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ranker.examples import Examples
from ranker.hashing import MISSING
from ranker.metrics import Floats
from ranker.spec import FeatureSpec


@dataclass(frozen=True, kw_only=True)
class Shift:
    """One feature before and after: the share of rows that lack it, and how far its values moved, from 0 to 1.

    distance: of a number the largest gap between the two distribution functions (Kolmogorov and Smirnov), of categories
    half the sum of the gaps between their shares (total variation). Of the rows that hold it; NaN where none does.
    """

    feature: str
    missing_before: float
    missing_after: float
    distance: float

    @property
    def moved(self) -> float:
        """How far it moved in any way: its values, or the share of rows that lack it."""
        return max(np.nan_to_num(self.distance), np.nan_to_num(abs(self.missing_after - self.missing_before)))


def feature_shifts(before: Examples, after: Examples, *, spec: FeatureSpec) -> list[Shift]:
    """A shift for each feature but the ids of users and items, which come and go; the furthest first.

    Both sets were encoded by `spec`. Rows count what they stand for.
    """
    both, ids = (before, after), (spec.user, spec.item)
    shifts = []
    for at, feature in enumerate(spec.categorical):
        if feature.name not in ids:
            shifts.append(
                _shift(feature.name, [_held(one.categorical_BC[:, at].numpy(), one) for one in both], _shares)
            )
    for at, feature in enumerate(spec.sequences):
        if feature.of not in ids:
            shifts.append(_shift(feature.name, [_held(one.sequences[at].numpy(), one) for one in both], _shares))
    for at, feature in enumerate(spec.numeric):
        numbers = [_Held.of(one.numeric_BN[:, at].numpy(), ~one.missing_BN[:, at].numpy(), one.weights) for one in both]
        shifts.append(_shift(feature.name, numbers, _distributions))
    return sorted(shifts, key=lambda one: -one.moved)


@dataclass(frozen=True, kw_only=True)
class _Held:
    """The values that rows hold with what each counts, and the share of rows that hold none."""

    values: Floats
    weights: Floats
    missing: float

    @classmethod
    def of(cls, values_BL: Floats, there_BL: np.ndarray, weights_B: Floats) -> "_Held":
        grid = (len(weights_B), -1)
        values_BL, there_BL = values_BL.reshape(grid), there_BL.reshape(grid)
        holds_B = there_BL.any(axis=1)
        return cls(
            values=values_BL[there_BL],
            weights=np.broadcast_to(weights_B[:, None], there_BL.shape)[there_BL],
            missing=float(weights_B @ ~holds_B / weights_B.sum()) if len(weights_B) else float("nan"),
        )


def _held(buckets: np.ndarray, examples: Examples) -> _Held:
    return _Held.of(buckets, buckets != MISSING, examples.weights)


def _shift(feature: str, held: list[_Held], distance: Callable[[_Held, _Held], float]) -> Shift:
    before, after = held
    known = len(before.values) and len(after.values)
    return Shift(
        feature=feature,
        missing_before=before.missing,
        missing_after=after.missing,
        distance=distance(before, after) if known else float("nan"),
    )


def _shares(before: _Held, after: _Held) -> float:
    size = 1 + int(max(before.values.max(), after.values.max()))
    p, q = (np.bincount(one.values, weights=one.weights, minlength=size) for one in (before, after))
    return float(np.abs(p / p.sum() - q / q.sum()).sum() / 2)


def _distributions(before: _Held, after: _Held) -> float:
    values = np.concatenate([before.values, after.values])
    steps = np.concatenate([before.weights / before.weights.sum(), -after.weights / after.weights.sum()])
    order = np.argsort(values, kind="stable")
    ends = np.r_[np.diff(values[order]) != 0, True]
    return float(np.abs(np.cumsum(steps[order])[ends]).max())
