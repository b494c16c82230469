"""States, the snapshot of them and the server's features, against going through everything that happened."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import yaml
from tiny_world import World, known_before, recent_items_before, segment_before

from lakehouse.features import feature_spec
from lakehouse.home import PROJECT, Home
from lakehouse.snapshot import publish
from online.server.features import Asked, Columns, FeatureSource
from online.server.snapshot import Snapshot
from ranker import FeatureSpec

pytestmark = pytest.mark.lake
ITEMS = [*(f"i{number}" for number in range(15)), "nobody's"]


@pytest.fixture(scope="module")
def snapshot(built: Home) -> Snapshot:
    return Snapshot.open(publish(built))


@pytest.fixture(scope="module")
def source(snapshot: Snapshot, built: Home) -> FeatureSource:
    manifest = json.loads((built.dbt / "prod" / "manifest.json").read_text())
    return FeatureSource(snapshot, spec=FeatureSpec.from_json(feature_spec(manifest)), brought=["affinity"])


def columns_of(user: str, source: FeatureSource) -> Columns:
    return source.columns(
        Asked(user=user, surface="home", at=source.snapshot.as_of, items=ITEMS, context={}, candidates={})
    )


def test_the_server_knows_at_the_end_of_the_last_day_what_had_happened_by_then(
    source: FeatureSource, world: World
) -> None:
    knobs = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    for user in (*(f"u{number}" for number in range(12)), "nobody"):
        columns = columns_of(user, source)
        for place, item in enumerate(ITEMS):
            exposure: dict[str, Any] = {"user_id": user, "item_id": item, "served_at": source.snapshot.as_of}
            expected = known_before(
                world, exposure, weight=knobs["click_rate_prior_weight"], start_rate=knobs["click_rate_at_start"]
            )
            found = {name: columns.numbers[name] for name in expected}
            found = {name: of[place] if len(of) > 1 else of[0] for name, of in found.items()}
            assert found == pytest.approx(expected, rel=1e-12)
        assert columns.words["user_segment"].names[0] == segment_before(world, exposure)
        expected_items = recent_items_before(world, exposure, num=knobs["recent_clicks"])
        assert list(columns.lists["user_recent_items"].lists[0]) == expected_items


def test_trailing_counts_are_those_of_the_last_seven_days(snapshot: Snapshot, world: World) -> None:
    since = snapshot.as_of - timedelta(days=7)
    rows = snapshot.items.rows(ITEMS)
    seen = Counter(row["item_id"] for row in world.exposures if row["impressed"] and row["served_at"] >= since)
    clicks = Counter(
        row["item_id"] for row in world.engagements if row["action"] == "click" and row["engaged_at"] >= since
    )
    assert snapshot.items.numbers("trailing_exposures", rows).tolist() == [seen[item] for item in ITEMS]
    assert snapshot.items.numbers("trailing_clicks", rows).tolist() == [clicks[item] for item in ITEMS]
    assert (snapshot.items.numbers("exposures", rows) > snapshot.items.numbers("trailing_exposures", rows)).any()


def test_the_same_states_give_the_same_snapshot(built: Home, snapshot: Snapshot) -> None:
    assert publish(built).name == snapshot.name
