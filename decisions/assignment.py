"""Who is in which arm: a stable hash of user and experiment, the same here and in macros/arm.sql."""

from collections.abc import Mapping
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
