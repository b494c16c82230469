"""The Open Bandit samples as a log: two policies on three campaigns of a fashion shop, propensities known."""

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from lakehouse.dataset import Dataset
from lakehouse.home import Home
from simulator.downloads import Wheel, fetch_wheel
from simulator.files import Landing, Period, iso, just_before, land_rows

WHEEL = Wheel("obp", "0.4.1", "87dec9caf4283c25ab13036532e0a24566f1c7bdcad1653a8ded43b2f5ef8208")
FOLDER = "obp/dataset/obd"

DATASET = Dataset(
    name="open-bandit",
    actions=("click",),
    random_slice=True,
    positions=True,
    first_day=date(2019, 11, 24),
    last_day=date(2019, 11, 30),
    # Seven days in two calendar weeks, whose last ends on 2 December: train on 24–25, calibrate on 26–27,
    # evaluate on 28–30 November.
    calibration_days=2,
    evaluation_days=4,
    source="Open Bandit Dataset, 10,000-row samples; ZOZO, CC BY 4.0; Saito et al. 2020, arXiv:2008.07146",
)

TRAFFIC = {"random": "random", "bts": "policy"}
CAMPAIGNS = ("all", "men", "women")
# The log knows no time of the click, only that there was one.
ANSWER_AFTER = timedelta(seconds=1)


def land_open_bandit(home: Home, period: Period, *, progress: Callable[[str], None]) -> Dataset:
    """Land the exposures of a period, and the pseudo-users and items that were first seen before its end.

    A row of the log is one item in one of three places, its request is unknown: each row is a request of its own, and
    only the shown item lands, also on random traffic. Campaigns number their items each for themselves.
    """
    wheel = fetch_wheel(WHEEL, home, progress=progress)
    with Landing(home, DATASET) as landing:
        impressions = sorted(_impressions(wheel), key=lambda impression: (impression["served_at"], impression["id"]))
        clicked = [impression for impression in impressions if impression["clicked"]]
        land_rows(landing, "users", _users(impressions), lands=period.holds_state_of)
        land_rows(landing, "items", _items(wheel), lands=period.holds_state_of)
        land_rows(landing, "engagements", clicked, lands=period.holds_event_of, row=_click)
        land_rows(landing, "exposures", impressions, lands=period.holds_event_of, row=_exposure)
    return DATASET


def pseudo_user(features: tuple[str, ...]) -> str:
    """A stand-in for the user id that the log lacks: equal features, equal user (337 of them in 60,000 rows).

    It is the first 12 hex digits of the sha256 of the features joined by commas.

    >>> pseudo_user(("a", "b", "c", "d"))
    '9a38e561234b'
    """
    return hashlib.sha256(",".join(features).encode()).hexdigest()[:12]


def rows_as_logged(wheel: Path, *, policy: str, campaign: str) -> list[dict[str, str]]:
    """The log of one of TRAFFIC's policies on one of CAMPAIGNS, in its own columns."""
    return _read(wheel, f"{policy}/{campaign}/{campaign}.csv")


def _impressions(wheel: Path) -> Iterator[dict[str, Any]]:
    for policy in TRAFFIC:
        for campaign in CAMPAIGNS:
            for number, row in enumerate(rows_as_logged(wheel, policy=policy, campaign=campaign)):
                served_at = datetime.fromisoformat(row["timestamp"])
                features = tuple(_short(row[f"user_feature_{i}"]) for i in range(4))
                yield {
                    "day": served_at.date(),
                    "served_at": served_at,
                    "id": f"{policy}-{campaign}-{number}",
                    "user_id": pseudo_user(features),
                    "user_features": features,
                    "item_id": f"{campaign}-{row['item_id']}",
                    "campaign": campaign,
                    "policy": policy,
                    "position": int(row["position"]),
                    "propensity": float(row["propensity_score"]),
                    "affinity": float(row[f"user-item_affinity_{row['item_id']}"]),
                    "clicked": row["click"] == "1",
                }


def _ids(impression: Mapping[str, Any], *, suffix: str = "") -> dict[str, Any]:
    return {
        "event_id": impression["id"] + suffix,
        "request_id": impression["id"],
        "user_id": impression["user_id"],
        "item_id": impression["item_id"],
    }


def _exposure(impression: Mapping[str, Any]) -> dict[str, Any]:
    return _ids(impression) | {
        "position": impression["position"],
        "surface": impression["campaign"],
        "served_at": iso(impression["served_at"]),
        "impressed": True,
        "traffic": TRAFFIC[impression["policy"]],
        "release_id": None,
        "propensity": impression["propensity"],
        "logging_probability": 1.0,
        "logging_draw": 0.0,
        "score": None,
        "features": {"affinity": impression["affinity"]},
        "features_as_of": None,
    }


def _click(impression: Mapping[str, Any]) -> dict[str, Any]:
    return _ids(impression, suffix="-click") | {
        "action": "click",
        "value": None,
        "engaged_at": iso(impression["served_at"] + ANSWER_AFTER),
    }


def _users(impressions: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for impression in impressions:
        if impression["user_id"] in seen:
            continue
        seen.add(impression["user_id"])
        segment, *others = impression["user_features"]
        yield {
            "day": impression["day"],
            "user_id": impression["user_id"],
            "updated_at": iso(just_before(impression["served_at"])),
            "attributes": {"segment": segment} | {f"feature_{i}": value for i, value in enumerate(others, start=1)},
        }


def _items(wheel: Path) -> Iterator[dict[str, Any]]:
    """Every item of the three campaigns, known before the log begins.

    The two policies' files hash the same item features with different keys; those of the random policy are used.
    """
    known_at = just_before(datetime.fromisoformat(f"{DATASET.first_day}T00:00:00Z"))
    for campaign in CAMPAIGNS:
        for row in _read(wheel, f"random/{campaign}/item_context.csv"):
            yield {
                "day": DATASET.first_day,
                "item_id": f"{campaign}-{row['item_id']}",
                "updated_at": iso(known_at),
                "attributes": {
                    "content_type": _short(row["item_feature_3"]),
                    "categories": [_short(row["item_feature_1"]), _short(row["item_feature_2"])],
                    "published_at": None,
                    "feature_0": float(row["item_feature_0"]),
                },
            }


def _short(feature: str) -> str:
    """The first 8 of 32 hex digits: no two values of the log share them, and people can read them."""
    return feature[:8]


def _read(wheel: Path, path: str) -> list[dict[str, str]]:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"{FOLDER}/{path}").decode()
    return list(csv.DictReader(io.StringIO(text)))
