"""The rules that turn a figure with its uncertainty into pass, block or needs-a-person.

All follow one pattern: harm that is proven blocks, safety that is proven passes, and what the evidence leaves open
goes to a person. More evidence narrows what is left open; it never turns a missing figure into a pass.
"""

from math import isnan

from decisions.criterion import Criterion, Status, missing


def compare(
    name: str, *, difference: float, lower_99: float, upper_95: float, margin: float, harm: float = 0.001
) -> Criterion:
    """A paired difference against production, candidate − production, where higher is better.

    Block when upper_95 < −harm: the candidate is proven worse. Pass when lower_99 > −margin: it is proven not worse by
    more than the margin. Otherwise needs-a-person. Both can hold (a small loss, measured closely): harm goes first.

    Raises ValueError unless 0 <= harm <= margin, and if lower_99 lies above upper_95.

    >>> compare("auc", difference=.002, lower_99=-.004, upper_95=.006, margin=.01).status
    'pass'
    >>> compare("auc", difference=-.02, lower_99=-.03, upper_95=-.01, margin=.01).status
    'block'
    >>> compare("auc", difference=.00, lower_99=-.03, upper_95=.02, margin=.01).status
    'needs-a-person'
    """
    if not 0 <= harm <= margin:
        raise ValueError(f"harm is {harm} and margin {margin}; they must hold 0 <= harm <= margin")
    if any(isnan(value) for value in (difference, lower_99, upper_95)):
        return missing(name, "the difference against production or its interval is not a number")
    if lower_99 > upper_95:
        raise ValueError(f"lower_99 is {lower_99} and lies above upper_95 {upper_95}")
    status: Status
    if upper_95 < -harm:
        status, reason = "block", f"worse than production: at best {upper_95:+.4g} (95 %), tolerated −{harm:g}"
    elif lower_99 > -margin:
        status, reason = "pass", f"not worse than production by more than {margin:g}: at worst {lower_99:+.4g} (99 %)"
    else:
        status = "needs-a-person"
        reason = f"undecided against production: between {lower_99:+.4g} (99 %) and {upper_95:+.4g} (95 %)"
    return Criterion(
        name=name, status=status, figure=difference, lower=lower_99, upper=upper_95, limit=-margin, reason=reason
    )


def at_least(name: str, *, figure: float, lower_99: float, upper_95: float, limit: float) -> Criterion:
    """An absolute floor: pass when lower_99 >= limit, block when upper_95 < limit, otherwise needs-a-person.

    >>> at_least("auc", figure=.70, lower_99=.68, upper_95=.72, limit=.52).status
    'pass'
    """
    if any(isnan(value) for value in (figure, lower_99, upper_95)):
        return missing(name, "the figure or its interval is not a number")
    status: Status
    if upper_95 < limit:
        status, reason = "block", f"{figure:.4g}, at best {upper_95:.4g} (95 %), and must reach {limit:g}"
    elif lower_99 >= limit:
        status, reason = "pass", f"{figure:.4g}, at worst {lower_99:.4g} (99 %), clears {limit:g}"
    else:
        status = "needs-a-person"
        reason = f"{figure:.4g} lies between {lower_99:.4g} (99 %) and {upper_95:.4g} (95 %): {limit:g} is not shown"
    return Criterion(
        name=name, status=status, figure=figure, lower=lower_99, upper=upper_95, limit=limit, reason=reason
    )


def at_most(
    name: str, *, figure: float, lower_95: float, upper_99: float, limit: float, block_above: float | None = None
) -> Criterion:
    """An absolute ceiling: pass when upper_99 <= limit, block when lower_95 > block_above (the limit by default).

    A block_above higher than the limit leaves what lies between to a person, however sure the figure is.

    >>> at_most("churn", figure=.5, lower_95=.49, upper_99=.51, limit=.35, block_above=.67).status
    'needs-a-person'
    """
    worst = limit if block_above is None else block_above
    if worst < limit:
        raise ValueError(f"block_above is {worst}; it must be at least the limit, {limit}")
    if any(isnan(value) for value in (figure, lower_95, upper_99)):
        return missing(name, "the figure or its interval is not a number")
    status: Status
    if lower_95 > worst:
        status, reason = "block", f"{figure:.4g}, at least {lower_95:.4g} (95 %), and must not exceed {worst:g}"
    elif upper_99 <= limit:
        status, reason = "pass", f"{figure:.4g}, at most {upper_99:.4g} (99 %), stays within {limit:g}"
    else:
        status = "needs-a-person"
        reason = f"{figure:.4g} lies between {lower_95:.4g} (95 %) and {upper_99:.4g} (99 %): above {limit:g} perhaps"
    return Criterion(
        name=name, status=status, figure=figure, lower=lower_95, upper=upper_99, limit=limit, reason=reason
    )


def evidence(name: str, *, count: int, enough: int, floor: int) -> Criterion:
    """How much there is to judge by: pass from `enough` on, block below `floor`, otherwise needs-a-person.

    >>> [evidence("clicks", count=n, enough=300, floor=20).status for n in (0, 41, 5000)]
    ['block', 'needs-a-person', 'pass']
    """
    if not 0 < floor <= enough:
        raise ValueError(f"floor is {floor} and enough {enough}; they must hold 0 < floor <= enough")
    status: Status
    if count >= enough:
        status, reason = "pass", f"{count:,} are enough ({enough:,} asked)"
    elif count >= floor:
        status, reason = "needs-a-person", f"{count:,} are too few to decide alone ({enough:,} asked)"
    else:
        status, reason = "block", f"{count:,} show nothing (below {floor:,}; {enough:,} asked)"
    return Criterion(name=name, status=status, figure=float(count), limit=float(enough), reason=reason)
