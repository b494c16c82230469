"""The rows that every peer of [movielens] trains on, and how the settings of each are chosen.

Written by benchmarks/movielens.py into a folder: rows.parquet, in order of time, and columns.json. A peer chooses among
a few settings by its log loss on the middle part, where it also stops, and writes the last part's probabilities to
<peer>-<seed>.npy.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PAD, UNKNOWN = 0, 1
NUMERIC_RANGE = 3.0


@dataclass(frozen=True)
class Rows:
    """N rows; the first `middle` train, those from `last` judge."""

    folder: Path
    table: pd.DataFrame
    numeric: list[str]
    categorical: list[str]
    sequences: dict[str, str]
    ids: list[str]
    middle: int
    last: int

    @classmethod
    def read(cls, folder: Path) -> "Rows":
        columns = json.loads((folder / "columns.json").read_text())
        return cls(folder, pd.read_parquet(folder / "rows.parquet"), **columns)

    @cached_property
    def labels(self) -> np.ndarray:
        return self.table["(label)"].to_numpy(dtype=np.float32)

    @cached_property
    def codes(self) -> dict[str, np.ndarray]:
        """Each categorical column as integers from 2 for what the training rows hold, 1 for anything else."""
        return {
            name: np.array([self.words[name].get(one, UNKNOWN) for one in self.table[name]])
            for name in self.categorical
        }

    @cached_property
    def words(self) -> dict[str, dict[str, int]]:
        """The code of each value of the training rows, by categorical column and by sequence that has its own."""
        of = {name: self.table[name][: self.middle].dropna() for name in self.categorical}
        own = [name for name, other in self.sequences.items() if not other]
        of |= {name: self.table[name][: self.middle].explode().dropna() for name in own}
        return {
            name: {one: code for code, one in enumerate(sorted(values.unique()), start=2)}
            for name, values in of.items()
        }

    @cached_property
    def padded(self) -> dict[str, np.ndarray]:
        """Each sequence as (N, longest) codes, those of the column that it is of; 0 where it has ended."""
        found = {}
        for name, other in self.sequences.items():
            words = self.words[other or name]
            longest = int(self.table[name].str.len().max())
            found[name] = np.full((len(self.table), longest), PAD)
            for row, values in enumerate(self.table[name]):
                found[name][row, : len(values)] = [words.get(one, UNKNOWN) for one in values]
        return found

    @cached_property
    def scaled(self) -> np.ndarray:
        """The numbers (N, n), each as its normal quantile among the training rows, then whether it is missing."""
        from scipy.special import ndtri

        columns = []
        for name in self.numeric:
            values = self.table[name].to_numpy(dtype=np.float64)
            known = np.sort(values[: self.middle][~np.isnan(values[: self.middle])])
            rank = (np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")) / 2
            normal = ndtri((rank + 0.5) / (len(known) + 1)).clip(-NUMERIC_RANGE, NUMERIC_RANGE)
            columns += [np.where(np.isnan(values), 0.0, normal)]
            if np.isnan(values).any():
                columns += [np.isnan(values).astype(float)]
        return np.stack(columns, axis=1).astype(np.float32)

    def indicators(self, *, of_columns: bool) -> dict[str, np.ndarray]:
        """A 0/1 column for each value of each sequence, as a tree takes them.

        of_columns: those too that hold another column's values, which are as many as that one has.
        """
        names = [name for name, other in self.sequences.items() if of_columns or not other]
        return {label: column for name in names for label, column in self._indicators[name].items()}

    @cached_property
    def _indicators(self) -> dict[str, dict[str, np.ndarray]]:
        found = {}
        for name in self.sequences:
            lists = [set(values) for values in self.table[name]]
            found[name] = {
                f"{name}={value}": np.array([value in values for values in lists], dtype=np.int8)
                for value in sorted(set().union(*lists[: self.middle]))
            }
        return found


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    p = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(labels > 0, np.log(p), np.log(1 - p))))


def choose(
    peer: str, settings: dict[str, Any], train: Callable[[Rows, Any, int], tuple[np.ndarray, np.ndarray]]
) -> None:
    """Train with each of the settings and one seed, then with the best of them and every seed.

    train(rows, setting, seed) gives the probabilities of the middle and of the last part.
    """
    folder, num_seeds = Path(sys.argv[1]), int(sys.argv[2])
    rows = Rows.read(folder)
    labels = rows.labels[rows.middle : rows.last]
    losses = {}
    for name, setting in settings.items():
        losses[name] = log_loss(labels, train(rows, setting, 0)[0])
        print(f"{peer}, {name}: log loss {losses[name]:.4f} on the middle part", flush=True)
    best = min(losses, key=lambda name: losses[name])
    for seed in range(num_seeds):
        np.save(folder / f"{peer}-{seed}.npy", train(rows, settings[best], seed)[1])
    print(f"{peer}: {num_seeds} seeds with {best}", flush=True)
