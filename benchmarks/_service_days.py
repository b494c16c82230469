"""Days of a simulated service as the marts would hold them, with more features than the project ships."""

import pickle
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from benchmarks._day_figures import figures_of
from benchmarks._figures import FOLDER
from decisions.days import DayFigures
from simulator.chance import draw, generator
from simulator.policy import NOISY_RENOWN
from simulator.simulate import DayLog, simulate_day
from simulator.world import (
    CATEGORIES,
    CLICK_LOG_ODDS,
    CONTENT_TYPES,
    COUNTRIES,
    GENDERS,
    LATENT,
    SEGMENTS,
    START,
    SURFACES,
    World,
)

if TYPE_CHECKING:
    from benchmarks._anomalies import Kind

# Of users and items: what comes and goes, and is no word that a rule could know.
IDS = frozenset({"user_id", "item_id"})
CATEGORICAL = (
    "surface",
    "user_segment",
    "country",
    "gender",
    "content_type",
    "hour_of_day",
    "category",
    "second_category",
)
SEQUENCES = ("item_categories", "user_recent_items")
# Of users, items and both: what an embedding model of the service would add.
TASTES = tuple(f"user_taste_{number}" for number in range(LATENT))
VECTORS = tuple(f"item_vector_{number}" for number in range(LATENT))
MATCHES = tuple(f"match_{number}" for number in range(LATENT))
NUMERIC = (
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
    "category_click_rate",
    "user_week_exposures",
    "item_week_exposures",
    "item_renown",
    "match",
    "score",
    *TASTES,
    *VECTORS,
    *MATCHES,
)
KINDS = {
    **dict.fromkeys(NUMERIC, "numeric"),
    **dict.fromkeys(CATEGORICAL, "categorical"),
    **dict.fromkeys(SEQUENCES, "sequence"),
}


@dataclass(frozen=True, kw_only=True)
class ServiceDay:
    """One day's rows of marts.examples and of marts.random_slice."""

    day: date
    examples: pa.Table
    random_slice: pa.Table


def service_days(world: World) -> Iterator[ServiceDay]:
    """Every day of a world, with the features as they were known when the day began."""
    users, items = len(world.users.age_U), len(world.items.category_I)
    exposures_U, clicks_U, week_U = np.zeros((3, users))
    exposures_I, clicks_I, week_I = np.zeros((3, items))
    exposures_C, clicks_C = np.zeros((2, len(CATEGORIES)))
    first_U, first_I = np.full(users, np.inf), np.full(items, np.inf)
    recent: list[list[str]] = [[] for _ in range(users)]
    for number in range(7 * world.weeks):
        day = START + timedelta(days=number)
        log = simulate_day(world, day, NOISY_RENOWN)
        user_N, item_N = log.requests.user_R[log.request_N], log.item_N
        category_N = world.items.category_I[item_N]
        rate = (clicks_U.sum() + 1) / (exposures_U.sum() + 11)
        known: dict[str, Any] = {
            "user_exposures": exposures_U[user_N],
            "user_clicks": clicks_U[user_N],
            "user_click_rate": ((clicks_U + 20 * rate) / (exposures_U + 20))[user_N],
            "user_days_known": np.maximum(number - first_U[user_N], 0),
            "item_exposures": exposures_I[item_N],
            "item_clicks": clicks_I[item_N],
            "item_click_rate": ((clicks_I + 20 * rate) / (exposures_I + 20))[item_N],
            "item_days_known": np.maximum(number - first_I[item_N], 0),
            "category_click_rate": ((clicks_C + 20 * rate) / (exposures_C + 20))[category_N],
            "user_week_exposures": week_U[user_N],
            "item_week_exposures": week_I[item_N],
            "user_recent_items": pa.array([recent[user] for user in user_N.tolist()], pa.list_(pa.string())),
        }
        yield _rows(world, log, known)
        shown, clicked = log.shown_N, log.acted_N["click"]
        for total, of, index in (
            (exposures_U, shown, user_N),
            (clicks_U, clicked, user_N),
            (exposures_I, shown, item_N),
            (clicks_I, clicked, item_N),
            (exposures_C, shown, category_N),
            (clicks_C, clicked, category_N),
        ):
            total += np.bincount(index[of], minlength=len(total))
        # What was seen in about the last week.
        week_U[:] = 6 / 7 * week_U + np.bincount(user_N[shown], minlength=users)
        week_I[:] = 6 / 7 * week_I + np.bincount(item_N[shown], minlength=items)
        np.minimum.at(first_U, user_N, number)
        np.minimum.at(first_I, item_N, number)
        for user, item in zip(user_N[clicked].tolist(), item_N[clicked].tolist(), strict=True):
            recent[user] = [f"i{item}", *recent[user]][:20]


def _rows(world: World, log: DayLog, known: dict[str, Any]) -> ServiceDay:
    day, requests = log.requests.day, log.requests
    user_N, item_N, request_N = requests.user_R[log.request_N], log.item_N, log.request_N
    users, items = world.users, world.items
    random_N = requests.random_R[request_N]
    taste_ND, vector_ND = world.tastes(requests.week, user_N), items.vector_ID[item_N]
    category_N = items.category_I[item_N]
    number_N = requests.number_R[request_N] * 32 + log.place_N
    slice_N = draw(user_N, salt="user slice", seed=world.seed)
    acted = {action: done.astype(np.int32) for action, done in log.acted_N.items()}
    columns: dict[str, Any] = {
        "day": pa.array([day] * len(item_N), pa.date32()),
        "event_id": log.event_id_N,
        "request_id": np.array(log.request_id_R)[request_N],
        "user_id": _texts(user_N, "u"),
        "item_id": _texts(item_N, "i"),
        "position": pa.array(log.place_N.astype(np.int32), mask=~log.shown_N),
        "impressed": log.shown_N,
        "traffic": _named(random_N.astype(np.int64), ("policy", "random")),
        "propensity": pa.array(np.full(len(item_N), 1 / 20), mask=~random_N),
        "score": log.score_N,
        "user_slice": _named(np.digitize(slice_N, (1 / 3, 2 / 3)), ("train", "calibrate", "evaluate")),
        "draw": draw(number_N, salt="sampler", seed=world.seed),
        "acted": np.maximum.reduce(list(acted.values())),
        "clicked": acted["click"],
        "long_clicked": acted["long_click"],
        "saved": acted["save"],
        "hidden": acted["hide"],
        "surface": _named(requests.surface_R[request_N], [surface.name for surface in SURFACES]),
        "user_segment": _named(users.segment_UW[user_N, requests.week], SEGMENTS),
        "country": _named(users.country_U[user_N], COUNTRIES),
        "gender": _named(users.gender_U[user_N], GENDERS),
        "content_type": _named(items.content_type_I[item_N], CONTENT_TYPES),
        "hour_of_day": pa.array(requests.hour_R[request_N].astype(np.int32)),
        "category": _named(category_N, CATEGORIES),
        "second_category": _named(items.second_category_I[item_N], CATEGORIES),
        "item_categories": pa.ListArray.from_arrays(
            np.arange(0, 2 * len(item_N) + 1, 2, dtype=np.int32),
            _named(np.stack([category_N, items.second_category_I[item_N]], axis=1).ravel(), CATEGORIES),
        ),
        "user_age": users.age_U[user_N].astype(np.float64),
        "item_age_days": (requests.served_ms_R[request_N] / 1_000 - items.published_I[item_N]) / 86_400,
        "logged_affinity": pa.array(log.affinity_N, from_pandas=True),
        "item_renown": items.renown_I[item_N],
        "match": (taste_ND * vector_ND).sum(axis=1),
        **known,
        **dict(zip(TASTES, taste_ND.T, strict=True)),
        **dict(zip(VECTORS, vector_ND.T, strict=True)),
        **dict(zip(MATCHES, (taste_ND * vector_ND).T, strict=True)),
    }
    rows = pa.table(columns)
    return ServiceDay(
        day=day, examples=rows.filter(pa.array(log.shown_N)), random_slice=rows.filter(pa.array(random_N))
    )


def _named(codes: np.ndarray, names: Any) -> pa.Array:
    return pa.array(np.array(names)[codes], pa.string())


def _texts(numbers: np.ndarray, prefix: str) -> pa.Array:
    return pa.array([f"{prefix}{number}" for number in numbers.tolist()], pa.string())


@dataclass(frozen=True, kw_only=True)
class WorldFigures:
    """The figures of a world's clean days, in order, and of days with an anomaly planted: by what was planted."""

    days: list[DayFigures]
    planted: dict[str, list[tuple[date, DayFigures | None]]]


def figures_of_world(
    seed: int,
    *,
    rows_a_day: int,
    weeks: int,
    click_log_odds: float = CLICK_LOG_ODDS,
    kinds: Sequence["Kind"] = (),
    plant_on: Collection[int] = (),
) -> WorldFigures:
    """Each kind is planted anew into the days of these numbers; of an empty day there are no figures.

    What an earlier run made of the same world is read instead.
    """
    planted_as = zlib.crc32(repr((sorted(plant_on), [kind.what for kind in kinds])).encode())
    path = FOLDER / "service-days" / f"{seed}-{rows_a_day}-{weeks}-{click_log_odds}-{planted_as:08x}.pickle"
    if path.exists():
        found: WorldFigures = pickle.loads(path.read_bytes())
        return found
    world = World.draw(exposures=7 * weeks * rows_a_day * 5 // 4, weeks=weeks, seed=seed, click_log_odds=click_log_odds)
    chance = generator(seed, "anomalies")
    figures = WorldFigures(days=[], planted={kind.what: [] for kind in kinds})
    for number, day in enumerate(service_days(world)):
        figures.days.append(figures_of(day.examples, random_slice=day.random_slice, kinds=KINDS))
        for kind in kinds if number in plant_on else ():
            broken = kind.inject(day, chance)
            rows = broken.examples.num_rows
            of = figures_of(broken.examples, random_slice=broken.random_slice, kinds=KINDS) if rows else None
            figures.planted[kind.what].append((day.day, of))
        if number % 28 == 27:
            print(f"world {seed}: day {number + 1} of {7 * weeks}", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(pickle.dumps(figures))
    part.replace(path)
    return figures
