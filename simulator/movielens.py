"""MovieLens 100k as a log: a rating is an exposure, a rating of 4 or 5 stars a click."""

import csv
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from lakehouse.dataset import Dataset
from lakehouse.home import Home
from simulator.downloads import Wheel, fetch_wheel
from simulator.files import Landing, Period, iso, just_before, land_rows

WHEEL = Wheel("recbole", "1.2.1", "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407")
FOLDER = "recbole/dataset_example/ml-100k"

DATASET = Dataset(
    name="movielens",
    actions=("click",),
    random_slice=False,
    positions=False,
    first_day=date(1997, 9, 20),
    last_day=date(1998, 4, 22),
    calibration_days=14,
    evaluation_days=28,
    source="MovieLens 100k, GroupLens; research use, no redistribution; Harper & Konstan 2015, doi:10.1145/2827872",
)

LIKED_FROM_STARS = 4
# The log knows one moment per rating. An action is known a second after what it answers, never at the same instant.
ANSWER_AFTER = timedelta(seconds=1)


def land_movielens(home: Home, period: Period, *, progress: Callable[[str], None]) -> Dataset:
    """Land the ratings of a period, and the users and movies that were first seen before its end.

    The log says neither what was shown and passed over nor where it stood: every rating has position 1, and the
    contract declares positions and random traffic absent.
    """
    wheel = fetch_wheel(WHEEL, home, progress=progress)
    with Landing(home, DATASET) as landing:
        ratings = list(_ratings(wheel))
        liked = [rating for rating in ratings if rating["stars"] >= LIKED_FROM_STARS]
        land_rows(landing, "users", _users(wheel, ratings), lands=period.holds_state_of)
        land_rows(landing, "items", _items(wheel, ratings), lands=period.holds_state_of)
        land_rows(landing, "engagements", liked, lands=period.holds_event_of, row=_click)
        land_rows(landing, "exposures", ratings, lands=period.holds_event_of, row=_exposure)
    return DATASET


def _ratings(wheel: Path) -> Iterator[dict[str, Any]]:
    """All ratings in time order, those of one second by user and movie."""
    rows = _read(wheel, "inter")
    rows.sort(key=lambda row: (int(row["timestamp"]), int(row["user_id"]), int(row["item_id"])))
    for row in rows:
        served_at = datetime.fromtimestamp(int(row["timestamp"]), UTC)
        yield {
            "day": served_at.date(),
            "served_at": served_at,
            "user_id": row["user_id"],
            "item_id": row["item_id"],
            "stars": float(row["rating"]),
        }


def _ids(rating: Mapping[str, Any], *, suffix: str = "") -> dict[str, Any]:
    request = f"ml-{rating['user_id']}-{rating['item_id']}"
    return {
        "event_id": request + suffix,
        "request_id": request,
        "user_id": rating["user_id"],
        "item_id": rating["item_id"],
    }


def _exposure(rating: Mapping[str, Any]) -> dict[str, Any]:
    return _ids(rating) | {
        "position": 1,
        "surface": "ratings",
        "served_at": iso(rating["served_at"]),
        "impressed": True,
        "traffic": "policy",
        "release_id": None,
        "propensity": None,
        "logging_probability": 1.0,
        "logging_draw": 0.0,
        "score": None,
        "features": {},
        "features_as_of": None,
    }


def _click(rating: Mapping[str, Any]) -> dict[str, Any]:
    return _ids(rating, suffix="-click") | {
        "action": "click",
        "value": rating["stars"],
        "engaged_at": iso(rating["served_at"] + ANSWER_AFTER),
    }


def _users(wheel: Path, ratings: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    first_seen = _first_seen(ratings, "user_id")
    for row in _read(wheel, "user"):
        attributes = {"segment": row["occupation"], "gender": row["gender"], "age": int(row["age"])}
        yield _state("user_id", row["user_id"], first_seen, attributes)


def _items(wheel: Path, ratings: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    first_seen = _first_seen(ratings, "item_id")
    for row in _read(wheel, "item"):
        # Two of the 1,682 movies carry no year.
        year = row["release_year"]
        attributes = {
            "content_type": "movie",
            "categories": row["class"].split(" "),
            "published_at": f"{year}-01-01T00:00:00.000Z" if year.isdigit() else None,
            "title": row["movie_title"],
        }
        yield _state("item_id", row["item_id"], first_seen, attributes)


def _first_seen(ratings: list[dict[str, Any]], key: str) -> dict[str, datetime]:
    first: dict[str, datetime] = {}
    for rating in ratings:
        first.setdefault(rating[key], rating["served_at"])
    return first


def _state(key: str, name: str, first_seen: dict[str, datetime], attributes: dict[str, Any]) -> dict[str, Any]:
    seen = first_seen[name]
    return {"day": seen.date(), key: name, "updated_at": iso(just_before(seen)), "attributes": attributes}


def _read(wheel: Path, extension: str) -> list[dict[str, str]]:
    """The rows of one file of the log; its header reads `name:type`."""
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"{FOLDER}/ml-100k.{extension}").decode()
    lines = csv.reader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    names = [column.split(":")[0] for column in next(lines)]
    return [dict(zip(names, line, strict=True)) for line in lines]
