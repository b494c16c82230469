"""Assignment: golden vectors, nested ramps, experiments that know nothing of each other."""

from itertools import combinations

import pytest

from decisions.assignment import LONG_HOLDOUT_SALT, arm, canary_salt, holdout_salt
from decisions.draw import draw
from online.collector.keeping import LOGGING_SALT
from online.random_slice import RANDOM_SALT
from tests.user_ids import USER_IDS

MANY = [f"u{number}" for number in range(20_000)]
SALTS = (
    canary_salt("2026-01-05-1"),
    canary_salt("2026-01-12-1"),
    holdout_salt("2026-01-05-1"),
    LONG_HOLDOUT_SALT,
    RANDOM_SALT,
    LOGGING_SALT,
)

GOLDEN = [
    "control",
    "control",
    "control",
    "holdout",
    "control",
    "control",
    "canary",
    "control",
    "holdout",
    "control",
    "control",
    "control",
    "holdout",
    "holdout",
    "control",
    "holdout",
    "control",
]


def test_golden_users_stay_where_they_are() -> None:
    shares = {"holdout": 0.25, "canary": 0.25, "control": 0.5}
    found = [arm(user, salt=LONG_HOLDOUT_SALT, shares=shares) for user in (None, *USER_IDS[:16])]
    assert found == GOLDEN


def test_a_ramp_takes_no_user_back() -> None:
    salt = canary_salt("2026-01-05-1")
    before: set[str] = set()
    for share in (0.01, 0.05, 0.2, 0.5, 1.0):
        now = {
            user for user in MANY if arm(user, salt=salt, shares={"canary": share, "control": 1 - share}) == "canary"
        }
        assert before <= now
        assert len(now) == pytest.approx(share * len(MANY), abs=4 * (share * (1 - share) * len(MANY)) ** 0.5)
        before = now
    assert before == set(MANY)


@pytest.mark.parametrize(("one", "other"), list(combinations(SALTS, 2)))
def test_no_experiment_knows_of_another(one: str, other: str) -> None:
    both = sum(draw(user, salt=one) < 0.1 and draw(user, salt=other) < 0.1 for user in MANY)
    assert both == pytest.approx(0.01 * len(MANY), abs=4 * (0.01 * 0.99 * len(MANY)) ** 0.5)


@pytest.mark.parametrize("shares", [{}, {"canary": 0.5}, {"canary": 1.5, "control": -0.5}])
def test_shares_that_are_none_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="shares"):
        arm("u1", salt="canary/1", shares=shares)
