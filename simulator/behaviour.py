"""What people do with what they see: the exact probability of each action, and draws from it.

Shapes: N shown or candidate rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.world import CONTENT_TYPES, SEGMENTS, World

VIDEO, ARTICLE, AUDIO, PRODUCT = range(len(CONTENT_TYPES))
# How a segment leans towards a content type, on the log-odds scale: SEGMENTS × CONTENT_TYPES.
LEANING = np.array([[0.4, -0.2, 0.0, -0.3], [0.1, 0.2, 0.1, 0.0], [0.2, 0.5, 0.5, -0.2], [-0.5, 0.1, -0.4, 0.7]])
# Days after which the charm of the new has fallen to 1/e.
FRESH_DAYS = np.array([6.0, 1.5, 20.0, 45.0])
assert LEANING.shape == (len(SEGMENTS), len(CONTENT_TYPES))


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Who looks at what and when; the position is no part of it."""

    week: int
    weekend: bool
    user_N: NDArray[np.int64]
    item_N: NDArray[np.int64]
    served_N: NDArray[np.float64]  # seconds since the epoch
    hour_N: NDArray[np.int64]
    mood_N: NDArray[np.float64]  # of this user on this day
    rivals_N: NDArray[np.int64]  # candidates of the request in the item's category, itself included


def if_seen(world: World, at: Situation) -> dict[str, NDArray[np.float64]]:
    """P(action | the item is looked at), by action.

    A click follows a logit with thresholds, products and decays that no cross network of plain features holds exactly:
    tastes saturate, liking something new is worth more than both alone, articles sleep at night, a crowd of rivals
    tires, tastes are hidden and turn from week to week. A long click or a save presumes a click, a hide that there
    was none; the latter two are independent of each other given the click.
    """
    users, items = world.users, world.items
    kind_N = items.content_type_I[at.item_N]
    segment_N = users.segment_UW[at.user_N, at.week]
    liking_N = np.tanh(1.8 * np.einsum("nd,nd->n", world.tastes(at.week, at.user_N), items.vector_ID[at.item_N]))
    age_days_N = (at.served_N - items.published_I[at.item_N]) / 86_400
    fresh_N = np.exp(-age_days_N / FRESH_DAYS[kind_N])
    asleep_N = (kind_N == ARTICLE) & ((at.hour_N < 6) | (at.hour_N >= 23))
    prime_age_N = np.exp(-(((users.age_U[at.user_N] - 38) / 12.0) ** 2))

    click_logit_N = (
        world.click_log_odds
        + users.inclination_U[at.user_N]
        + at.mood_N
        + items.quality_I[at.item_N]
        + LEANING[segment_N, kind_N]
        + 1.6 * liking_N
        + 0.9 * ((liking_N > 0.4) & (age_days_N < 7))
        + 0.7 * fresh_N
        - 0.8 * asleep_N
        + (0.3 if at.weekend else 0.0) * ((kind_N == VIDEO) - 1.0 * (kind_N == PRODUCT))
        + 0.6 * prime_age_N * (kind_N == PRODUCT)
        + world.trend_WC[at.week, items.category_I[at.item_N]]
        - 0.25 * np.maximum(at.rivals_N - 2, 0)
    )
    click_N = _sigmoid(click_logit_N)
    long_click_N = _sigmoid(-0.4 + 0.8 * items.depth_I[at.item_N] + 0.9 * liking_N - 0.5 * (at.hour_N < 9))
    save_N = _sigmoid(-2.3 + 1.6 * np.maximum(liking_N, 0) + 0.6 * (kind_N == PRODUCT) - 0.4 * fresh_N)
    hide_N = _sigmoid(-4.4 - 1.4 * liking_N + 0.6 * items.lure_I[at.item_N])
    return {
        "click": click_N,
        "long_click": click_N * long_click_N,
        "save": click_N * save_N,
        "hide": (1 - click_N) * hide_N,
    }


def act(
    if_seen_N: Mapping[str, NDArray[np.float64]], examination_N: NDArray[np.float64], chance: np.random.Generator
) -> dict[str, NDArray[np.bool_]]:
    """Draw who does what: looked at with probability `examination_N`, then as `if_seen` says."""
    looks_N = chance.random(len(examination_N)) < examination_N
    click_N = looks_N & (chance.random(len(looks_N)) < if_seen_N["click"])
    no_click_N = looks_N & ~click_N
    return {
        "click": click_N,
        "long_click": click_N & (chance.random(len(looks_N)) < if_seen_N["long_click"] / if_seen_N["click"]),
        "save": click_N & (chance.random(len(looks_N)) < if_seen_N["save"] / if_seen_N["click"]),
        "hide": no_click_N & (chance.random(len(looks_N)) < if_seen_N["hide"] / (1 - if_seen_N["click"])),
    }


def _sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-logit))
