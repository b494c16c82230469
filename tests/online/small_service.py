"""A small service: states of a few users and items, a ranker of the shipped features, and a release of it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from lakehouse import snapshot
from lakehouse.home import Home
from lakehouse.versions import Pin
from ranker import Calibrator, Examples, FeatureSpec, Ranker, calibrate, fit, golden_rows, score
from ranker.artifact import SERVING
from registry import Lineage, Registry

AS_OF = datetime(2026, 3, 2, tzinfo=UTC)
NUM_USERS, NUM_ITEMS = 40, 120
WORDS = {
    "user_segment": ("devoted", "regular", "unknown"),
    "country": ("DE", "FR", "unknown"),
    "gender": ("f", "m", "unknown"),
    "content_type": ("audio", "video", "unknown"),
    "surface": ("home", "mail"),
}
CATEGORIES = ("art", "cars", "food")
NUMBERS = (
    "user_age",
    "item_age_days",
    "logged_affinity",
    "user_exposures",
    "user_clicks",
    "user_click_rate",
    "user_days_known",
    "item_exposures",
    "item_clicks",
    "item_click_rate",
    "item_days_known",
    "user_category_click_rate",
    "user_category_exposures",
    "user_mean_item_click_rate",
    "user_category_click_surplus",
)


def states(
    *, as_of: datetime = AS_OF, seed: int = 1, num_users: int = NUM_USERS, num_items: int = NUM_ITEMS
) -> dict[str, pa.Table]:
    chance = np.random.default_rng(seed)
    clicks = chance.integers(0, 20, num_users)
    users = pa.table(
        {
            "as_of": pa.array([as_of] * num_users, pa.timestamp("us", "UTC")),
            "user_id": [f"u{number}" for number in range(num_users)],
            "exposures": clicks * 7,
            "expected_clicks_e9": clicks * 1_300_000_000,
            "clicks": clicks,
            "trailing_exposures": clicks * 2,
            "trailing_clicks": clicks // 2,
            "first_seen_at": pa.array(
                [as_of - timedelta(days=int(days)) if days else None for days in clicks], pa.timestamp("us", "UTC")
            ),
            "recent_items": [[f"i{chance.integers(num_items)}" for _ in range(count % 5)] for count in clicks],
            "categories": pa.array(
                [
                    [
                        {
                            "category": name,
                            "exposures": int(3 * one),
                            "expected_clicks_e9": int(one) * 10**8,
                            "clicks": 1,
                        }
                        for name in CATEGORIES[: one % 3]
                    ]
                    for one in clicks
                ],
                pa.list_(
                    pa.struct(
                        [
                            ("category", pa.string()),
                            ("exposures", pa.int64()),
                            ("expected_clicks_e9", pa.int64()),
                            ("clicks", pa.int64()),
                        ]
                    )
                ),
            ),
            "segment": [("devoted", "regular", None)[number % 3] for number in range(num_users)],
            "country": [("DE", "FR", None)[number % 3] for number in range(num_users)],
            "gender": [("f", "m", None)[number % 3] for number in range(num_users)],
            "age": pa.array([None if number % 4 == 0 else 20.0 + number for number in range(num_users)], pa.float64()),
        }
    )
    shown = chance.integers(0, 500, num_items)
    items = pa.table(
        {
            "as_of": pa.array([as_of] * num_items, pa.timestamp("us", "UTC")),
            "item_id": [f"i{number}" for number in range(num_items)],
            "exposures": shown,
            "clicks": shown // 9,
            "trailing_exposures": shown // 3,
            "trailing_clicks": shown // 30,
            "first_seen_at": pa.array([as_of - timedelta(days=3)] * num_items, pa.timestamp("us", "UTC")),
            "content_type": [("audio", "video", None)[number % 3] for number in range(num_items)],
            "categories": [list(CATEGORIES[: number % 4]) for number in range(num_items)],
            "published_at": pa.array(
                [None if number % 5 == 0 else as_of - timedelta(days=number % 900) for number in range(num_items)],
                pa.timestamp("us", "UTC"),
            ),
        }
    )
    return {snapshot.USERS: users, snapshot.ITEMS: items}


def publish_states(
    home: Home,
    *,
    as_of: datetime = AS_OF,
    seed: int = 1,
    num_users: int = NUM_USERS,
    num_items: int = NUM_ITEMS,
    name_user: Callable[[str], str] = str,
    name_item: Callable[[str], str] = str,
) -> None:
    """`name_user` and `name_item` give the ids in the lake."""
    inputs = [
        Pin(relation=relation, path="/nowhere", table_id=f"{as_of.isoformat()}-{seed}", version=1)
        for relation, _ in snapshot.TABLES.values()
    ]
    made = states(as_of=as_of, seed=seed, num_users=num_users, num_items=num_items)
    for file, (column, named) in {
        snapshot.USERS: ("user_id", name_user),
        snapshot.ITEMS: ("item_id", name_item),
    }.items():
        names = [named(name) for name in made[file][column].to_pylist()]
        made[file] = made[file].set_column(made[file].column_names.index(column), column, pa.array(names))
    snapshot.write(made, inputs=inputs, home=home)


def training_rows(rows: int, *, seed: int) -> pa.Table:
    """Rows with every shipped feature; clicks follow affinity and the item's rate."""
    chance = np.random.default_rng(seed)
    numbers = {name: chance.gamma(1.0, 1.0, rows) for name in NUMBERS}
    clicked = chance.random(rows) < 1 / (1 + np.exp(2 - numbers["logged_affinity"] - numbers["item_click_rate"]))
    return pa.table(
        {
            "event_id": [f"e{row}" for row in range(rows)],
            "request_id": [f"r{row // 6}" for row in range(rows)],
            "user_id": [f"u{row}" for row in chance.integers(0, NUM_USERS, rows)],
            "item_id": [f"i{row}" for row in chance.integers(0, NUM_ITEMS, rows)],
            "served_at": pa.array(np.arange(rows) * 1_000_000, pa.timestamp("us", "UTC")),
            "position": chance.integers(1, 7, rows).astype(np.int32),
            "acted": clicked.astype(np.int32),
            "clicked": clicked.astype(np.int32),
            "hour_of_day": chance.integers(0, 24, rows).astype(np.int32),
            "item_categories": [list(CATEGORIES[:count]) for count in chance.integers(0, 4, rows)],
            "user_recent_items": [[f"i{row}" for row in chance.integers(0, NUM_ITEMS, 3)] for _ in range(rows)],
            **{name: np.array(words)[chance.integers(0, len(words), rows)] for name, words in WORDS.items()},
            **numbers,
        }
    )


def spec() -> FeatureSpec:
    return FeatureSpec.from_schema(
        training_rows(1, seed=0).schema,
        labels={"clicked": "click"},
        categorical=["hour_of_day"],
        segments=["surface", "user_segment", "content_type"],
        sequences_of={"user_recent_items": "item_id"},
        cardinality=1024,
    )


def release(home: Home, *, seed: int, week: str = "2026-03-02", promote: bool = True) -> str:
    """Train, save and by default promote; its id."""
    table = training_rows(3_000, seed=seed)
    examples = Examples.from_arrow(table, spec=spec())
    fitted = fit(examples, spec=spec(), seed=seed).model
    calibrator = calibrate(score(fitted, examples, position="shown"), examples)
    saved = save(home, table, model=fitted, calibrator=calibrator, seed=seed, week=week)
    if promote:
        registry = Registry(home.releases)
        registry.promote(saved, expected_version=registry.pointer().version, reason="for a test")
    return saved


def save(home: Home, table: pa.Table, *, model: Ranker, calibrator: Calibrator, seed: int, week: str) -> str:
    """Save what serving needs of a release, with golden rows out of a table; its id."""
    files = model.to_files()
    golden = golden_rows(table, model=Ranker.from_files(files, weights=SERVING), calibrator=calibrator)
    lineage = Lineage(
        partition=week,
        windows={},
        inputs=(),
        recipe="standard",
        teacher=None,
        code_version="git:none",
        seeds={"training": seed},
        environment={},
    )
    about = {"calibrator.json": calibrator.to_json(), "golden.json": golden, "metrics.json": {}}
    files |= {name: as_json(content) for name, content in about.items()}
    return Registry(home.releases).save(files, lineage=lineage).id


def as_json(content: object) -> bytes:
    return json.dumps(content).encode()
