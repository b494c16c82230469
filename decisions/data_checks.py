"""Is the data what the contract promises, and as it was? Pure checks on its figures; the gate includes the criteria."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan

from decisions.anomalies import RULES, Finding
from decisions.criterion import Criterion, Status, missing, not_applicable
from decisions.days import FEWEST_USERS
from decisions.drift import Drift
from decisions.rules import evidence

# As in the gate: 300 actions tell a rate to ± 10 %, 20 tell nothing.
ENOUGH_ACTIONS = 300
FLOOR_ACTIONS = 20
# A quiet log has days without a row; with a fifth of them gone a person looks, with half of them the load is broken.
ENOUGH_COVERAGE = 0.8
FLOOR_COVERAGE = 0.5
# A feature that lost a fifth of its values since production was trained is broken or was redefined.
MAX_NULL_RISE = 0.2


# A reason names so many of what it found, and counts the others.
NAMED = 3


@dataclass(frozen=True, kw_only=True)
class TrainingFigures:
    """Counts over the training set of one run.

    `positives` by action; `days` with at least one row, of `window_days`; `null_share` by feature, in this set and,
    where there is one, in the set that production was trained on. Of random traffic: rows, rows whose propensity is
    null, and the smallest and largest propensity (None without a random row).
    """

    rows: int
    positives: Mapping[str, int]
    days: int
    window_days: int
    null_share: Mapping[str, float]
    production_null_share: Mapping[str, float] | None = None
    random_rows: int = 0
    random_rows_without_propensity: int = 0
    smallest_propensity: float | None = None
    largest_propensity: float | None = None


def check_training_set(figures: TrainingFigures, *, actions: Sequence[str], random_slice: bool) -> list[Criterion]:
    """The criteria on a training set: rows, each declared action, covered days, nulls, random slice, propensities."""
    return [
        _rows(figures),
        *(_action(action, figures) for action in actions),
        _coverage(figures),
        _nulls(figures),
        _random_slice(figures, declared=random_slice),
        _propensities(figures, declared=random_slice),
    ]


def _rows(figures: TrainingFigures) -> Criterion:
    name = "training set: rows"
    if figures.rows == 0:
        return missing(name, "the training set is empty")
    return Criterion(name=name, status="pass", figure=float(figures.rows), reason=f"{figures.rows:,} rows")


def _action(action: str, figures: TrainingFigures) -> Criterion:
    """Both labels must occur: the rarer one is the evidence."""
    name = f"training set: {action}"
    if action not in figures.positives:
        return missing(name, "the contract declares this action and the training set does not count it")
    positives = figures.positives[action]
    rarer = min(positives, figures.rows - positives)
    return evidence(name, count=rarer, enough=ENOUGH_ACTIONS, floor=FLOOR_ACTIONS)


def _coverage(figures: TrainingFigures) -> Criterion:
    name = "training set: days covered"
    if figures.window_days < 1:
        return missing(name, "the training window holds no day")
    share = figures.days / figures.window_days
    status: Status = "pass" if share >= ENOUGH_COVERAGE else "needs-a-person" if share >= FLOOR_COVERAGE else "block"
    reason = f"{figures.days} of {figures.window_days} days have rows ({ENOUGH_COVERAGE:.0%} asked)"
    return Criterion(name=name, status=status, figure=share, limit=ENOUGH_COVERAGE, reason=reason)


def _nulls(figures: TrainingFigures) -> Criterion:
    """A feature that has always been empty is one that this log does not fill; one that emptied is broken."""
    name = "training set: nulls"
    if not figures.null_share:
        return missing(name, "no feature was counted")
    unknown = sorted(feature for feature, share in figures.null_share.items() if isnan(share))
    if unknown:
        return missing(name, f"the share of nulls is not a number for {', '.join(unknown)}")
    empty = sorted(feature for feature, share in figures.null_share.items() if share >= 1)
    if len(empty) == len(figures.null_share):
        return missing(name, "every feature is null throughout")
    before = figures.production_null_share or {}
    emptied = [feature for feature in empty if before.get(feature, 1.0) < 1]
    if emptied:
        return missing(name, f"null throughout, and not so when production was trained: {', '.join(emptied)}")
    risen = {
        feature: share - before[feature]
        for feature, share in figures.null_share.items()
        if feature in before and share - before[feature] > MAX_NULL_RISE
    }
    if risen:
        worst = max(risen, key=lambda feature: risen[feature])
        return Criterion(
            name=name,
            status="needs-a-person",
            figure=risen[worst],
            limit=MAX_NULL_RISE,
            reason=f"more nulls than when production was trained: {', '.join(sorted(risen))} (worst {worst})",
        )
    note = f"; not filled by this log: {', '.join(empty)}" if empty else ""
    return Criterion(
        name=name, status="pass", reason=f"{len(figures.null_share) - len(empty)} features are filled{note}"
    )


def _random_slice(figures: TrainingFigures, *, declared: bool) -> Criterion:
    name = "training set: random slice"
    if not declared:
        return not_applicable(name, "the contract declares that the log holds no random traffic")
    if figures.random_rows == 0:
        return missing(name, "the contract declares random traffic and the training set holds none of it")
    return Criterion(
        name=name, status="pass", figure=float(figures.random_rows), reason=f"{figures.random_rows:,} random rows"
    )


def _propensities(figures: TrainingFigures, *, declared: bool) -> Criterion:
    """On random traffic each row carries a propensity in (0, 1]."""
    name = "training set: propensities"
    if not declared:
        return not_applicable(name, "the contract declares that the log holds no random traffic")
    if figures.random_rows_without_propensity:
        count = figures.random_rows_without_propensity
        return missing(name, f"{count:,} of {figures.random_rows:,} random rows have no propensity")
    smallest, largest = figures.smallest_propensity, figures.largest_propensity
    if smallest is None or largest is None:
        return missing(name, "no propensity was found on random traffic")
    inside = 0 < smallest <= largest <= 1
    return Criterion(
        name=name,
        status="pass" if inside else "block",
        figure=smallest,
        lower=smallest,
        upper=largest,
        reason=f"propensities run from {smallest:g} to {largest:g}" + ("" if inside else " and must lie in (0, 1]"),
    )


def check_columns(kinds: Mapping[str, str], found: Mapping[str, str]) -> Criterion:
    """Are the columns that the ranker reads there, each of its kind? `kinds` and `found` by column.

    >>> check_columns({"age": "numbers", "country": "words"}, {"age": "words"}).reason
    'missing: country; age holds words, not numbers'
    """
    name = "data: columns"
    missing_ones = sorted(kinds.keys() - found.keys())
    odd = sorted(column for column, kind in kinds.items() if column in found and found[column] != kind)
    if not missing_ones and not odd:
        return Criterion(name=name, status="pass", reason=f"{len(kinds)} columns are there, each of its kind")
    reasons = [f"missing: {', '.join(missing_ones)}"] if missing_ones else []
    reasons += [f"{column} holds {found[column]}, not {kinds[column]}" for column in odd]
    return missing(name, "; ".join(reasons))


def check_days(findings: Sequence[Finding], *, days: int, judged: int) -> list[Criterion]:
    """One criterion for each rule on the new days, `judged` of which had days enough before them."""
    if not judged:
        reason = f"none of {days} new days has two weeks of days with {FEWEST_USERS} users before it to compare it with"
        return [not_applicable("data: days", reason)]
    criteria = []
    for rule in RULES:
        of_rule = [f"{one.day}: {one.reason}" for one in findings if one.rule == rule]
        name = f"data: {rule}"
        if of_rule:
            criteria.append(Criterion(name=name, status="block", figure=float(len(of_rule)), reason=_some(of_rule)))
        else:
            criteria.append(Criterion(name=name, status="pass", figure=0.0, reason=f"nothing unusual on {judged} days"))
    return criteria


def check_drift(drifts: Sequence[Drift]) -> Criterion:
    """Warn of what moved further than this log's days move by themselves."""
    name = "data: drift"
    if not drifts:
        return not_applicable(name, "no new day has days with users enough before it to say what is usual")
    days = len({one.day for one in drifts})
    moved = sorted((one for one in drifts if one.drifted), key=lambda one: one.p_value)
    if not moved:
        return Criterion(
            name=name, status="pass", figure=0.0, reason=f"nothing moved more than is usual on {days} days"
        )
    said = [
        f"{one.day} {one.name}: {one.measure} {one.effect:+.2f} (up to {one.floor:.2f} is usual), p = {one.p_value:.0e}"
        for one in moved
    ]
    return Criterion(name=name, status="warn", figure=float(len(moved)), reason=_some(said))


def _some(reasons: Sequence[str]) -> str:
    more = len(reasons) - NAMED
    return "; ".join(reasons[:NAMED]) + (f"; and {more} more" if more > 0 else "")
