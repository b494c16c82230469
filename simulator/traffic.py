"""One day of requests: sessions of users, on surfaces, each with the candidates that retrieval found.

Shapes: R requests, K candidates of a request.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

from simulator.chance import draw, generator
from simulator.world import CANDIDATES, RANDOM_SHARE, START, SURFACES, World

# Requests by hour of the day (UTC): a low at night, a first peak at noon and a second in the evening.
HOURS = np.array([3, 2, 1, 1, 1, 2, 4, 7, 8, 7, 7, 8, 10, 9, 7, 7, 8, 9, 11, 13, 14, 13, 9, 5], dtype=float)
# Monday to Sunday; the mean is 1.
WEEKDAYS = np.array([0.92, 0.94, 0.95, 0.97, 1.0, 1.12, 1.1])
MAX_REQUESTS_PER_DAY = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Requests:
    """The requests of a day in the order in which they came."""

    day: date
    week: int
    number_R: NDArray[np.int64]  # no two requests of a world share one
    user_R: NDArray[np.int64]
    surface_R: NDArray[np.int64]
    served_ms_R: NDArray[np.int64]  # since the epoch
    random_R: NDArray[np.bool_]
    item_RK: NDArray[np.int64]
    affinity_RK: NDArray[np.float64]  # what the product knows of liking; NaN where it knows nothing

    @property
    def slots_R(self) -> NDArray[np.int64]:
        return np.array([surface.slots for surface in SURFACES])[self.surface_R]

    @property
    def hour_R(self) -> NDArray[np.int64]:
        return self.served_ms_R // 3_600_000 % 24


def requests_of(world: World, day: date) -> Requests:
    """The requests of one day, the same whichever other days are simulated.

    A request belongs to the random slice if the hash of its number falls below `RANDOM_SHARE`.
    """
    since_start = (day - START).days
    week = since_start // 7
    chance = generator(world.seed, "requests", since_start)
    num_requests = _num_requests(world, day, chance)

    # Two in five requests open a session; the others follow in the one before, half a minute apart.
    opens_R = chance.random(num_requests) < 0.4
    opens_R[0] = True
    session_R = opens_R.cumsum() - 1
    num_sessions = session_R[-1] + 1
    live_users = world.live_users(week)
    activity = world.users.activity_U[live_users]
    user_R = chance.choice(live_users, num_sessions, p=activity / activity.sum())[session_R]
    hour = chance.choice(24, num_sessions, p=HOURS / HOURS.sum())
    opened_s = (hour + chance.random(num_sessions)) * 3_600
    elapsed_R = np.where(opens_R, 0, chance.exponential(30, num_requests)).cumsum()
    second_R = opened_s[session_R] + elapsed_R - elapsed_R[opens_R][session_R]
    in_day_ms_R = np.minimum(second_R * 1_000, 86_399_999).astype(np.int64)
    order = in_day_ms_R.argsort(kind="stable")

    midnight_ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000
    number_R = since_start * MAX_REQUESTS_PER_DAY + np.arange(num_requests)
    user_R = user_R[order]
    item_RK = _retrieve(world, week, num_requests, chance)
    return Requests(
        day=day,
        week=week,
        number_R=number_R,
        user_R=user_R,
        surface_R=chance.choice(len(SURFACES), num_requests, p=[surface.share for surface in SURFACES]),
        served_ms_R=midnight_ms + in_day_ms_R[order],
        random_R=draw(number_R, salt="random slice", seed=world.seed) < RANDOM_SHARE,
        item_RK=item_RK,
        affinity_RK=_affinity(world, week, user_R, item_RK, chance),
    )


def _num_requests(world: World, day: date, chance: np.random.Generator) -> int:
    """So many that all days together land about `world.exposures` rows."""
    shown = sum(surface.share * surface.slots for surface in SURFACES)
    landed_per_request = (1 - RANDOM_SHARE) * shown + RANDOM_SHARE * CANDIDATES
    mean = world.exposures / (7 * world.weeks) / landed_per_request
    return max(1, round(mean * WEEKDAYS[day.weekday()] * chance.lognormal(0, 0.03)))


def _retrieve(world: World, week: int, num_requests: int, chance: np.random.Generator) -> NDArray[np.int64]:
    """CANDIDATES different live items for each request: the day's shelves hold one share of the items each, and
    a request takes one item from each shelf, well-known ones more often."""
    shelves = np.array_split(chance.permutation(world.live_items(week)), CANDIDATES)
    item_RK = np.empty((num_requests, CANDIDATES), dtype=np.int64)
    for place, shelf in enumerate(shelves):
        weight = np.exp(0.6 * world.items.renown_I[shelf])
        item_RK[:, place] = chance.choice(shelf, num_requests, p=weight / weight.sum())
    return item_RK


def _affinity(
    world: World, week: int, user_R: NDArray[np.int64], item_RK: NDArray[np.int64], chance: np.random.Generator
) -> NDArray[np.float64]:
    true_RK = np.einsum("rd,rkd->rk", world.tastes(week, user_R), world.items.vector_ID[item_RK])
    known_RK = (true_RK + chance.normal(0, 0.3, true_RK.shape)).round(4)
    return np.where(chance.random(true_RK.shape) < 0.03, np.nan, known_RK)
