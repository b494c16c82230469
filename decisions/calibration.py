"""Is a model calibrated: predicted over observed actions (PCOC), for all rows and segment by segment.

PCOC is a ratio, so it is judged by its logarithm: 1.25 and .8 are equally far off. Rates differ from week to week and
from user to user, so its interval must come from a bootstrap over users; on MovieLens it is ± 10 % at 10,000 rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, inf, log, nan
from statistics import NormalDist

from decisions.criterion import Criterion, Status, missing, not_applicable
from decisions.interval import Z_95, Interval


@dataclass(frozen=True, kw_only=True)
class SegmentFigures:
    """PCOC of the rows that share a value (`gender=F`); how many of them were acted on, and of how many users.

    production_pcoc: that of the release in production on the same rows, NaN where there is none.
    """

    pcoc: Interval
    positives: int
    users: int
    production_pcoc: float = nan


def calibration(name: str, pcoc: Interval, *, tolerance: float, harm: float, margin: float) -> Criterion:
    """Block when proven (95 %) more than `harm` off; pass when not proven more than `tolerance` off, and at most
    `margin` off at 99 %; otherwise needs-a-person. All three are shares: .1 means 10 % too many or too few.

    >>> bounds = dict(tolerance=.05, harm=.1, margin=.25)
    >>> [calibration("pcoc", Interval.normal(figure, standard_error=error), **bounds).status
    ...  for figure, error in ((1.03, .01), (1.10, .01), (1.15, .01), (1.0, .2))]
    ['pass', 'needs-a-person', 'block', 'needs-a-person']

    Raises ValueError unless 0 <= tolerance <= harm <= margin.
    """
    if not 0 <= tolerance <= harm <= margin:
        raise ValueError(
            f"tolerance {tolerance}, harm {harm}, margin {margin} must hold 0 <= tolerance <= harm <= margin"
        )
    if not _judgeable(pcoc):
        return missing(name, "PCOC or its interval is not a positive number")
    proven = _proven_off(pcoc.lower_95, pcoc.upper_95)
    possible = max(-log(pcoc.lower_99), log(pcoc.upper_99))
    between = f"{pcoc.figure:.3f}, between {pcoc.lower_95:.3f} and {pcoc.upper_95:.3f}"
    status: Status
    if proven > log(1 + harm):
        status, reason = "block", f"{between}: at least {_share(proven)} off ({harm:.0%} blocks)"
    elif proven > log(1 + tolerance):
        status, reason = "needs-a-person", f"{between}: at least {_share(proven)} off ({tolerance:.0%} tolerated)"
    elif possible > log(1 + margin):
        status, reason = (
            "needs-a-person",
            f"{between}: perhaps {_share(possible)} off (99 %; {margin:.0%} allowed)",
        )
    else:
        status, reason = "pass", f"{between}: not shown to be off by more than {tolerance:.0%}"
    return Criterion(
        name=name,
        status=status,
        figure=pcoc.figure,
        lower=pcoc.lower_95,
        upper=pcoc.upper_95,
        limit=1 + tolerance,
        reason=reason,
    )


def _share(log_ratio: float) -> str:
    """By how much a ratio is off, in words.

    >>> _share(log(1.25)), _share(800.0)
    ('25%', 'over a thousandfold')
    """
    return f"{exp(log_ratio) - 1:.0%}" if log_ratio < log(1000) else "over a thousandfold"


def calibration_by(
    name: str,
    segments: Mapping[str, SegmentFigures],
    *,
    min_positives: int,
    min_users: int,
    tolerance: float,
    harm: float,
) -> Criterion:
    """The worst segment: block when proven more than `harm` off, needs-a-person beyond `tolerance`, else pass.

    Of many segments one looks bad by chance. The 95 % holds over all that are judged (Bonferroni): with S of them each
    bound is widened, on the log scale, from z(.05) to z(.05 / S). Segments with fewer than `min_positives`, or with
    fewer than `min_users` to resample, are too small to judge and are counted in the reason; if all are, a person must
    look.
    """
    if not 0 <= tolerance <= harm:
        raise ValueError(f"tolerance is {tolerance} and harm {harm}; they must hold 0 <= tolerance <= harm")
    if not segments:
        return missing(name, "no segment was evaluated")
    large = {
        value: figures.pcoc
        for value, figures in segments.items()
        if figures.positives >= min_positives and figures.users >= min_users
    }
    asked = f"{min_positives} positives of {min_users} users"
    small = f"; {len(segments) - len(large)} of {len(segments)} have fewer than {asked}"
    if len(large) == len(segments):
        small = ""
    if not large:
        return Criterion(
            name=name,
            status="needs-a-person",
            reason=f"none of {len(segments)} segments has the {asked} that it takes to judge it",
        )
    undefined = sorted(value for value, pcoc in large.items() if not _judgeable(pcoc))
    if undefined:
        return missing(name, f"PCOC or its interval is not a positive number for {', '.join(undefined)}")

    widened = {value: _widen(pcoc, looks=len(large)) for value, pcoc in large.items()}
    # The most surely wrong first; among those that are not, the one furthest off.
    worst = max(large, key=lambda value: (_proven_off(*widened[value]), abs(log(large[value].figure))))
    lower, upper = widened[worst]
    proven = _proven_off(lower, upper)
    between = f"worst is {worst} with {large[worst].figure:.3f}, between {lower:.3f} and {upper:.3f} over all segments"
    status: Status
    if proven > log(1 + harm):
        status, reason = "block", f"{between}: at least {_share(proven)} off ({harm:.0%} blocks){small}"
    elif proven > log(1 + tolerance):
        status = "needs-a-person"
        reason = f"{between}: at least {_share(proven)} off ({tolerance:.0%} tolerated){small}"
    else:
        status, reason = "pass", f"{between}: none shown to be off by more than {tolerance:.0%}{small}"
    return Criterion(
        name=name,
        status=status,
        figure=large[worst].figure,
        lower=lower,
        upper=upper,
        limit=1 + tolerance,
        reason=reason,
    )


def calibration_against(
    name: str,
    segments: Mapping[str, SegmentFigures],
    *,
    min_positives: int,
    min_users: int,
    tolerance: float,
    harm: float,
) -> Criterion:
    """The segment whose level a candidate worsened most: how far it moved from production's, as far as that is proven
    to lead away from what was observed.

    How far it moved is exact, for both predict the same rows; where to is known as well as the segment's PCOC is, at
    95 % over all segments (see `calibration_by`, also for which are too small). So a level that moved little never
    stops a release, however many rows prove it wrong: production is as wrong. Block beyond `harm`, needs-a-person
    beyond `tolerance`, else pass.
    """
    if not 0 <= tolerance <= harm:
        raise ValueError(f"tolerance is {tolerance} and harm {harm}; they must hold 0 <= tolerance <= harm")
    if not segments:
        return missing(name, "no segment was evaluated")
    large = {
        value: figures
        for value, figures in segments.items()
        if figures.positives >= min_positives and figures.users >= min_users
    }
    if not large:
        asked = f"{min_positives} positives of {min_users} users"
        return not_applicable(name, f"none of {len(segments)} segments has the {asked} that it takes to judge it")
    undefined = sorted(
        value for value, one in large.items() if not (_judgeable(one.pcoc) and 0 < one.production_pcoc < inf)
    )
    if undefined:
        return missing(name, f"PCOC of either is not a positive number for {', '.join(undefined)}")

    def worsened(figures: SegmentFigures) -> float:
        moved = log(figures.pcoc.figure / figures.production_pcoc)
        lower, upper = _widen(figures.pcoc, looks=len(large))
        return min(moved, log(lower)) if moved > 0 else min(-moved, -log(upper))

    worst = max(large, key=lambda value: worsened(large[value]))
    proven, found = max(worsened(large[worst]), 0.0), large[worst]
    lower, upper = _widen(found.pcoc, looks=len(large))
    between = (
        f"worst is {worst}, from {found.production_pcoc:.3f} to {found.pcoc.figure:.3f} (between {lower:.3f} and "
        f"{upper:.3f} over all segments)"
    )
    status: Status = "block" if proven > log(1 + harm) else "needs-a-person" if proven > log(1 + tolerance) else "pass"
    said = {"block": f" ({harm:.0%} blocks)", "needs-a-person": f" ({tolerance:.0%} tolerated)"}.get(status, "")
    return Criterion(
        name=name,
        status=status,
        figure=proven,
        limit=log(1 + tolerance),
        reason=f"{between}: {_share(proven)} of it proven to be worse than production{said}",
    )


def _judgeable(pcoc: Interval) -> bool:
    """Defined, and nothing at or below zero before the logarithm (some positives, some predictions)."""
    return pcoc.defined and min(pcoc.figure, pcoc.lower_99) > 0 and pcoc.upper_99 < float("inf")


def _proven_off(lower: float, upper: float) -> float:
    """How far, on the log scale, the whole interval lies from 1; 0 if it holds 1."""
    return max(log(lower), -log(upper), 0.0)


def _widen(pcoc: Interval, *, looks: int) -> tuple[float, float]:
    """The 95 % bounds, made to hold for `looks` segments at once."""
    stretch = NormalDist().inv_cdf(1 - 0.05 / looks) / Z_95
    centre = log(pcoc.figure)
    return (
        exp(centre - stretch * max(centre - log(pcoc.lower_95), 0.0)),
        exp(centre + stretch * max(log(pcoc.upper_95) - centre, 0.0)),
    )
