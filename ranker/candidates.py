"""Candidates: rows to be ranked, as a server knows them, turned into what a ranker reads.

Shapes: B rows with C categorical, N numeric and Q sequence features; L values of a sequence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranker.examples import Codes, one_surface
from ranker.hashing import MISSING, bucket
from ranker.spec import Feature, FeatureSpec


@dataclass(frozen=True)
class Lists:
    """A column of lists as small integers: row i holds lists[codes[i]]."""

    codes: npt.NDArray[np.int64]
    lists: Sequence[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The same inputs as those of `Examples` of the same values, bit for bit, without outcomes."""

    categorical_BC: Tensor
    numeric_BN: Tensor
    missing_BN: Tensor
    sequences: tuple[Tensor, ...]
    surface: Codes
    segments: dict[str, Codes]

    def __len__(self) -> int:
        return len(self.categorical_BC)

    @classmethod
    def from_columns(
        cls,
        num_rows: int,
        *,
        spec: FeatureSpec,
        numbers: Mapping[str, npt.NDArray[np.float64]],
        words: Mapping[str, Codes],
        lists: Mapping[str, Lists],
    ) -> "Candidates":
        """By name: numbers with NaN where a value is missing, words in which '' is a missing one, lists.

        Raises ValueError where a feature of the spec, the surface or a segment is not among them.
        """
        wanted = {
            "numbers": [feature.name for feature in spec.numeric],
            "words": [*(feature.name for feature in spec.categorical), *spec.segments, *filter(None, [spec.surface])],
            "lists": [feature.name for feature in spec.sequences],
        }
        for kind, given in (("numbers", numbers), ("words", words), ("lists", lists)):
            if absent := sorted(set(wanted[kind]) - set(given)):
                raise ValueError(f"{kind} lack {absent}, which the spec of {spec.relation} names")
        categorical_BC = np.zeros((num_rows, len(spec.categorical)), dtype=np.int64)
        for column, feature in enumerate(spec.categorical):
            codes = words[feature.name]
            categorical_BC[:, column] = _buckets(codes.names, feature)[codes.codes]
        numeric_BN = np.zeros((num_rows, len(spec.numeric)), dtype=np.float64)
        for column, feature in enumerate(spec.numeric):
            numeric_BN[:, column] = numbers[feature.name]
        missing_BN = ~np.isfinite(numeric_BN)
        numeric_BN[missing_BN] = 0.0
        return cls(
            categorical_BC=torch.from_numpy(categorical_BC),
            numeric_BN=torch.from_numpy(numeric_BN).float(),
            missing_BN=torch.from_numpy(missing_BN),
            sequences=tuple(
                _padded(lists[feature.name], feature, hashed_as=spec.hashed_as(feature)) for feature in spec.sequences
            ),
            surface=words[spec.surface] if spec.surface else one_surface(num_rows),
            segments={name: words[name] for name in spec.segments},
        )

    @classmethod
    def concatenated(cls, parts: Sequence["Candidates"]) -> "Candidates":
        """The rows of several requests, one after the other, for one pass through a model."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            categorical_BC=torch.cat([part.categorical_BC for part in parts]),
            numeric_BN=torch.cat([part.numeric_BN for part in parts]),
            missing_BN=torch.cat([part.missing_BN for part in parts]),
            sequences=tuple(map(torch.cat, zip(*(part.sequences for part in parts), strict=True))),
            surface=_joined([part.surface for part in parts]),
            segments={name: _joined([part.segments[name] for part in parts]) for name in parts[0].segments},
        )


def _joined(columns: Sequence[Codes]) -> Codes:
    """One column after the other; a name that several have stands there as often."""
    starts = np.cumsum([0, *(len(column.names) for column in columns)])
    codes = [column.codes + start for column, start in zip(columns, starts, strict=False)]
    return Codes(np.concatenate(codes), tuple(name for column in columns for name in column.names))


def _buckets(words: Sequence[str], feature: Feature) -> npt.NDArray[np.int64]:
    return np.array([_bucket(word, feature.name, feature.cardinality) for word in words], dtype=np.int64)


def _padded(column: Lists, feature: Feature, *, hashed_as: Feature) -> Tensor:
    """The first max_length elements of each list as buckets, padded with MISSING."""
    padded_BL = np.full((len(column.lists), feature.max_length), MISSING, dtype=np.int64)
    for row, values in enumerate(column.lists):
        padded_BL[row, : len(values)] = _buckets(values[: feature.max_length], hashed_as)
    return torch.from_numpy(padded_BL[column.codes])


@lru_cache(maxsize=1 << 20)
def _bucket(word: str, feature: str, cardinality: int) -> int:
    """The same items and words come again and again, and to hash one takes longer than all else that is done to it."""
    return bucket(word, feature=feature, cardinality=cardinality)
