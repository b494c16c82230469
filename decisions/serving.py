"""What a candidate would be like to serve: the memory and work that it takes, and how it stands a feature's failure.

Work is counted in multiplications and additions, not in seconds: a release judged again must be judged the same, on
whatever machine and beside whatever else runs there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, isfinite, log

from decisions.criterion import Criterion, Status, missing

# What a core does in a second where a thousand candidates are scored at once; a cautious figure for one of 2020.
FLOPS_A_SECOND = 20e9
CANDIDATES = 1_000


@dataclass(frozen=True, kw_only=True)
class ServingLimits:
    """What passes, and what blocks; a person decides on what lies between."""

    # Every worker process holds the weights.
    max_bytes: int = 1 << 30
    block_bytes: int = 4 << 30
    # 1,000 candidates in 50 ms of a core; ten times the budget is no oversight.
    max_flops: int = 1_000_000
    block_flops: int = 10_000_000
    # A feature that fails to arrive is an accident that ends; until then, probabilities half as high again are borne.
    max_pcoc_without: float = 1.5
    block_pcoc_without: float = 3.0


@dataclass(frozen=True, kw_only=True)
class ServingFigures:
    """`weights_bytes` of the serving weights; `flops` of scoring one candidate; `pcoc_without` of the first action,
    predicted over observed, where each feature is hidden in turn as missing.
    """

    weights_bytes: int
    flops: int
    pcoc_without: Mapping[str, float]


def check_serving(figures: ServingFigures | None, *, limits: ServingLimits) -> list[Criterion]:
    """The criteria on a candidate as something to serve.

    >>> found = check_serving(ServingFigures(weights_bytes=2_000_000, flops=270_000, pcoc_without={"age": 0.9}),
    ...                       limits=ServingLimits())
    >>> [(criterion.name, criterion.status) for criterion in found]
    [('serving: weights', 'pass'), ('serving: work', 'pass'), ('serving: without a feature', 'pass')]
    >>> found[1].reason
    '0.27 million operations a candidate: about 14 ms of a core for 1,000 (50 ms allowed)'
    """
    if figures is None:
        names = ("serving: weights", "serving: work", "serving: without a feature")
        return [missing(name, "not measured") for name in names]
    return [_weights(figures, limits), _work(figures, limits), _without_a_feature(figures, limits)]


def _weights(figures: ServingFigures, limits: ServingLimits) -> Criterion:
    return Criterion(
        name="serving: weights",
        status=_status(figures.weights_bytes, limit=limits.max_bytes, block=limits.block_bytes),
        figure=float(figures.weights_bytes),
        limit=float(limits.max_bytes),
        reason=f"{figures.weights_bytes / 1e6:,.1f} MB in each worker ({limits.max_bytes / 1e6:,.0f} MB allowed)",
    )


def _work(figures: ServingFigures, limits: ServingLimits) -> Criterion:
    took, allowed = (1e3 * CANDIDATES * flops / FLOPS_A_SECOND for flops in (figures.flops, limits.max_flops))
    return Criterion(
        name="serving: work",
        status=_status(figures.flops, limit=limits.max_flops, block=limits.block_flops),
        figure=float(figures.flops),
        limit=float(limits.max_flops),
        reason=f"{figures.flops / 1e6:,.2f} million operations a candidate: about {took:,.0f} ms of a core for "
        f"{CANDIDATES:,} ({allowed:,.0f} ms allowed)",
    )


def _without_a_feature(figures: ServingFigures, limits: ServingLimits) -> Criterion:
    """The feature whose failure would move the level most, up or down."""
    name = "serving: without a feature"
    undefined = sorted(feature for feature, pcoc in figures.pcoc_without.items() if not isfinite(pcoc) or pcoc <= 0)
    if undefined or not figures.pcoc_without:
        return missing(name, f"PCOC is not a positive number without {', '.join(undefined) or 'any feature'}")
    distances = {feature: abs(log(pcoc)) for feature, pcoc in figures.pcoc_without.items()}
    worst = max(distances, key=lambda feature: distances[feature])
    return Criterion(
        name=name,
        status=_status(exp(distances[worst]), limit=limits.max_pcoc_without, block=limits.block_pcoc_without),
        figure=figures.pcoc_without[worst],
        limit=limits.max_pcoc_without,
        reason=f"should {worst} fail to arrive, PCOC would be {figures.pcoc_without[worst]:.2f} "
        f"(a factor of {limits.max_pcoc_without:g} either way is borne); none of {len(distances)} moves it more",
    )


def _status(figure: float, *, limit: float, block: float) -> Status:
    return "pass" if figure <= limit else "block" if figure > block else "needs-a-person"
