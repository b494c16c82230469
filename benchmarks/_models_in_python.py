"""What the models must hold, by going through all landed rows: no days, no increments, no Spark."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any

Row = dict[str, Any]
WINDOW = timedelta(hours=24)
TRAILING_DAYS = 7


def exposures_deduplicated(exposures: list[Row], engagements: list[Row]) -> list[Row]:
    """Of several deliveries the one that was seen, then the first; and what an action carries where none landed."""
    landed = _first(exposures, key="event_id", order=lambda row: (not row["impressed"], *_delivery(row)))
    keys = {(row["request_id"], row["item_id"]) for row in landed}
    carried = defaultdict(list)
    for row in engagements:
        key = row["request_id"], row["item_id"]
        served_at = row.get("served_at")
        if served_at is not None and served_at <= row["engaged_at"] < served_at + WINDOW and key not in keys:
            carried[key].append(row)
    unlogged = []
    for (request, item), rows in carried.items():
        first = min(rows, key=lambda row: (row["engaged_at"], row["event_id"], *_delivery(row)))
        made = {"event_id": f"{request}/{item}", "impressed": True, "logging_draw": first["logging_probability"]}
        unlogged.append(first | made)
    return [row | {"day": row["served_at"].date()} for row in (*landed, *unlogged)]


def engagements_deduplicated(engagements: list[Row]) -> list[Row]:
    """The first delivery of each; the same action within a window of the one before is the same action."""
    by_key = defaultdict(list)
    for row in _first(engagements, key="event_id", order=_delivery):
        by_key[row["request_id"], row["item_id"], row["action"]].append(row)
    kept = []
    for rows in by_key.values():
        rows.sort(key=lambda row: (row["engaged_at"], row["event_id"]))
        for before, row in zip([None, *rows], rows, strict=False):
            if before is None or row["engaged_at"] >= before["engaged_at"] + WINDOW:
                kept.append(row | {"day": row["engaged_at"].date()})
    return kept


def exposures_labelled(exposures: list[Row], engagements: list[Row]) -> list[Row]:
    """Exposures whose window has closed, by the newest exposure, with what was done within it."""
    watermark = max((row["served_at"] for row in exposures), default=None)
    labelled = []
    for row in exposures:
        if watermark is not None and row["served_at"] + WINDOW <= watermark:
            actions = {
                one["action"]
                for one in engagements
                if (one["request_id"], one["item_id"]) == (row["request_id"], row["item_id"])
                and row["served_at"] <= one["engaged_at"] < row["served_at"] + WINDOW
            }
            labels = {"acted": int(bool(actions)), "clicked": int("click" in actions), "hidden": int("hide" in actions)}
            labelled.append(row | labels)
    return labelled


def items_by_day(exposures: list[Row], engagements: list[Row]) -> list[Row]:
    """What was seen and clicked of each item on each day that it occurs on."""
    days: dict[tuple[date, str], Row] = {}
    for row, at, seen, clicked in _events(exposures, engagements):
        empty: Row = {"day": at.date(), "item_id": row["item_id"], "exposures": 0, "clicks": 0, "times": []}
        day = days.setdefault((at.date(), row["item_id"]), empty)
        day["exposures"] += seen
        day["clicks"] += clicked
        day["times"] += [at] * (seen + clicked)
    for day in days.values():
        times = day.pop("times")
        day |= {"first_seen_at": min(times, default=None), "last_seen_at": max(times, default=None)}
    return list(days.values())


def item_totals(by_day: list[Row], *, through: date | None) -> list[Row]:
    """Sums of all days up to one; nothing where there is none."""
    sums: dict[str, Row] = {}
    for row in by_day:
        if through is not None and row["day"] <= through:
            total = sums.setdefault(row["item_id"], {"item_id": row["item_id"], "exposures": 0, "clicks": 0})
            total["exposures"] += row["exposures"]
            total["clicks"] += row["clicks"]
    return list(sums.values())


def click_rate_before_day(by_day: list[Row]) -> list[Row]:
    """Exposures and clicks of all days before."""
    return [
        {
            "day": day,
            "exposures": sum(row["exposures"] for row in by_day if row["day"] < day),
            "clicks": sum(row["clicks"] for row in by_day if row["day"] < day),
        }
        for day in {row["day"] for row in by_day}
    ]


def exposures_joined_to_items(exposures: list[Row], engagements: list[Row], items: list[Row]) -> list[Row]:
    """Each exposure with what was known of its item strictly before it."""
    happened = list(_events(exposures, engagements))
    joined = []
    for row in exposures:
        at = row["served_at"]
        before = [one for one in happened if one[0]["item_id"] == row["item_id"] and one[1] < at]
        since = row["day"] - timedelta(days=TRAILING_DAYS)
        lately = [one for one in before if one[1].date() >= since]
        states = [one for one in items if one["item_id"] == row["item_id"] and one["updated_at"] < at]
        state = max(states, key=lambda one: (one["updated_at"], *_delivery(one)), default=None)
        joined.append(
            {
                "event_id": row["event_id"],
                "day": row["day"],
                "item_exposures": sum(seen for _, _, seen, _ in before),
                "item_clicks": sum(clicked for *_, clicked in before),
                "item_trailing_exposures": sum(seen for _, _, seen, _ in lately),
                "item_trailing_clicks": sum(clicked for *_, clicked in lately),
                "content_type": state["content_type"] if state else "unknown",
            }
        )
    return joined


def _events(exposures: list[Row], engagements: list[Row]) -> Iterable[tuple[Row, datetime, int, int]]:
    """Row, time, whether something was seen, whether it was clicked."""
    yield from ((row, row["served_at"], int(row["impressed"]), 0) for row in exposures)
    yield from ((row, row["engaged_at"], 0, 1) for row in engagements if row["action"] == "click")


def _first(rows: list[Row], *, key: str, order: Callable[[Row], Any]) -> list[Row]:
    best: dict[str, Row] = {}
    for row in sorted(rows, key=order):
        best.setdefault(row[key], row)
    return list(best.values())


def _delivery(row: Row) -> tuple[int, str, int]:
    return row["load_id"], row["source_file"], row["source_row"]
