"""The simulated world: who lives in it, what can be shown, and how both change from week to week.

Shapes: U users, I items, W weeks, D latent dimensions, C categories.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from simulator.chance import generator

START = date(2024, 1, 1)  # a Monday, and far enough back that two years of simulated weeks are not the future

SEGMENTS = ("casual", "regular", "devoted", "searcher")
COUNTRIES = ("de", "fr", "it", "pl", "se")
GENDERS = ("f", "m", "x")
CONTENT_TYPES = ("video", "article", "audio", "product")
CATEGORIES = (
    "art",
    "cars",
    "cooking",
    "fashion",
    "film",
    "fitness",
    "games",
    "home",
    "music",
    "news",
    "science",
    "travel",
)
LATENT = 8


@dataclass(frozen=True)
class Surface:
    """A place in the product: how many slots it shows, how much of the traffic it gets, how fast attention fades.

    The item at position k is looked at with probability k ** −fading.
    """

    name: str
    slots: int
    share: float
    fading: float


SURFACES = (
    Surface("home", slots=8, share=0.5, fading=0.55),
    Surface("related", slots=5, share=0.3, fading=0.35),
    Surface("mail", slots=3, share=0.2, fading=0.9),
)
CANDIDATES = 20
RANDOM_SHARE = 0.05
# Radians by which tastes turn in a usual week, and the standard deviation of a category's step in the trend.
TURN, TREND_STEP = 0.06, 0.12
# One exposure in eleven is clicked.
CLICK_LOG_ODDS = -3.0


@dataclass(frozen=True, kw_only=True)
class Users:
    """Everyone who is ever seen; `arrives_U` is the week, from 0, of the first possible request."""

    country_U: NDArray[np.int64]
    gender_U: NDArray[np.int64]
    age_U: NDArray[np.int64]
    segment_UW: NDArray[np.int64]
    arrives_U: NDArray[np.int64]
    activity_U: NDArray[np.float64]
    inclination_U: NDArray[np.float64]
    taste_UD: NDArray[np.float64]
    later_taste_UD: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Items:
    """Everything that is ever shown, on the weeks [arrives, leaves); `lure_I` draws clicks that end in a hide."""

    content_type_I: NDArray[np.int64]
    category_I: NDArray[np.int64]
    second_category_I: NDArray[np.int64]
    arrives_I: NDArray[np.int64]
    leaves_I: NDArray[np.int64]
    published_I: NDArray[np.int64]
    vector_ID: NDArray[np.float64]
    quality_I: NDArray[np.float64]
    depth_I: NDArray[np.float64]
    lure_I: NDArray[np.float64]
    renown_I: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class World:
    """A world drawn from a seed, for a number of weeks and about a number of exposures.

    `click_log_odds` is where the log-odds of a click begin, before anything of user, item or time is added.
    """

    seed: int
    weeks: int
    exposures: int
    users: Users
    items: Items
    angle_W: NDArray[np.float64]
    trend_WC: NDArray[np.float64]
    click_log_odds: float

    @classmethod
    def draw(
        cls,
        *,
        exposures: int,
        weeks: int,
        seed: int,
        click_log_odds: float = CLICK_LOG_ODDS,
        drift_W: NDArray[np.float64] | None = None,
    ) -> "World":
        """`drift_W` says of each week how many usual weeks' drift it brings, by default 1.

        Raises ValueError if there is no week, too little traffic for one, a negative seed, or not one drift a week.
        """
        if weeks < 1:
            raise ValueError(f"weeks is {weeks}; it must be at least 1")
        if exposures < 1000 * weeks:
            raise ValueError(f"exposures is {exposures}; it must be at least 1000 a week, {1000 * weeks} in all")
        if not 0 <= seed < 2**31:
            raise ValueError(f"seed is {seed}; it must lie in [0, 2**31)")
        drift_W = np.ones(weeks) if drift_W is None else np.asarray(drift_W, dtype=np.float64)
        if drift_W.shape != (weeks,) or not (drift_W >= 0).all():
            raise ValueError(
                f"drift_W is {drift_W.tolist()}; it must be {weeks} numbers of at least 0, one for each week"
            )
        # The trend wanders: n weeks of it are √n times a week's step.
        steps_WC = generator(seed, "trend").normal(0, TREND_STEP, (weeks, len(CATEGORIES)))
        return cls(
            seed=seed,
            weeks=weeks,
            exposures=exposures,
            users=_draw_users(max(300, exposures // 60), weeks=weeks, seed=seed),
            items=_draw_items(max(240, round(1.5 * exposures**0.5)), weeks=weeks, seed=seed),
            angle_W=TURN * (drift_W.cumsum() - drift_W[0]),
            trend_WC=(np.sqrt(drift_W)[:, None] * steps_WC).cumsum(axis=0),
            click_log_odds=click_log_odds,
        )

    def tastes(self, week: int, users: NDArray[np.int64]) -> NDArray[np.float64]:
        """Latent tastes in a week, (…, D): each user's turns, by `angle_W` so far, towards another of their own."""
        angle = self.angle_W[week]
        return np.cos(angle) * self.users.taste_UD[users] + np.sin(angle) * self.users.later_taste_UD[users]

    def live_items(self, week: int) -> NDArray[np.int64]:
        return np.flatnonzero((self.items.arrives_I <= week) & (week < self.items.leaves_I))

    def live_users(self, week: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.users.arrives_U <= week)


def week_start(week: int) -> datetime:
    return datetime(START.year, START.month, START.day, tzinfo=UTC) + timedelta(weeks=week)


def examination(surface: NDArray[np.int64], position: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probability that the item at a position of a surface is looked at: position ** −fading; 1 at position 1."""
    fading = np.array([place.fading for place in SURFACES])
    return position.astype(float) ** -fading[surface]


def _draw_users(num_users: int, *, weeks: int, seed: int) -> Users:
    chance = generator(seed, "users")
    segment_U = chance.choice(len(SEGMENTS), num_users, p=[0.4, 0.35, 0.1, 0.15])
    # Three users in a hundred change segment each week.
    segment_UW = np.empty((num_users, weeks), dtype=np.int64)
    segment_UW[:, 0] = segment_U
    for week in range(1, weeks):
        moves = chance.random(num_users) < 0.03
        segment_UW[:, week] = np.where(moves, chance.integers(len(SEGMENTS), size=num_users), segment_UW[:, week - 1])
    centre_SD = chance.normal(size=(len(SEGMENTS), LATENT))
    arrives_later = (chance.random(num_users) > 0.55) & (weeks > 1)
    return Users(
        country_U=chance.choice(len(COUNTRIES), num_users, p=[0.35, 0.25, 0.2, 0.12, 0.08]),
        gender_U=chance.choice(len(GENDERS), num_users, p=[0.49, 0.48, 0.03]),
        age_U=np.clip(chance.gamma(8, 4.5, num_users), 14, 90).astype(np.int64),
        segment_UW=segment_UW,
        arrives_U=np.where(arrives_later, chance.integers(1, max(weeks, 2), size=num_users), 0),
        activity_U=chance.lognormal(0, 1, num_users) * np.array([0.5, 1, 3, 1.2])[segment_U],
        inclination_U=chance.normal(0, 0.5, num_users),
        taste_UD=_directions(chance.normal(size=(num_users, LATENT)) + 0.7 * centre_SD[segment_U]),
        later_taste_UD=_directions(chance.normal(size=(num_users, LATENT))),
    )


def _draw_items(num_first: int, *, weeks: int, seed: int) -> Items:
    """`num_first` items in week 0; each week 6 % leave and as many arrive."""
    chance = generator(seed, "items")
    num_weekly = max(1, round(0.06 * num_first))
    arrives_I = np.repeat(np.arange(weeks), [num_first] + [num_weekly] * (weeks - 1))
    num_items = len(arrives_I)
    age_days = np.where(arrives_I == 0, chance.exponential(40, num_items), chance.random(num_items) * 7)
    category_I = chance.integers(len(CATEGORIES), size=num_items)
    centre_CD = chance.normal(size=(len(CATEGORIES), LATENT))
    lure_I = chance.normal(size=num_items)
    quality_I = 0.5 * chance.normal(size=num_items) + 0.3 * lure_I
    start = int(week_start(0).timestamp())
    return Items(
        content_type_I=chance.choice(len(CONTENT_TYPES), num_items, p=[0.35, 0.3, 0.15, 0.2]),
        category_I=category_I,
        second_category_I=(category_I + chance.integers(1, len(CATEGORIES), size=num_items)) % len(CATEGORIES),
        arrives_I=arrives_I,
        leaves_I=arrives_I + chance.geometric(0.06, num_items),
        published_I=start + arrives_I * 7 * 86_400 - 3_600 - (age_days * 86_400).astype(np.int64),
        vector_ID=_directions(chance.normal(size=(num_items, LATENT)) + 0.8 * centre_CD[category_I]),
        quality_I=quality_I,
        depth_I=chance.normal(size=num_items) - 0.5 * lure_I,
        lure_I=lure_I,
        renown_I=quality_I + 0.3 * chance.normal(size=num_items),
    )


def _directions(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
