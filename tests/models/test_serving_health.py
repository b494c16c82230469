"""monitoring.serving_health against the same figures counted one by one."""

from collections import defaultdict
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from tiny_world import Row, World

from lakehouse.home import Home
from lakehouse.versions import pin, read

pytestmark = pytest.mark.lake
WINDOW = timedelta(hours=24)


def test_each_release_has_its_hours_as_they_were_served(built: Home, world: World) -> None:
    by_hour: dict[tuple[Any, Any, Any], list[Row]] = defaultdict(list)
    for row in world.requests:
        by_hour[row["served_at"].date(), row["served_at"].hour, row["release_id"]].append(row)
    acted: dict[str, list[Row]] = defaultdict(list)
    for row in world.engagements:
        acted[row["request_id"]].append(row)

    def is_engaged(row: Row) -> bool:
        delays = [one["engaged_at"] - row["served_at"] for one in acted[row["request_id"]]]
        return any(timedelta(0) <= delay < WINDOW for delay in delays)

    found = {
        (row["day"], row["hour_of_day"], row["release_id"]): row
        for row in read(pin("monitoring.serving_health", home=built)).to_pylist()
    }
    assert found.keys() == by_hour.keys()
    for key, rows in by_hour.items():
        of_hour = found[key]
        engaged = sum(map(is_engaged, rows))
        latencies = [row["latency_ms"] for row in rows]
        assert of_hour["requests"] == len(rows)
        assert of_hour["random_requests"] == sum(row["traffic"] == "random" for row in rows)
        assert of_hour["failed"] == sum(row["failed"] for row in rows)
        assert of_hour["engaged"] == engaged
        assert of_hour["engaged_rate"] == pytest.approx(engaged / len(rows))
        assert of_hour["users"] == len({row["user_id"] for row in rows})
        assert of_hour["latency_ms_p50"] == pytest.approx(np.quantile(latencies, 0.5))
        assert of_hour["latency_ms_p95"] == pytest.approx(np.quantile(latencies, 0.95))
        assert of_hour["memory_bytes"] == max(row["memory_bytes"] for row in rows)
    assert any(row["failed"] for row in found.values())
    assert {row["engaged"] for row in found.values()} > {0, 1}
