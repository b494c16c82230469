"""Which weeks a demo retrains."""

from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest

from orchestration.demo import NUM_RETRAINS, retrained_weeks
from simulator.sources import SOURCES
from tests.orchestration.small_releases import DATASET


def test_movielens_is_retrained_five_times_at_even_distances_up_to_its_last_week() -> None:
    weeks = [date.fromisoformat(week) for week in retrained_weeks(SOURCES["movielens"].dataset)]
    assert len(weeks) == 5
    assert weeks[-1] == date(1998, 4, 20)
    distances = [(later - earlier).days // 7 for earlier, later in pairwise(weeks)]
    assert max(distances) - min(distances) <= 1


def test_a_short_log_is_retrained_less_often() -> None:
    assert len(retrained_weeks(SOURCES["open-bandit"].dataset)) < NUM_RETRAINS


def test_a_log_too_short_to_judge_anything_is_refused() -> None:
    log = replace(DATASET, first_day=date(2026, 1, 5), last_day=date(2026, 1, 6))
    with pytest.raises(ValueError, match="too short"):
        retrained_weeks(log)
