"""The parts of the drill: services answer its clients, the truth follows the release, the page holds the result."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lakehouse.home import Home
from online.settings import Settings
from orchestration.live.drill import CHANGES, write_settings
from orchestration.live.page import page, tables
from orchestration.live.services import Client, service
from orchestration.live.truth import expected_clicks, standing_of
from registry import Registry
from simulator.population import Asked, Shown
from simulator.world import START, World
from tests.online import small_service

REPORT: dict[str, Any] = {
    "seed": 3,
    "seconds": 900,
    "weeks": [
        {
            "week": "2024-01-22",
            "served": {"2024-01-15-0a1b2c3d": 30_000},
            "events": {"accepted": 190_000, "duplicate": 0},
            "decisions": ["2024-01-15-99999999 was taken back: engaged: 12 % <of> requests"],
            "retrained": "2024-01-22-11111111: pass",
            "seconds": 90.0,
        }
    ],
    "kept_by_week": [{"week": "2024-01-22", "exposures": 60_000, "random_exposures": 9_000}],
    "planted": [
        {"release": "2024-01-15-99999999", "what": "slow", "reverted": True, "why": "slow: 60 % of requests"},
        {"release": "2024-01-29-88888888", "what": "skewed", "reverted": False, "why": None},
    ],
    "promoted": ["2024-01-22-11111111"],
    "experiments": [
        {
            "release": "2024-01-22-11111111",
            "holdout": "2024-01-15-0a1b2c3d",
            "requests": 20_000,
            "holdout_requests": 5_000,
            "holdout_rate": 0.5,
            "lift": 0.031,
            "lower": -0.02,
            "upper": 0.08,
            "true_lift": 0.025,
            "truth_is_inside": True,
            "half_width": 0.05,
        }
    ],
}


def test_the_page_and_the_tables_hold_the_result_and_say_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = page(REPORT)
    for part in ("2024-01-22", "30,000", "taken back: slow: 60 % of requests", "not taken back", "+3.1 %", "+2.5 %"):
        assert part in shown
    assert "12 % &lt;of&gt; requests" in shown
    tables(REPORT)
    printed = capsys.readouterr().out
    for part in ("190,000 accepted", "not taken back", "+3.1% (-2.0% to +8.0%)", "15.0 minutes"):
        assert part in printed


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Two releases of a small service, the second in production and the first held out."""
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))
    home = Home(tmp_path)
    small_service.publish_states(home)
    first, second = (
        small_service.release(home, seed=seed, week=week, promote=False)
        for seed, week in enumerate(("2026-03-02", "2026-03-09"), start=1)
    )
    registry, settings = Registry(home.releases), Settings.load()
    registry.promote(first, expected_version=0, reason="the first")
    registry.promote(second, expected_version=1, reason="better", holdouts=settings.holdouts)
    return home


def test_real_services_answer_the_drill_and_land_what_it_reports(home: Home) -> None:
    write_settings(home)
    assert Settings.load().rollout_shares == tuple(CHANGES["rollout_shares"])  # type: ignore[arg-type]
    asked = Asked.of(World.draw(exposures=20_000, weeks=2, seed=1), START).part(slice(40))
    with service(home, "serve") as (rank_port, _), service(home, "collect") as (event_port, _):
        ranking, collecting = Client(rank_port, "/v1/rank"), Client(event_port, "/v1/events")
        answers = ranking.post_all(asked.messages())
        shown = Shown.of(asked, [[one["item"] for one in answer["ranked"]] for answer in answers])
        events = shown.events(part=0)
        (counts,) = collecting.post_all([events])
        ranking.close()
        collecting.close()
    assert [answer["request"] for answer in answers] == list(asked.names_R)
    assert counts["accepted"] == len(events)
    for stream in ("requests", "exposures"):
        assert any((home.landing / stream).glob("*.jsonl")), stream


def test_the_truth_is_that_of_the_release_that_is_asked_for(home: Home) -> None:
    pointer = Registry(home.releases).pointer()
    standing = standing_of(home, pointer.version)
    asked = Asked.of(World.draw(exposures=20_000, weeks=2, seed=1), START).part(slice(60))
    settings = replace(Settings.load(), random_share=0.5)

    def clicks(release: str | None) -> float:
        return expected_clicks(asked, str(release), standing=standing, settings=settings)

    assert clicks(pointer.production) != clicks(pointer.holdout)
    assert clicks(pointer.production) == clicks(pointer.production)
    # No order leads to more than that by the chances themselves.
    best = Shown.of(asked, [[one["item"] for one in message["candidates"]] for message in asked.messages()])
    assert 0 < clicks(pointer.production) < best.if_seen_N["click"].sum()
