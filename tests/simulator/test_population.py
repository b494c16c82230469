"""The simulated users as a service meets them: what they ask, what they are shown, what they do and report."""

from collections import Counter
from datetime import date, timedelta

import numpy as np
import pytest

from simulator.policy import NOISY_RENOWN
from simulator.population import Asked, Shown
from simulator.simulate import simulate_day
from simulator.world import CANDIDATES, START, SURFACES, World

DAY = START + timedelta(days=2)
SLOTS = {surface.name: surface.slots for surface in SURFACES}


@pytest.fixture(scope="module")
def asked() -> Asked:
    return Asked.of(World.draw(exposures=60_000, weeks=2, seed=5), DAY)


def in_their_order(asked: Asked) -> list[list[str]]:
    """Each request's candidates as they were asked for, as many as are shown."""
    return [[one["item"] for one in message["candidates"][: message["limit"]]] for message in asked.messages()]


def test_a_request_names_who_asks_where_when_and_for_what(asked: Asked) -> None:
    messages = asked.messages()
    assert len({message["request"] for message in messages}) == len(messages) == len(asked)
    for message in messages[:200]:
        assert len({one["item"] for one in message["candidates"]}) == CANDIDATES
        assert message["limit"] == SLOTS[message["context"]["surface"]]
        assert date.fromisoformat(message["context"]["at"][:10]) == DAY
    affinities = [one["features"]["affinity"] for message in messages for one in message["candidates"]]
    # What the product does not know is null: JSON has no NaN.
    assert 0.01 < np.mean([affinity is None for affinity in affinities]) < 0.05


def test_parts_of_a_day_are_the_day(asked: Asked) -> None:
    parts = [asked.part(slice(start, start + 100)) for start in range(0, len(asked), 100)]
    assert [message for part in parts for message in part.messages()] == asked.messages()


def test_clicks_are_as_many_as_the_world_expects(asked: Asked) -> None:
    shown = Shown.of(asked, in_their_order(asked))
    expected_R = shown.expected_R("click")
    assert expected_R.shape == (len(asked),)
    clicks = Counter(event.get("action") for part in range(20) for event in shown.events(part=part))["click"] / 20
    error = np.sqrt(expected_R.sum() / 20)
    assert abs(clicks - expected_R.sum()) < 4 * error


def test_the_order_in_which_items_are_shown_matters_as_it_does_in_the_bulk_log(asked: Asked) -> None:
    best_first = [items[::-1] for items in in_their_order(asked)]
    one, other = (Shown.of(asked, placed).expected_R("click").sum() for placed in (in_their_order(asked), best_first))
    assert one != pytest.approx(other, rel=1e-3)
    # Ranked alike, the same requests lead to the same expected clicks as where the simulator ranks by itself.
    log = simulate_day(asked.world, DAY, NOISY_RENOWN)
    placed = [[f"i{item}" for item in log.item_N[(log.request_N == row) & log.shown_N]] for row in range(50)]
    mine = Shown.of(asked.part(slice(50)), placed)
    of_bulk_N = log.examination_N * log.if_seen_N["click"]
    bulk_R = np.bincount(log.request_N, weights=of_bulk_N)[:50]
    np.testing.assert_allclose(mine.expected_R("click"), bulk_R)


def test_events_name_their_request_and_item_and_come_after_it(asked: Asked) -> None:
    part = asked.part(slice(200))
    shown = Shown.of(part, in_their_order(part))
    events = shown.events(part=0)
    assert len({event["event_id"] for event in events}) == len(events)
    at = {message["request"]: message["context"]["at"] for message in part.messages()}
    impressions = [event for event in events if event["type"] == "impression"]
    assert len(impressions) == len(shown.item_N)
    for event in events:
        assert event.get("engaged_at", event.get("seen_at")) > at[event["request_id"]]
    assert shown.events(part=0) == events
    assert shown.events(part=1) != events
