"""Where two models differ: what each segment adds to the change of the log loss, and how sure that is.

Shapes: B rows, U users, S segments.
"""

from dataclasses import dataclass

import numpy as np

from ranker.bootstrap import Statistic, bootstrap, check_same_rows
from ranker.examples import Examples
from ranker.metrics import Floats, log_losses, pcoc


@dataclass(frozen=True, kw_only=True)
class SegmentChange:
    """One value of a segment column, under a model and the one that it is held against.

    change: what the segment adds to candidate − baseline of the mean log loss over all rows, in nats: over the values
    of one column these add up to the whole. Above 0 is worse. low, high: its interval, which holds 95 % of the time
    for all segments at once. pcoc: predicted over observed in the segment, NaN where nothing was observed.
    """

    segment: str
    value: str
    rows: int
    positives: int
    baseline_pcoc: float
    candidate_pcoc: float
    change: float
    low: float
    high: float

    @property
    def name(self) -> str:
        return f"{self.segment}={self.value}"

    @property
    def verdict(self) -> str:
        """`worse` or `better` where the whole interval is, else `not shown`."""
        return "worse" if self.low > 0 else "better" if self.high < 0 else "not shown"


def segment_changes(
    action: str,
    examples: Examples,
    *,
    candidate: Floats,
    baseline: Floats,
    repetitions: int = 1000,
    seed: int = 0,
) -> list[SegmentChange]:
    """A change for every value that occurs of every segment column that has more than one, the worst first.

    candidate, baseline: probabilities of the action, of the same rows. Users are resampled, as in `bootstrap`, and the
    interval of each of S segments is one of 1 − .05 / S (Bonferroni). Raises ValueError where lengths differ.
    """
    labels, weights, users = examples.label(action), examples.weights, examples.user.codes
    check_same_rows(labels, candidate=candidate, baseline=baseline, users=users)
    added_B = weights * (log_losses(labels, candidate) - log_losses(labels, baseline))
    _, user_B = np.unique(users, return_inverse=True)
    groups = {
        (segment, name): np.flatnonzero(codes.codes == code)
        for segment, codes in examples.segments.items()
        for code, name in enumerate(codes.names)
    }
    # The only value of its column is no segment: it would repeat the whole.
    groups = {group: rows for group, rows in groups.items() if 0 < len(rows) < len(labels)}
    if not groups:
        return []
    num_users = int(user_B.max()) + 1
    rows_U = np.bincount(user_B, weights=weights, minlength=num_users)
    added_GU = {
        group: np.bincount(user_B[rows], weights=added_B[rows], minlength=num_users).astype(np.float64)
        for group, rows in groups.items()
    }

    def added(added_U: Floats) -> Statistic:
        return lambda drawn_U: float(drawn_U @ added_U / (drawn_U @ rows_U))

    found = bootstrap(
        {"=".join(group): added(added_U) for group, added_U in added_GU.items()},
        users=np.arange(num_users),
        repetitions=repetitions,
        seed=seed,
    )
    level = 1 - 0.05 / len(groups)
    changes = []
    for (segment, value), rows in groups.items():
        low, high = found[f"{segment}={value}"].interval(level)
        changes.append(
            SegmentChange(
                segment=segment,
                value=value,
                rows=len(rows),
                positives=int(labels[rows].sum()),
                baseline_pcoc=pcoc(labels[rows], baseline[rows], weights=weights[rows]),
                candidate_pcoc=pcoc(labels[rows], candidate[rows], weights=weights[rows]),
                change=found[f"{segment}={value}"].estimate,
                low=low,
                high=high,
            )
        )
    return sorted(changes, key=lambda one: -one.change)
