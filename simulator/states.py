"""What the simulated service knows of users and items, as it becomes known: before the first request of a Monday."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from simulator.files import iso
from simulator.world import CATEGORIES, CONTENT_TYPES, COUNTRIES, GENDERS, SEGMENTS, World, week_start


def user_states(world: World, week: int) -> Iterator[dict[str, Any]]:
    """Users who arrive in this week, and those there already whose segment changes with it."""
    users = world.users
    news_U = users.arrives_U == week
    if week > 0:
        news_U |= (users.arrives_U < week) & (users.segment_UW[:, week] != users.segment_UW[:, week - 1])
    for user in np.flatnonzero(news_U).tolist():
        yield {
            "user_id": f"u{user}",
            "updated_at": _known_at(week),
            "attributes": {
                "segment": SEGMENTS[users.segment_UW[user, week]],
                "country": COUNTRIES[users.country_U[user]],
                "gender": GENDERS[users.gender_U[user]],
                "age": int(users.age_U[user]),
            },
        }


def item_states(world: World, week: int) -> Iterator[dict[str, Any]]:
    """Items that arrive in this week."""
    items = world.items
    for item in np.flatnonzero(items.arrives_I == week).tolist():
        yield {
            "item_id": f"i{item}",
            "updated_at": _known_at(week),
            "attributes": {
                "content_type": CONTENT_TYPES[items.content_type_I[item]],
                "categories": [CATEGORIES[items.category_I[item]], CATEGORIES[items.second_category_I[item]]],
                "published_at": iso(datetime.fromtimestamp(int(items.published_I[item]), UTC)),
            },
        }


def _known_at(week: int) -> str:
    return iso(week_start(week) - timedelta(hours=1))
