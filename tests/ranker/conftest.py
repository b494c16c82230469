"""A small planted world: examples whose true probabilities are known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from ranker import FeatureSpec

SPEC = FeatureSpec.from_json(
    {
        "relation": "marts.examples_v1",
        "event": "event_id",
        "request": "request_id",
        "user": "user_id",
        "item": "item_id",
        "time": "served_at",
        "position": "position",
        "surface": "surface",
        "acted": "acted",
        "negative_keep_probability": "negative_keep_probability",
        "labels": [{"name": "clicked", "action": "click"}, {"name": "saved", "action": "save"}],
        "segments": ["user_segment"],
        "features": [
            {"name": "user_segment", "kind": "categorical", "cardinality": 16},
            {"name": "surface", "kind": "categorical", "cardinality": 16},
            {"name": "affinity", "kind": "numeric"},
            {"name": "categories", "kind": "sequence", "cardinality": 16, "max_length": 3},
        ],
    }
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """A table, and what made it: p(acted) at the position shown, p(acted) at position 1, p(click), p(save)."""

    table: pa.Table
    acted: Floats
    acted_at_one: Floats
    click: Floats
    save: Floats

    def take(self, rows: npt.NDArray[np.int64]) -> "World":
        return World(
            self.table.take(pa.array(rows)),
            *(one[rows] for one in (self.acted, self.acted_at_one, self.click, self.save)),
        )


def sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def make_world(rows: int, *, seed: int, position_effect: float = 0.0, base: float = -1.5) -> World:
    """acted depends on segment, affinity and (by `position_effect` per log position) on where it was shown.

    Good candidates are shown higher, so position and affinity are confounded, as in a real log.
    """
    generator = np.random.default_rng(seed)
    segment = generator.integers(0, 4, rows)
    affinity = generator.normal(size=rows)
    position = np.clip(np.round(3 - affinity + generator.normal(size=rows)), 1, 6).astype(np.int64)
    bare = base + 0.5 * (segment - 1.5) + 0.8 * affinity
    acted_at_one, acted = sigmoid(bare), sigmoid(bare + position_effect * np.log(position))
    is_acted = generator.random(rows) < acted
    click_given, save_given = sigmoid(1.5 - affinity), sigmoid(-1.0 + affinity)
    table = pa.table(
        {
            "event_id": [f"e{row:07d}" for row in range(rows)],
            "request_id": [f"r{row // 6}" for row in range(rows)],
            "user_id": [f"u{row % (rows // 10)}" for row in range(rows)],
            "item_id": [f"i{row % 50}" for row in range(rows)],
            "served_at": pa.array(np.arange(rows) * 1_000_000, pa.timestamp("us", "UTC")),
            "position": position.astype(np.int32),
            "surface": np.where(generator.random(rows) < 0.5, "home", "search"),
            "acted": is_acted.astype(np.int32),
            "clicked": (is_acted & (generator.random(rows) < click_given)).astype(np.int32),
            "saved": (is_acted & (generator.random(rows) < save_given)).astype(np.int32),
            "user_segment": [f"segment {code}" for code in segment],
            "affinity": affinity,
            "categories": [[f"c{row % 5}", f"c{row % 7}"] for row in range(rows)],
        }
    )
    return World(table, acted, acted_at_one, acted * click_given, acted * save_given)


@pytest.fixture
def spec() -> FeatureSpec:
    return SPEC


@pytest.fixture(scope="session")
def world() -> Callable[..., World]:
    return make_world
