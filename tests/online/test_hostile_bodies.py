"""A few hundred hostile bodies; `make bench NAME=fuzz` sends a hundred thousand."""

import asyncio
from pathlib import Path

from benchmarks.fuzz import fuzzed
from lakehouse.home import Home


def test_no_body_crashes_a_service_or_is_answered_with_5xx(tmp_path: Path) -> None:
    found = asyncio.run(fuzzed(Home(tmp_path), bodies=400, number=2))
    assert found["200"] > 10
    assert found["400"] > 50
    assert set(found) <= {"200", "400", "413", "plain"}
