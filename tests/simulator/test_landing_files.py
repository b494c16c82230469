from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from landed import bytes_of, rows_of

from lakehouse.dataset import Dataset
from lakehouse.home import Home
from simulator import files
from simulator.files import Landing, Period, land_rows

FIRST = date(2024, 1, 1)
DATASET = Dataset(
    name="shop",
    actions=("click",),
    random_slice=False,
    positions=False,
    first_day=FIRST,
    last_day=FIRST + timedelta(days=3),
    calibration_days=1,
    evaluation_days=1,
    source="made up",
)


def events() -> list[dict[str, Any]]:
    return [{"day": FIRST + timedelta(days=number % 4), "event_id": str(number)} for number in range(40)]


def users() -> list[dict[str, Any]]:
    return [{"day": FIRST + timedelta(days=number), "user_id": str(number)} for number in range(4)]


def land(home: Home, period: Period) -> None:
    with Landing(home, DATASET) as landing:
        land_rows(landing, "users", users(), lands=period.holds_state_of)
        land_rows(landing, "exposures", events(), lands=period.holds_event_of)


def test_landing_day_by_day_gives_the_bytes_of_landing_at_once(tmp_path: Path) -> None:
    land(Home(tmp_path / "at_once"), Period())
    for number in range(4):
        day = FIRST + timedelta(days=number)
        land(Home(tmp_path / "by_day"), Period(since=day, until=day + timedelta(days=1)))
    at_once = bytes_of(tmp_path / "at_once" / "landing")
    assert len(at_once) == 4 + 4 + 1
    assert bytes_of(tmp_path / "by_day" / "landing") == at_once


def test_a_period_that_lands_again_touches_no_file(home: Home) -> None:
    land(home, Period())
    before = {path: path.stat().st_mtime_ns for path in home.landing.rglob("*")}
    land(home, Period())
    assert {path: path.stat().st_mtime_ns for path in home.landing.rglob("*")} == before


def test_states_of_earlier_days_land_with_a_later_period(home: Home) -> None:
    land(home, Period(since=FIRST + timedelta(days=2), until=FIRST + timedelta(days=3)))
    assert [row["user_id"] for row in rows_of(home, "users")] == ["0", "1", "2"]
    assert {int(row["event_id"]) % 4 for row in rows_of(home, "exposures")} == {2}


def test_a_long_day_is_split_and_its_first_file_appears_last(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ROWS_PER_FILE", 4)
    written: list[str] = []
    write_whole = Landing.write_whole

    def spy(landing: Landing, path: Path, content: bytes) -> None:
        written.append(path.name)
        write_whole(landing, path, content)

    monkeypatch.setattr(Landing, "write_whole", spy)
    with Landing(home, DATASET) as landing:
        landing.write("exposures", FIRST, ({"event_id": str(number)} for number in range(10)))
    assert written == ["shop-2024-01-01-002.jsonl", "shop-2024-01-01-001.jsonl", "shop-2024-01-01-000.jsonl"]
    assert [row["event_id"] for row in rows_of(home, "exposures")] == [str(number) for number in range(10)]


def test_a_writer_that_dies_leaves_no_part_of_a_file(home: Home) -> None:
    def dies() -> Iterator[dict[str, Any]]:
        yield {"event_id": "1"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Landing(home, DATASET) as landing:
        landing.write("exposures", FIRST, dies())
    assert not (home.landing / "exposures").exists()
    land(home, Period())  # the lock was given back


def test_two_data_sets_are_not_mixed_in_one_landing_zone(home: Home) -> None:
    land(home, Period())
    other = Dataset(**{**vars(DATASET), "name": "other"})
    with pytest.raises(FileExistsError, match="already holds shop, not other"), Landing(home, other):
        pass


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="from must lie before until"):
        Period(since=FIRST, until=FIRST)
