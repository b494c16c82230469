"""Examples of the simulated world in memory, each with the true probabilities of its actions.

In short what the lake makes of the same world's landing files: attributes as of the exposure, and totals that end with
the day before. Shapes: N landed rows, U users, I items, C categories.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lakehouse.dataset import ACTIONS
from ranker import Examples, Feature, FeatureSpec, Label, Ranker, score
from simulator.policy import NOISY_RENOWN, Policy
from simulator.simulate import DayLog, simulate_day
from simulator.traffic import Requests
from simulator.world import CANDIDATES, CATEGORIES, CONTENT_TYPES, COUNTRIES, GENDERS, SEGMENTS, START, SURFACES, World

WORDS = {
    "surface": tuple(surface.name for surface in SURFACES),
    "user_segment": SEGMENTS,
    "country": COUNTRIES,
    "gender": GENDERS,
    "content_type": CONTENT_TYPES,
}
NUMBERS = (
    "user_age",
    "item_age_days",
    "logged_affinity",
    "user_exposures",
    "user_click_rate",
    "item_exposures",
    "item_click_rate",
    "user_category_exposures",
    "user_category_click_rate",
)
SPEC = FeatureSpec(
    relation="the simulated world",
    event="event_id",
    request="request_id",
    user="user_id",
    item="item_id",
    time="served_at",
    acted="acted",
    labels=tuple(Label(name=action, action=action) for action in ACTIONS),
    features=(
        Feature(name="user_id", kind="categorical", cardinality=16384),
        Feature(name="item_id", kind="categorical", cardinality=16384),
        *(Feature(name=name, kind="categorical", cardinality=64) for name in (*WORDS, "hour_of_day")),
        Feature(name="item_categories", kind="sequence", cardinality=64, max_length=2),
        *(Feature(name=name, kind="numeric") for name in NUMBERS),
    ),
    segments=("surface", "user_segment", "country", "content_type"),
    position="position",
    surface="surface",
    traffic="traffic",
    negative_keep_probability="negative_keep_probability",
)
# A click rate of few exposures is drawn to that of all, as if so many more had been seen.
PRIOR_ROWS = 20.0


@dataclass(kw_only=True)
class Totals:
    """Exposures and clicks that ended before the day at hand."""

    world: World
    user_U2: NDArray[np.float64] = field(init=False)
    item_I2: NDArray[np.float64] = field(init=False)
    taste_UC2: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        num_users, num_items = len(self.world.users.age_U), len(self.world.items.quality_I)
        self.user_U2 = np.zeros((num_users, 2))
        self.item_I2 = np.zeros((num_items, 2))
        self.taste_UC2 = np.zeros((num_users, len(CATEGORIES), 2))

    def add(self, log: DayLog) -> None:
        """Count a day, once it is over."""
        user_N, category_N = log.requests.user_R[log.request_N], self.world.items.category_I[log.item_N]
        counts_N2 = np.stack([log.shown_N, log.acted_N["click"]], axis=1).astype(float)
        np.add.at(self.user_U2, user_N, counts_N2)
        np.add.at(self.item_I2, log.item_N, counts_N2)
        np.add.at(self.taste_UC2, (user_N, category_N), counts_N2)

    def rate(self, exposures_and_clicks: NDArray[np.float64]) -> NDArray[np.float64]:
        exposures, clicks = self.user_U2.sum(axis=0)
        overall = clicks / exposures if exposures else 0.1
        return (exposures_and_clicks[:, 1] + PRIOR_ROWS * overall) / (exposures_and_clicks[:, 0] + PRIOR_ROWS)


def simulated_examples(world: World) -> pa.Table:
    """The shown rows of all days, in the columns of SPEC, `traffic`, and for each action `<action>_truth`."""
    totals = Totals(world=world)
    weeks = [week_of_examples(week, policy=NOISY_RENOWN, totals=totals) for week in range(world.weeks)]
    return pa.concat_tables(weeks).combine_chunks()


def week_of_examples(week: int, *, policy: Policy, totals: Totals) -> pa.Table:
    """The shown rows of a week that `policy` ranks; its days are counted in `totals`, one after the other."""
    tables = []
    for day in range(7 * week, 7 * week + 7):
        log = simulate_day(totals.world, START + timedelta(days=day), policy)
        tables.append(examples_of(log, totals=totals))
        totals.add(log)
    return pa.concat_tables(tables)


def released(model: Ranker, *, totals: Totals) -> Policy:
    """Ranks by the chance of a click at position 1, from the features as `totals` has them on the day."""

    def click_chances(world: World, requests: Requests) -> NDArray[np.float64]:
        request_N = np.repeat(np.arange(len(requests.number_R)), CANDIDATES)
        candidates = features(
            totals,
            requests,
            request_N=request_N,
            item_N=requests.item_RK.ravel(),
            affinity_N=requests.affinity_RK.ravel(),
        )
        # Nothing has become of them yet.
        candidates |= {
            "event_id": ids("e", np.arange(len(request_N))),
            "request_id": ids("r", request_N),
            "served_at": pa.array(requests.served_ms_R[request_N], pa.timestamp("ms", tz="UTC")),
            **{name: np.zeros(len(request_N)) for name in ("position", "acted", *ACTIONS)},
        }
        examples = Examples.from_arrow(pa.table(candidates), spec=SPEC, actions=ACTIONS)
        return score(model, examples).probability("click").reshape(requests.item_RK.shape)

    return Policy(click_chances)


def examples_of(log: DayLog, *, totals: Totals) -> pa.Table:
    """The shown rows of a day, before the day is counted in `totals`."""
    shown = np.flatnonzero(log.shown_N)
    request_N, item_N = log.request_N[shown], log.item_N[shown]
    columns: dict[str, Any] = features(
        totals, log.requests, request_N=request_N, item_N=item_N, affinity_N=log.affinity_N[shown]
    )
    acted_N = {action: taken_N[shown] for action, taken_N in log.acted_N.items()}
    columns |= {
        "event_id": pa.array(log.event_id_N).take(pa.array(shown)),
        "request_id": pa.array(log.request_id_R).take(pa.array(request_N)),
        "served_at": pa.array(log.requests.served_ms_R[request_N], pa.timestamp("ms", tz="UTC")),
        "position": log.place_N[shown],
        "traffic": pa.array(["policy", "random"]).take(pa.array(log.requests.random_R[request_N].astype(int))),
        "acted": np.any(list(acted_N.values()), axis=0).astype(int),
    }
    columns |= {action: taken_N.astype(int) for action, taken_N in acted_N.items()}
    seen_N = log.examination_N[shown]
    columns |= {f"{action}_truth": seen_N * chance_N[shown] for action, chance_N in log.if_seen_N.items()}
    return pa.table(columns)


def features(
    totals: Totals,
    requests: Requests,
    *,
    request_N: NDArray[np.int64],
    item_N: NDArray[np.int64],
    affinity_N: NDArray[np.float64],
) -> dict[str, Any]:
    """What a service knows of the candidates of a day's requests when it ranks them."""
    world, user_N = totals.world, requests.user_R[request_N]
    category_N = world.items.category_I[item_N]
    codes = {
        "surface": requests.surface_R[request_N],
        "user_segment": world.users.segment_UW[user_N, requests.week],
        "country": world.users.country_U[user_N],
        "gender": world.users.gender_U[user_N],
        "content_type": world.items.content_type_I[item_N],
    }
    categories_N2 = np.stack([category_N, world.items.second_category_I[item_N]], axis=1)
    names = pa.array(CATEGORIES).take(pa.array(categories_N2.ravel()))
    user_N2, item_N2, taste_N2 = totals.user_U2[user_N], totals.item_I2[item_N], totals.taste_UC2[user_N, category_N]
    return {
        "user_id": ids("u", user_N),
        "item_id": ids("i", item_N),
        **{name: pa.array(WORDS[name]).take(pa.array(code_N)) for name, code_N in codes.items()},
        "hour_of_day": requests.hour_R[request_N],
        "item_categories": pa.ListArray.from_arrays(np.arange(0, 2 * len(item_N) + 1, 2, dtype=np.int32), names),
        "user_age": world.users.age_U[user_N].astype(float),
        "item_age_days": (requests.served_ms_R[request_N] / 1000 - world.items.published_I[item_N]) / 86_400,
        "logged_affinity": affinity_N,
        "user_exposures": user_N2[:, 0],
        "user_click_rate": totals.rate(user_N2),
        "item_exposures": item_N2[:, 0],
        "item_click_rate": totals.rate(item_N2),
        "user_category_exposures": taste_N2[:, 0],
        "user_category_click_rate": totals.rate(taste_N2),
    }


def ids(prefix: str, numbers: NDArray[np.int64]) -> pa.Array:
    known, codes = np.unique(numbers, return_inverse=True)
    return pa.array([f"{prefix}{number}" for number in known.tolist()]).take(pa.array(codes))
