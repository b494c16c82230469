"""The paired bootstrap by user over rows that come in batches, in memory that does not grow with them.

Each user counts Poisson(1) times in each repetition (Chamandy et al. 2012), by a generator that the user's id seeds:
the same in whichever batch a row of theirs comes. All figures are of sums; for the AUC, of rows by bin of log-odds.

Shapes: B rows of a batch, U users in it, R columns: the rows as they are, and the repetitions. K bins.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from scipy import sparse

from ranker.bootstrap import Difference, check_same_rows
from ranker.hashing import hashes
from ranker.metrics import Codes, Floats, log_losses

# Log-odds beyond share the last bins. Rows in one bin count as tied, which moves an AUC by less than .0001.
LIMIT = 12.0
NUM_BINS = 4096


class StreamedComparison:
    """Two models on the same rows, batch after batch: `add` each, then `differences`.

    >>> p, users = np.array([0.8, 0.3]), pa.array(["a", "b"])
    >>> streamed = StreamedComparison(repetitions=10)
    >>> streamed.add(np.array([1.0, 0.0]), candidate=p, baseline=p, users=users)
    >>> streamed.differences()["log_loss"].interval()
    (0.0, 0.0)
    """

    def __init__(self, *, repetitions: int = 1000, seed: int = 0) -> None:
        if repetitions < 1:
            raise ValueError(f"repetitions is {repetitions}; it must be at least 1")
        self.repetitions, self.seed, self.rows = repetitions, seed, 0
        self._sums = {name: _Sums(1 + repetitions) for name in ("candidate", "baseline")}

    def add(
        self, labels: Floats, *, candidate: Floats, baseline: Floats, users: pa.Array, weights: Floats | None = None
    ) -> None:
        """Count a batch. `candidate` and `baseline` are probabilities of its rows, `weights` what each stands for."""
        check_same_rows(labels, candidate=candidate, baseline=baseline, users=users)
        ids, user_B = np.unique(hashes(users, salt="bootstrap"), return_inverse=True)
        drawn_UR = np.ones((len(ids), 1 + self.repetitions))
        for place, user in enumerate(ids.tolist()):
            drawn_UR[place, 1:] = np.random.default_rng([self.seed, user]).poisson(1.0, self.repetitions)
        weights = np.ones(len(labels)) if weights is None else weights
        for name, probabilities in (("candidate", candidate), ("baseline", baseline)):
            self._sums[name].add(labels, probabilities, weights, user_B, drawn_UR)
        self.rows += len(labels)

    def differences(self) -> Mapping[str, Difference]:
        """candidate − baseline of "auc", "log_loss" and "pcoc_distance", as `bootstrap.paired_bootstrap` gives them.

        Raises ValueError if no row was added.
        """
        if not self.rows:
            raise ValueError("no row was added: there is nothing to compare")
        ours, theirs = (self._sums[name].figures() for name in ("candidate", "baseline"))
        with np.errstate(invalid="ignore"):
            gaps = {name: ours[name] - theirs[name] for name in ours}
        return {name: Difference(estimate=float(gap_R[0]), samples_R=gap_R[1:]) for name, gap_R in gaps.items()}


class _Sums:
    """One model's sums in each column."""

    def __init__(self, columns: int) -> None:
        self.by_bin_2KR = np.zeros((2, NUM_BINS, columns))
        self.loss_R, self.predicted_R = np.zeros(columns), np.zeros(columns)

    def add(self, labels: Floats, probabilities: Floats, weights: Floats, user_B: Codes, drawn_UR: Floats) -> None:
        num_users = len(drawn_UR)
        self.loss_R += np.bincount(user_B, weights * log_losses(labels, probabilities), num_users) @ drawn_UR
        self.predicted_R += np.bincount(user_B, weights * probabilities, num_users) @ drawn_UR
        with np.errstate(divide="ignore"):
            log_odds = np.log(probabilities) - np.log1p(-probabilities)
        bins = np.clip((log_odds + LIMIT) * (NUM_BINS / (2 * LIMIT)), 0, NUM_BINS - 1).astype(np.int64)
        for outcome, share in enumerate((1 - labels, labels)):
            rows_KU = sparse.csr_array((weights * share, (bins, user_B)), shape=(NUM_BINS, num_users))
            self.by_bin_2KR[outcome] += rows_KU @ drawn_UR

    def figures(self) -> dict[str, Floats]:
        """NaN in columns with one outcome only (AUC) or without a positive (PCOC)."""
        negative_KR, positive_KR = self.by_bin_2KR
        negative_R, positive_R = negative_KR.sum(axis=0), positive_KR.sum(axis=0)
        below_KR = np.cumsum(negative_KR, axis=0) - negative_KR / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                "auc": (positive_KR * below_KR).sum(axis=0) / (positive_R * negative_R),
                "log_loss": self.loss_R / (positive_R + negative_R),
                "pcoc_distance": np.abs(self.predicted_R / positive_R - 1),
            }
