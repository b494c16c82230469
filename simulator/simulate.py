"""Days of the simulated world as landing files, with the true probabilities beside them.

Shapes: R requests, K candidates of a request, N landed rows.
"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lakehouse.dataset import ACTIONS, Dataset
from lakehouse.home import Home
from simulator.behaviour import Situation, act, if_seen
from simulator.chance import draw, generator
from simulator.files import ALL_DAYS, Landing, Period
from simulator.policy import NOISY_RENOWN, Policy, rank
from simulator.states import item_states, user_states
from simulator.traffic import Requests, requests_of
from simulator.world import CANDIDATES, CATEGORIES, START, SURFACES, World, examination

NAME = "simulated"


def simulate(
    home: Home,
    *,
    exposures: int,
    weeks: int,
    seed: int,
    period: Period = ALL_DAYS,
    policy: Policy = NOISY_RENOWN,
    progress: Callable[[str], None] = lambda line: None,
) -> Dataset:
    """Land the days of a period of a world with about `exposures` rows over `weeks` weeks from `START` on.

    The same arguments give the same bytes, whether the days land together or one by one; days that stand already are
    left alone. `policy` ranks what is not random; to let each week's release rank the next, land week by week.
    Truth goes to truth/simulated-<day>.parquet, see `truth_table`.

    Raises ValueError for impossible arguments, FileExistsError if another data set or world has landed here.
    """
    world = World.draw(exposures=exposures, weeks=weeks, seed=seed)
    dataset = simulated_dataset(exposures=exposures, weeks=weeks, seed=seed)
    all_days = [START + timedelta(days=number) for number in range(7 * weeks)]
    days = [day for day in all_days if period.holds_event_of(day)]
    if not days:
        raise ValueError(f"from is {period.since}; the simulated world ends with {dataset.last_day}")
    with Landing(home, dataset) as landing:
        _write_world(landing, home, world)
        for week in range(weeks):
            monday = START + timedelta(weeks=week)
            if period.holds_state_of(monday):
                landing.write("users", monday, user_states(world, week))
                landing.write("items", monday, item_states(world, week))
        for number, day in enumerate(days, start=1):
            truth = home.truth / f"{NAME}-{day}.parquet"
            if not truth.exists():
                log = simulate_day(world, day, policy)
                landing.write("engagements", day, _engagement_rows(log))
                landing.write("exposures", day, _exposure_rows(log))
                landing.write_whole(truth, _parquet(truth_table(log)))
            progress(f"{day}: day {number} of {len(days)} landed")
    return dataset


def simulated_dataset(*, exposures: int, weeks: int, seed: int) -> Dataset:
    return Dataset(
        name=NAME,
        actions=ACTIONS,
        random_slice=True,
        positions=True,
        first_day=START,
        last_day=START + timedelta(days=7 * weeks - 1),
        calibration_days=7,
        evaluation_days=7,
        source=f"synthetic: a simulated world of {exposures} exposures in {weeks} weeks, seed {seed}",
    )


@dataclass(frozen=True, kw_only=True)
class DayLog:
    """What a day's requests led to: one entry per landed row, in the order of requests and of places in them."""

    world: World
    requests: Requests
    release_id: str | None
    request_N: NDArray[np.int64]  # index into requests
    place_N: NDArray[np.int64]  # from 1; shown where it does not exceed the surface's slots
    item_N: NDArray[np.int64]
    shown_N: NDArray[np.bool_]
    affinity_N: NDArray[np.float64]
    score_N: NDArray[np.float64]
    examination_N: NDArray[np.float64]  # 0 where not shown
    if_seen_N: dict[str, NDArray[np.float64]]
    acted_N: dict[str, NDArray[np.bool_]]
    delay_ms_N: dict[str, NDArray[np.int64]]
    request_id_R: list[str]
    event_id_N: list[str]


def simulate_day(world: World, day: date, policy: Policy) -> DayLog:
    """Rank a day's requests and let people act. Of a random request every candidate lands, of others what was shown."""
    requests = requests_of(world, day)
    score_RK = policy.score(world, requests)
    order_RK = rank(world, requests, score_RK)
    place_K = np.arange(1, CANDIDATES + 1)
    shown_RK = place_K <= requests.slots_R[:, None]
    request_N, index_N = np.nonzero(shown_RK | requests.random_R[:, None])
    candidate_N = order_RK[request_N, index_N]
    item_N = requests.item_RK[request_N, candidate_N]
    shown_N = shown_RK[request_N, index_N]
    place_N = place_K[index_N]

    chance, mood_U = moods(world, day)
    situation = Situation(
        week=requests.week,
        weekend=day.weekday() >= 5,
        user_N=requests.user_R[request_N],
        item_N=item_N,
        served_N=requests.served_ms_R[request_N] / 1_000,
        hour_N=requests.hour_R[request_N],
        mood_N=mood_U[requests.user_R[request_N]],
        rivals_N=rivals(world, requests)[request_N, world.items.category_I[item_N]],
    )
    examination_N = shown_N * examination(requests.surface_R[request_N], place_N)
    if_seen_N = if_seen(world, situation)
    request_id_R = [f"s{world.seed}-{day:%y%m%d}-{number:06x}" for number in range(len(requests.number_R))]
    return DayLog(
        world=world,
        requests=requests,
        release_id=policy.release_id,
        request_N=request_N,
        place_N=place_N,
        item_N=item_N,
        shown_N=shown_N,
        affinity_N=requests.affinity_RK[request_N, candidate_N],
        score_N=score_RK[request_N, candidate_N],
        examination_N=examination_N,
        if_seen_N=if_seen_N,
        acted_N=act(if_seen_N, examination_N, chance),
        delay_ms_N=delays(len(item_N), chance),
        request_id_R=request_id_R,
        event_id_N=[
            f"{request_id_R[request]}-{place:02d}"
            for request, place in zip(request_N.tolist(), place_N.tolist(), strict=True)
        ],
    )


def truth_table(log: DayLog) -> pa.Table:
    """One row per landed exposure: the probability of each action at the place where it stood (0 if it was not shown),
    that of being looked at, and for each action the probability if it is looked at.

    P(action at position k of the surface) = k ** −fading · P(action if seen): the truth of any other ranking follows.
    """
    columns: dict[str, Any] = {"event_id": log.event_id_N, "examination": log.examination_N}
    columns |= {action: log.examination_N * log.if_seen_N[action] for action in ACTIONS}
    columns |= {f"{action}_if_seen": log.if_seen_N[action] for action in ACTIONS}
    return pa.table(columns)


def moods(world: World, day: date) -> tuple[np.random.Generator, NDArray[np.float64]]:
    """Of each user on a day; and the chance that goes on from there to what they do."""
    chance = generator(world.seed, "acts", (day - START).days)
    return chance, chance.normal(0, 0.4, len(world.users.age_U))


def rivals(world: World, requests: Requests) -> NDArray[np.int64]:
    """Number of candidates by request and category."""
    num_requests = len(requests.number_R)
    cell_RK = np.arange(num_requests)[:, None] * len(CATEGORIES) + world.items.category_I[requests.item_RK]
    return np.bincount(cell_RK.ravel(), minlength=num_requests * len(CATEGORIES)).reshape(num_requests, -1)


def delays(num_rows: int, chance: np.random.Generator) -> dict[str, NDArray[np.int64]]:
    """From being served to the action; a long click and a save come after the click."""
    click = 1 + chance.exponential(20_000, num_rows)
    return {
        "click": click.astype(np.int64),
        "long_click": (click + 30_000 + chance.exponential(60_000, num_rows)).astype(np.int64),
        "save": (click + 1 + chance.exponential(40_000, num_rows)).astype(np.int64),
        "hide": (1 + chance.exponential(10_000, num_rows)).astype(np.int64),
    }


def _exposure_rows(log: DayLog) -> Iterator[dict[str, Any]]:
    requests = log.requests
    served_R = _iso(requests.served_ms_R)
    user_R = [f"u{user}" for user in requests.user_R.tolist()]
    surface_R = [SURFACES[surface].name for surface in requests.surface_R.tolist()]
    random_R = requests.random_R.tolist()
    # Features are read from the snapshot of the night before.
    as_of = datetime(requests.day.year, requests.day.month, requests.day.day, tzinfo=UTC).isoformat()
    number_N = requests.number_R[log.request_N] * CANDIDATES + log.place_N - 1
    logging_draw_N = draw(number_N, salt="logging", seed=log.world.seed)
    rows = zip(
        log.event_id_N,
        log.request_N.tolist(),
        log.item_N.tolist(),
        log.place_N.tolist(),
        log.shown_N.tolist(),
        log.score_N.round(5).tolist(),
        log.affinity_N.tolist(),
        logging_draw_N.tolist(),
        strict=True,
    )
    for event_id, request, item, place, shown, score, affinity, logging_draw in rows:
        random = random_R[request]
        yield {
            "event_id": event_id,
            "request_id": log.request_id_R[request],
            "user_id": user_R[request],
            "item_id": f"i{item}",
            "position": place if shown else None,
            "surface": surface_R[request],
            "served_at": served_R[request],
            "impressed": shown,
            "traffic": "random" if random else "policy",
            "release_id": log.release_id,
            # Each candidate is equally likely at each place.
            "propensity": 1 / CANDIDATES if random else None,
            "logging_probability": 1.0,
            "logging_draw": logging_draw,
            "score": score,
            "features": {"affinity": affinity},  # JSON knows no NaN: it becomes null
            "features_as_of": as_of,
        }


def _engagement_rows(log: DayLog) -> Iterator[dict[str, Any]]:
    for action in ACTIONS:
        for row in np.flatnonzero(log.acted_N[action]).tolist():
            request = log.request_N[row]
            delay_ms = log.delay_ms_N[action][row]
            yield {
                "event_id": f"{log.event_id_N[row]}-{action}",
                "request_id": log.request_id_R[request],
                "user_id": f"u{log.requests.user_R[request]}",
                "item_id": f"i{log.item_N[row]}",
                "action": action,
                "value": round(float(delay_ms) / 1_000, 3) if action == "long_click" else None,
                "engaged_at": _iso(log.requests.served_ms_R[request] + delay_ms),
            }


def _iso(epoch_ms: NDArray[np.int64]) -> Any:
    """ISO 8601 in UTC to the millisecond: a list for an array, a string for a number."""
    text = np.char.add(np.datetime_as_string(epoch_ms.astype("datetime64[ms]"), unit="ms"), "Z")
    return text.tolist()


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _write_world(landing: Landing, home: Home, world: World) -> None:
    """What a reader of the truth needs beside the rows: the seed and how attention fades on each surface."""
    path = home.truth / "world.json"
    content = {
        "seed": world.seed,
        "weeks": world.weeks,
        "exposures": world.exposures,
        "surfaces": [asdict(s) for s in SURFACES],
    }
    if not path.exists():
        landing.write_whole(path, json.dumps(content, indent=2).encode())
