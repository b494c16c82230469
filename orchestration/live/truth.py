"""What an experiment measured of two releases, and what is true of them.

The truth needs no traffic: the same requests are ranked by both, and the simulated world says how many clicks each
order leads to on average.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache

import msgspec
import numpy as np

from decisions.assignment import Arm
from decisions.experiment import Compared, Moments, lift
from lakehouse.home import Home
from lakehouse.session import connect
from online.server.messages import RankRequest
from online.server.ranking import Ranking, items_of, rank
from online.server.standing import Standing, load
from online.settings import Settings
from registry.experiments import Experiment
from simulator.population import Asked, Shown

ACTION = "click"
# Of a two-sided interval of 99 %.
Z = 2.576


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Clicks a request of policy traffic: of the held-out, and the lift of the others over it with its interval."""

    requests: int
    holdout_requests: int
    holdout_rate: float
    lift: float
    lower: float
    upper: float


def measured(experiment: Experiment, *, home: Home) -> Measured | None:
    """From the lake, by user; None where too few were served to say anything."""
    last = experiment.last_version
    until = "" if last is None else f"and pointer_version <= {last}"
    users = (
        connect(home)
        .sql(
            f"""
        with requests as (
            select distinct request_id, user_id, arm from raw.requests
            where
                traffic = 'policy' and not failed and arm in ('production', 'holdout')
                and pointer_version >= {experiment.first_version} {until}
        ),

        clicks as (
            select request_id, count(distinct item_id) as clicks from raw.engagements
            where action = '{ACTION}' group by request_id
        )

        select arm, user_id, count(*) as requests, coalesce(sum(clicks), 0) as clicks
        from requests left join clicks using (request_id)
        group by arm, user_id
        """
        )
        .toArrow()
    )
    arm, counts_U2 = users["arm"].to_numpy(), np.stack([users[name].to_numpy() for name in ("clicks", "requests")], 1)
    found = {}
    for name in ("production", "holdout"):
        of_arm_U2 = counts_U2[arm == name].astype(np.float64)
        # Nothing is known of the users from before.
        found[name] = np.concatenate([of_arm_U2, np.zeros_like(of_arm_U2)], axis=1)
    if min(map(len, found.values())) < 2:
        return None
    treatment, control = (Moments.of(found[name]) for name in ("production", "holdout"))
    result = lift(Compared(treatment=treatment, control=control))
    if result is None:
        return None
    return Measured(
        requests=int(treatment.sums[1]),
        holdout_requests=int(control.sums[1]),
        holdout_rate=result.control,
        lift=result.lift,
        lower=result.lift - Z * result.error,
        upper=result.lift + Z * result.error,
    )


def expected_clicks(asked: Asked, release: str, *, standing: Standing, settings: Settings) -> float:
    """How many clicks these requests lead to on average if `release` ranks all of them, none by chance."""
    only = replace(standing, arms=(Arm(name="production", release=release, salt="", share=1.0),))
    requests = [msgspec.convert(message, RankRequest) for message in asked.messages()]
    ranked = rank(requests, only, replace(settings, random_share=0.0), now=datetime.now(UTC))
    placed = [placed_by(one) for one in ranked if isinstance(one, Ranking)]
    return float(Shown.of(asked, placed).expected_R(ACTION).sum())


def placed_by(ranking: Ranking) -> Sequence[str]:
    items = items_of(ranking.request)
    return [items[place] for place in ranking.order_K[: ranking.num_wanted].tolist()]


@lru_cache(maxsize=1)
def standing_of(home: Home, version: int) -> Standing:
    """What a server answers with at this version of the pointer."""
    return load(home, Settings.load())
