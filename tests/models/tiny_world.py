"""A tiny world whose every feature can be counted by hand: its raw rows, and the plain slow answers."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from decisions.assignment import arm_of, arms
from lakehouse.dataset import Dataset
from registry import Entry
from registry.journal import Event

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = timedelta(hours=24)
CATEGORIES = ("art", "cars", "food")
Row = dict[str, Any]
# What the log's contract would say of it.
TINY = Dataset(
    name="tiny",
    actions=("click", "hide"),
    random_slice=True,
    positions=True,
    first_day=START.date(),
    last_day=None,
    calibration_days=1,
    evaluation_days=1,
    source="",
)


@dataclass(frozen=True)
class World:
    exposures: list[Row]
    engagements: list[Row]
    users: list[Row]
    items: list[Row]
    requests: list[Row] = field(default_factory=list)


def make_world(*, seed: int = 7, num_requests: int = 480) -> World:
    """Six days of 12 users and 15 items, three items to a request; every tenth request in random order, with one
    candidate that was not seen. Attributes change once on the way, often at the very instant of an exposure."""
    chance = random.Random(seed)
    exposures: list[Row] = []
    engagements: list[Row] = []
    requests: list[Row] = []
    for request in range(num_requests):
        served_at = START + timedelta(minutes=10) + timedelta(minutes=18 * request)
        is_random = request % 10 == 0
        user = f"u{chance.randrange(12)}"
        requests.append(ranking(request, user=user, served_at=served_at, is_random=is_random))
        for place, item in enumerate(chance.sample(range(15), 3), start=1):
            seen = not (is_random and place == 3)
            event = {
                "event_id": f"e{request}-{place}",
                "request_id": f"r{request}",
                "user_id": user,
                "item_id": f"i{item}",
            }
            exposures.append(
                event
                | {
                    "position": place if seen else None,
                    "surface": "home" if request % 3 else "mail",
                    "served_at": served_at,
                    "impressed": seen,
                    "traffic": "random" if is_random else "policy",
                    "release_id": requests[-1]["release_id"],
                    "propensity": 1 / 3 if is_random else None,
                    "logging_probability": 1.0,
                    "logging_draw": 0.0,
                    "features": '{"affinity":0.5}',
                }
            )
            if seen and chance.random() < 0.4:
                action = chance.choice(("click", "click", "click", "hide"))
                delay = timedelta(minutes=18) * chance.choice((1, 1, 2, 100))
                engagements.append(
                    event | {"event_id": f"{event['event_id']}-a", "action": action, "engaged_at": served_at + delay}
                )
    users = [
        {"user_id": f"u{user}", "updated_at": at, "attributes": f'{{"segment":"{segment}","age":{20 + user}}}'}
        for user in range(12)
        for at, segment in ((START, "regular"), (exposures[30 * user]["served_at"], "devoted"))
    ]
    items = [
        {
            "item_id": f"i{item}",
            "updated_at": at,
            "attributes": f'{{"content_type":"{kind}","categories":{categories},"published_at":{published_at(item)}}}',
        }
        for item in range(15)
        for at, kind, categories in (
            (START, "video", f'["{CATEGORIES[item % 3]}","{CATEGORIES[item % 2]}"]'),
            (exposures[40 * item]["served_at"], "audio", f'["{CATEGORIES[item % 3]}"]'),
        )
    ]
    return World(exposures, engagements, users, items, requests)


def pointer(version: int, **told: Any) -> Entry:
    """What a journal says of the pointer's way to a version, a day of the tiny world for each."""
    at = (START + timedelta(days=version - 1)).isoformat()
    event: Event = "canary_started" if told.get("canary") else "promoted"
    return Entry(number=version, at=at, event=event, release="", reason="", details={"pointer_version": version} | told)


# On the second day a publish with holdouts, on the third a canary.
FIRST: Row = {"production": "tiny-1"}
PUBLISHED: Row = {
    "production": "tiny-2",
    "holdout": "tiny-1",
    "holdout_share": 0.4,
    "long_holdout": "tiny-1",
    "long_holdout_share": 0.2,
}
POINTERS = (FIRST, PUBLISHED, {**PUBLISHED, "canary": "tiny-3", "canary_share": 0.3})
JOURNAL = tuple(pointer(version, **told) for version, told in enumerate(POINTERS, start=1))


def ranking(request: int, *, user: str, served_at: datetime, is_random: bool) -> Row:
    """How a ranking went, by the arm that the pointer of its day gives the user; the canary fails now and then."""
    version = min((served_at - START).days + 1, len(POINTERS))
    told = POINTERS[version - 1]
    arm = arm_of(user, among=arms(**told))
    failed = arm.name == "canary" and request % 7 == 0
    return {
        "request_id": f"r{request}",
        "user_id": user,
        "surface": "home" if request % 3 else "mail",
        "served_at": served_at,
        "traffic": "random" if is_random else "policy",
        "release_id": told["production"] if failed else arm.release,
        "arm": arm.name,
        "canary_share": told.get("canary_share"),
        "pointer_version": version,
        "failed": failed,
        "latency_ms": 4.0 + request % 7,
        "ranked_ms": 2.0 + request % 5,
        "num_candidates": 3,
        "memory_bytes": 1e9 + request,
    }


def published_at(item: int) -> str:
    """As JSON: up to two weeks before the start; of every fourth item unknown."""
    return "null" if item % 4 == 0 else f'"{(START - timedelta(days=item)).isoformat()}"'


@dataclass(frozen=True)
class LaterLoads:
    """What lands on the tiny world: mostly as it happens, some of it late, some twice, some never."""

    second: World
    too_late: World
    conflicting: set[str]
    unlogged: set[str]


def later_loads(world: World) -> LaterLoads:
    """The three days that follow, with rows of the days before; and three rows of the first day, too late."""
    chance = random.Random(11)
    newest = max(row["served_at"] for row in world.exposures)
    lately = newest - timedelta(days=2)
    after = make_world(num_requests=720)
    asked = after.requests[len(world.requests) :]
    known = {row["event_id"] for row in (*world.exposures, *world.engagements)}
    engagements = [dict(row) for row in after.engagements if row["event_id"] not in known]
    clicked = {(row["request_id"], row["item_id"]): row for row in engagements}
    unlogged: set[str] = set()
    exposures: list[Row] = []
    for number, row in enumerate(row for row in after.exposures if row["event_id"] not in known):
        key = row["request_id"], row["item_id"]
        if row["traffic"] == "policy" and key in clicked and number % 6 == 0:
            # Not kept by the collector, but acted upon: the action carries what makes an example.
            carried = ("served_at", "position", "traffic", "surface", "release_id", "features", "logging_probability")
            clicked[key].update({name: row[name] for name in carried})
            unlogged.add("/".join(key))
        else:
            exposures.append(row)
    again = [row | {"score": 0.5} for row in exposures[::40]]
    again += [row | {"score": 0.5} for row in world.exposures[::40] if row["served_at"] > lately]
    # Delivered again for a later day: of both deliveries one is kept, so the day of the first is built again too.
    reached = newest.date() - timedelta(days=4)
    moved = [row for row in world.exposures if row["served_at"].date() == reached][:3]
    again += [row | {"served_at": row["served_at"] + timedelta(days=3)} for row in moved]

    # Requests of the same days that nobody had told of.
    strangers = make_world(seed=8, num_requests=480)
    untold = [row | {name: f"x{row[name]}" for name in ("event_id", "request_id")} for row in strangers.exposures]
    late = [row for row in untold[::5] if row["served_at"] > lately]
    unanswered = [row for row in world.exposures if row["impressed"] and f"{row['event_id']}-a" not in known]
    engagements += [
        {name: row[name] for name in ("request_id", "user_id", "item_id")}
        | {
            "event_id": f"{row['event_id']}-late",
            "action": "click",
            "engaged_at": row["served_at"] + timedelta(hours=1),
        }
        for row in (*late[::3], *(row for row in unanswered[::25] if row["served_at"] > lately))
    ]
    users = [dict(world.users[0], updated_at=lately, attributes='{"segment":"devoted","age":70}')]
    second = [*exposures, *again, *late]
    chance.shuffle(second)
    conflicting = {row["event_id"] for row in again}
    return LaterLoads(
        World(second, engagements, users, [], asked), World(untold[50:53], [], [], []), conflicting, unlogged
    )


def recent_items_before(world: World, exposure: Row, *, num: int) -> list[str]:
    """The items that the user clicked last before the exposure, the latest first."""
    clicks = [
        row
        for row in world.engagements
        if row["action"] == "click"
        and row["user_id"] == exposure["user_id"]
        and row["engaged_at"] < exposure["served_at"]
    ]
    clicks.sort(key=lambda row: (row["engaged_at"], row["event_id"]), reverse=True)
    return [row["item_id"] for row in clicks[:num]]


def known_before(world: World, exposure: Row, *, weight: float, start_rate: float) -> dict[str, float]:
    """The features of one exposure, each by going through everything that happened and keeping what came before."""
    served_at = exposure["served_at"]
    seen = [row for row in world.exposures if row["impressed"]]
    clicks = [row for row in world.engagements if row["action"] == "click"]
    day = served_at.replace(hour=0, minute=0)
    earlier_exposures = sum(row["served_at"] < day for row in seen)
    earlier_clicks = sum(row["engaged_at"] < day for row in clicks)
    prior = (earlier_clicks + weight * start_rate) / (earlier_exposures + weight)
    features: dict[str, float] = {}
    for entity in ("user", "item"):
        key = f"{entity}_id"
        num_exposures = sum(row[key] == exposure[key] and row["served_at"] < served_at for row in seen)
        num_clicks = sum(row[key] == exposure[key] and row["engaged_at"] < served_at for row in clicks)
        features[f"{entity}_exposures"] = num_exposures
        features[f"{entity}_clicks"] = num_clicks
        features[f"{entity}_click_rate"] = (num_clicks + weight * prior) / (num_exposures + weight)
    return features


def segment_before(world: World, exposure: Row) -> str:
    """The user's segment by the last state from before the exposure; a state of its own instant is not yet known."""
    served_at, user_id = exposure["served_at"], exposure["user_id"]
    known = sum(row["user_id"] == user_id and row["updated_at"] < served_at for row in world.users)
    return ("unknown", "regular", "devoted")[known]


def expected_labels(world: World) -> dict[str, int]:
    """`acted` of every seen exposure whose window has closed."""
    watermark = max(row["served_at"] for row in world.exposures)
    acted_at = {(row["request_id"], row["item_id"]): row["engaged_at"] for row in world.engagements}
    never = datetime.max.replace(tzinfo=UTC)
    return {
        row["event_id"]: int(acted_at.get((row["request_id"], row["item_id"]), never) < row["served_at"] + WINDOW)
        for row in world.exposures
        if row["impressed"] and row["served_at"] + WINDOW <= watermark
    }
