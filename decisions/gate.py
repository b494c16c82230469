"""The gate: may this candidate go to production? Evaluation figures in; pass, block or needs-a-person out.

Which rule asks what stands in `decisions.rules` and `decisions.calibration`; this file says which questions are put to
a candidate, and with which limits. The limits hold for every data set: where a log is too quiet to show what they ask
for, the intervals are wide and the answer is a person's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan

from decisions.calibration import SegmentFigures, calibration, calibration_against, calibration_by
from decisions.criterion import Criterion, Decision, Status, judge, missing, not_applicable
from decisions.entropy import binary_entropy
from decisions.interval import Interval
from decisions.off_policy import OffPolicyFigures, OffPolicyLimits, check_off_policy
from decisions.rules import at_least, at_most, compare, evidence
from decisions.serving import ServingFigures, ServingLimits, check_serving


@dataclass(frozen=True, kw_only=True)
class GateLimits:
    """Every limit of the gate, with the reason for its default."""

    # With n positives the PCOC of independent rows is known to ± 1.645 / √n (95 %): ± 10 % takes 271.
    # The AUC's 99 % bound then lies .039 below the figure (standard error √(1/12n) near .5), so .56 clears .52.
    enough_positives: int = 300
    # With 20 that bound lies .15 below the figure: a good ranker cannot be told from a coin.
    floor_positives: int = 20
    # A bootstrap over fewer users than this says little about the next ones: its intervals are too narrow.
    enough_users: int = 30
    # .5 is chance; below .52 the order is hardly better than a shuffled one, whatever the log.
    min_auc: float = 0.52
    # 1 is the log loss of always answering the mean rate.
    max_normalised_entropy: float = 1.0
    # Rates move by some per cent between the week of calibration and the week of evaluation: 5 % is tolerated, proven
    # 10 % blocks. Where the interval is wide, it must at least rule out 25 %: bids and mixed rankings turn over then.
    pcoc_tolerance: float = 0.05
    pcoc_harm: float = 0.10
    pcoc_margin: float = 0.25
    # A segment's own rate moves more than the whole; twice the tolerance, twice the harm.
    segment_tolerance: float = 0.10
    segment_harm: float = 0.20
    # What a candidate's level in a segment may move away from the truth. Of two trainings on the same rows a segment's
    # level differs by some per cent; a weekly retrain moves it towards the newest days.
    segment_worse_tolerance: float = 0.03
    segment_worse_harm: float = 0.05
    # Calibration error above what a calibrated model of as many rows would show, as a share of the base rate.
    max_ece_excess: float = 0.15
    block_ece_excess: float = 0.30
    # Paired with production, as DESIGN 11 has it; the log loss in shares of the base rate's entropy, so that the same
    # limit means the same on a log with .5 % clicks and on one with 50 %.
    auc_margin: float = 0.01
    log_loss_margin: float = 0.01
    harm: float = 0.001
    # Churn is the mean of 2|p − q| / (p + q): .35 is a typical factor of 1.42 between the two, 2/3 a factor of 2.
    max_churn: float = 0.35
    block_churn: float = 2 / 3
    # Below 1,000 rows of random traffic a value estimate at a few per cent of clicks rests on a handful of them.
    enough_random_rows: int = 1000
    off_policy: OffPolicyLimits = field(default_factory=OffPolicyLimits)
    serving: ServingLimits = field(default_factory=ServingLimits)


@dataclass(frozen=True, kw_only=True)
class ActionFigures:
    """What the evaluation found for one action. Intervals come from a bootstrap over users; NaN is undefined.

    `segments` and `positions` are keyed by what they hold (`gender=F`, `position=3`). `ece_noise_floor` is the ECE that
    a calibrated model would show on as many rows. The last three compare with production on the same rows:
    `auc_gain` = candidate − production, `log_loss_gain` = production − candidate in nats (both: higher is better),
    `churn` = mean 2|p − q| / (p + q). What was not computed is None; whether that matters the gate decides.
    """

    rows: int
    positives: int
    auc: Interval | None
    normalised_entropy: Interval | None
    pcoc: Interval | None
    ece: float | None
    ece_noise_floor: float | None
    segments: Mapping[str, SegmentFigures] | None
    positions: Mapping[str, SegmentFigures] | None = None
    auc_gain: Interval | None = None
    log_loss_gain: Interval | None = None
    churn: Interval | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.positives <= self.rows:
            raise ValueError(f"positives is {self.positives} of {self.rows} rows; it must lie between 0 and the rows")


def gate(
    figures: Mapping[str, ActionFigures],
    *,
    actions: Sequence[str],
    random_slice: bool,
    positions: bool,
    production: str | None,
    random_slice_rows: int | None = None,
    off_policy: OffPolicyFigures | None = None,
    serving: ServingFigures | None = None,
    data: Iterable[Criterion] = (),
    limits: GateLimits | None = None,
) -> Decision:
    """The decision on a candidate, with every criterion that led to it.

    `figures` by action; `actions` are the primary ones, each of which must have been evaluated. `random_slice` and
    `positions` are what the data set's contract declares; `production` is the release to compare with, None before
    the first. `random_slice_rows` counts the evaluation rows from random traffic, and `off_policy` is what the requests
    of that traffic say of the first action. `serving` is what it would take to serve the candidate, which must have
    been measured. `data` are the criteria on the training set (`decisions.data_checks`): they join the verdict.

    Raises ValueError if no action is named: there would be nothing to judge.
    """
    if not actions:
        raise ValueError("actions is empty; name at least one action that the release must rank well")
    limits = limits or GateLimits()
    criteria = list(data)
    for action in actions:
        if action in figures:
            criteria += _absolute(action, figures[action], positions=positions, limits=limits)
            criteria += _against_production(action, figures[action], production=production, limits=limits)
        else:
            criteria.append(missing(action, "the contract names this action and the evaluation does not hold it"))
    criteria.append(_random_slice(random_slice_rows, declared=random_slice, limits=limits))
    absent = [name for name, is_there in (("random traffic", random_slice), ("positions", positions)) if not is_there]
    criteria += check_off_policy(actions[0], off_policy, absent=absent, production=production, limits=limits.off_policy)
    criteria += check_serving(serving, limits=limits.serving)
    return judge(criteria)


def _absolute(action: str, found: ActionFigures, *, positions: bool, limits: GateLimits) -> list[Criterion]:
    """What a candidate must show by itself."""
    criteria = [
        evidence(
            f"{action}: positives",
            count=found.positives,
            enough=limits.enough_positives,
            floor=limits.floor_positives,
        ),
        evidence(
            f"{action}: negatives",
            count=found.rows - found.positives,
            enough=limits.enough_positives,
            floor=limits.floor_positives,
        ),
    ]
    name = f"{action}: AUC"
    if found.auc is None:
        criteria.append(missing(name, "not evaluated"))
    else:
        auc = found.auc
        criteria.append(
            at_least(name, figure=auc.figure, lower_99=auc.lower_99, upper_95=auc.upper_95, limit=limits.min_auc)
        )
    name = f"{action}: normalised entropy"
    if found.normalised_entropy is None:
        criteria.append(missing(name, "not evaluated"))
    else:
        entropy = found.normalised_entropy
        criteria.append(
            at_most(
                name,
                figure=entropy.figure,
                lower_95=entropy.lower_95,
                upper_99=entropy.upper_99,
                limit=limits.max_normalised_entropy,
            )
        )
    name = f"{action}: PCOC"
    if found.pcoc is None:
        criteria.append(missing(name, "not evaluated"))
    else:
        criteria.append(
            calibration(
                name,
                found.pcoc,
                tolerance=limits.pcoc_tolerance,
                harm=limits.pcoc_harm,
                margin=limits.pcoc_margin,
            )
        )
    criteria.append(_calibration_error(f"{action}: ECE above noise", found, limits=limits))
    criteria.append(_calibration_by(f"{action}: PCOC by segment", found.segments, limits=limits))
    name = f"{action}: PCOC by position"
    if positions:
        criteria.append(_calibration_by(name, found.positions, limits=limits))
    else:
        criteria.append(not_applicable(name, "the contract declares that the log holds no positions"))
    return criteria


def _calibration_by(name: str, found: Mapping[str, SegmentFigures] | None, *, limits: GateLimits) -> Criterion:
    if found is None:
        return missing(name, "not evaluated")
    return calibration_by(
        name,
        found,
        min_positives=limits.enough_positives,
        min_users=limits.enough_users,
        tolerance=limits.segment_tolerance,
        harm=limits.segment_harm,
    )


def _calibration_error(name: str, found: ActionFigures, *, limits: GateLimits) -> Criterion:
    """(ECE − noise floor) / base rate: pass up to max_ece_excess, block above block_ece_excess, else a person."""
    if found.ece is None or found.ece_noise_floor is None:
        return missing(name, "not evaluated")
    if found.positives == 0 or isnan(found.ece) or isnan(found.ece_noise_floor):
        return missing(name, "not a number (no positives, or no predictions)")
    base_rate = found.positives / found.rows
    excess = (found.ece - found.ece_noise_floor) / base_rate
    status: Status = "pass"
    if not excess <= limits.max_ece_excess:
        status = "block" if excess > limits.block_ece_excess else "needs-a-person"
    reason = (
        f"ECE {found.ece:.4f} against a noise floor of {found.ece_noise_floor:.4f} is {excess:.0%} of the base rate "
        f"({limits.max_ece_excess:.0%} tolerated, {limits.block_ece_excess:.0%} blocks)"
    )
    return Criterion(name=name, status=status, figure=excess, limit=limits.max_ece_excess, reason=reason)


def _against_production(
    action: str, found: ActionFigures, *, production: str | None, limits: GateLimits
) -> list[Criterion]:
    """What a candidate must show beside the release it would replace, on the same rows."""
    questions = ("AUC gain", "log loss gain", "churn", "PCOC by segment against production")
    auc, log_loss, churn, segments = names = [f"{action}: {what}" for what in questions]
    if production is None:
        return [not_applicable(name, "there is no production release yet") for name in names]
    criteria = []
    if found.auc_gain is None:
        criteria.append(missing(auc, f"not compared with {production}"))
    else:
        criteria.append(_compare(auc, found.auc_gain, margin=limits.auc_margin, harm=limits.harm))
    if found.log_loss_gain is None:
        criteria.append(missing(log_loss, f"not compared with {production}"))
    elif found.positives in (0, found.rows):
        criteria.append(missing(log_loss, "rows of one label have no entropy to measure it by"))
    else:
        entropy = binary_entropy(found.positives / found.rows)
        criteria.append(
            _compare(
                log_loss,
                found.log_loss_gain,
                margin=limits.log_loss_margin * entropy,
                harm=limits.harm * entropy,
            )
        )
    if found.churn is None:
        criteria.append(missing(churn, f"not compared with {production}"))
    else:
        criteria.append(
            at_most(
                churn,
                figure=found.churn.figure,
                lower_95=found.churn.lower_95,
                upper_99=found.churn.upper_99,
                limit=limits.max_churn,
                block_above=limits.block_churn,
            )
        )
    if found.segments is None:
        criteria.append(missing(segments, f"not compared with {production}"))
    else:
        criteria.append(
            calibration_against(
                segments,
                found.segments,
                min_positives=limits.enough_positives,
                min_users=limits.enough_users,
                tolerance=limits.segment_worse_tolerance,
                harm=limits.segment_worse_harm,
            )
        )
    return criteria


def _compare(name: str, gain: Interval, *, margin: float, harm: float) -> Criterion:
    return compare(
        name, difference=gain.figure, lower_99=gain.lower_99, upper_95=gain.upper_95, margin=margin, harm=harm
    )


def _random_slice(rows: int | None, *, declared: bool, limits: GateLimits) -> Criterion:
    """Is the random slice that the contract declares among the evaluation rows?"""
    name = "random slice"
    if not declared:
        return not_applicable(name, "the contract declares that the log holds no random traffic")
    if rows is None or rows == 0:
        return missing(name, "the contract declares random traffic and the evaluation holds none of it")
    return evidence(name, count=rows, enough=limits.enough_random_rows, floor=1)
