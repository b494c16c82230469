"""Whether the arms have the users that they should: where they do not, no comparison of them means anything."""

from dataclasses import dataclass
from math import exp, inf, log

from scipy.special import betaln

# How many users' worth the belief is that the share is about as planned: departures of half a per cent upwards are
# found soonest, others later.
CONCENTRATION = 10_000.0
LARGEST_LOG = 700.0


@dataclass(frozen=True, kw_only=True)
class SampleRatio:
    """`odds` against the planned share; at 1 / level the experiment is void."""

    treatment_users: int
    control_users: int
    share: float
    odds: float
    alarm: bool
    reason: str


def check_sample_ratio(treatment_users: int, control_users: int, *, share: float, level: float) -> SampleRatio:
    """Alarm if the users' arms are 1 / level times likelier under another share than under `share`, the treatment's.

    The likelihood is averaged over shares by a beta distribution around the planned one. Its ratio is a martingale
    where users are assigned as planned, so that the alarm is false with probability `level` at most over all looks
    together (Lindon and Malek 2022, Anytime-valid inference for multinomial count data).

    >>> check_sample_ratio(28_000, 28_100, share=0.5, level=0.005).alarm
    False
    >>> check_sample_ratio(27_160, 28_840, share=0.5, level=0.005).reason  # 48.5 / 51.5
    'treatment has 27,160 of 56,000 users (48.50 %, planned 50.00 %): odds of 7.54e+08 : 1 against it'
    """
    a, b = CONCENTRATION * share, CONCENTRATION * (1 - share)
    found = float(betaln(a + treatment_users, b + control_users) - betaln(a, b))
    found -= treatment_users * log(share) + control_users * log(1 - share)
    odds = exp(found) if found < LARGEST_LOG else inf
    users = treatment_users + control_users
    seen = treatment_users / users if users else share
    return SampleRatio(
        treatment_users=treatment_users,
        control_users=control_users,
        share=share,
        odds=odds,
        alarm=odds >= 1 / level,
        reason=f"treatment has {treatment_users:,} of {users:,} users ({100 * seen:.2f} %, planned {100 * share:.2f} %)"
        f": odds of {odds:.3g} : 1 against it",
    )
