"""Who is in which arm: a stable hash of user and experiment, the same here and in macros/arm.sql."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import isclose

from decisions.draw import draw

# These users stay on one release for weeks whatever is published, so that theirs is the one salt that never changes.
LONG_HOLDOUT_SALT = "long-holdout-1"


def canary_salt(release: str) -> str:
    """Each ramp draws its users anew: nobody is the first to meet every release."""
    return f"canary/{release}"


def holdout_salt(release: str) -> str:
    """Each publish is an experiment of its own: what a user met in the last one is spread evenly over its arms."""
    return f"holdout/{release}"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """The users whom a release answers: a share of those whom no arm before it has, drawn by a salt."""

    name: str
    release: str
    salt: str
    share: float


def arms(
    *,
    production: str,
    canary: str | None = None,
    canary_share: float = 0.0,
    holdout: str | None = None,
    holdout_share: float = 0.0,
    long_holdout: str | None = None,
    long_holdout_share: float = 0.0,
) -> tuple[Arm, ...]:
    """The arms that exist, in the order in which users are drawn for them; the last is production and takes the rest.

    >>> [one.name for one in arms(production="b", holdout="a", holdout_share=0.05, canary="c", canary_share=0.01)]
    ['holdout', 'canary', 'production']
    """
    drawn = (
        ("long-holdout", long_holdout, LONG_HOLDOUT_SALT, long_holdout_share),
        ("holdout", holdout, holdout_salt(production), holdout_share),
        ("canary", canary, canary_salt(canary or ""), canary_share),
        ("production", production, "", 1.0),
    )
    return tuple(
        Arm(name=name, release=release, salt=salt, share=share)
        for name, release, salt, share in drawn
        if release is not None and share > 0
    )


def arm_of(user_id: str, *, among: tuple[Arm, ...]) -> Arm:
    """Who answers a user: the first arm that draws them.

    >>> there = arms(production="b", canary="c", canary_share=0.2)
    >>> [arm_of(user, among=there).release for user in ("u1", "u2", "u3", "u11")]
    ['b', 'b', 'b', 'c']
    """
    return next((one for one in among[:-1] if draw(user_id, salt=one.salt) < one.share), among[-1])


def arm(user_id: str | None, *, salt: str, shares: Mapping[str, float]) -> str:
    """The arm of a user: the draw falls into one of the shares, laid one after the other from 0.

    The first arm only gains users while its share grows, so that a ramp takes nobody back. No id counts as the empty
    one, as in SQL.

    Raises ValueError unless the shares lie in [0, 1] and sum to 1.

    >>> [arm("u1", salt="canary/2026-01-05", shares={"canary": share, "control": 1 - share}) for share in (0.2, 0.9)]
    ['control', 'canary']
    """
    if not all(0 <= share <= 1 for share in shares.values()) or not isclose(sum(shares.values()), 1):
        raise ValueError(f"shares is {dict(shares)}; each must lie in [0, 1], and together they must be 1")
    drawn = draw(user_id or "", salt=salt)
    ends = zip(shares, accumulate(shares.values()), strict=True)
    # The last arm takes what rounding leaves.
    return next((name for name, end in ends if drawn < end), list(shares)[-1])
