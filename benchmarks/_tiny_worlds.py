"""Worlds of a few users and items, ten days long, whose rows land in an order of their own."""

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Row = dict[str, Any]
# When, in which stream, and the row.
Happened = tuple[datetime, str, Row]
STREAMS = ("exposures", "engagements", "users", "items")
START = datetime(2026, 1, 1, tzinfo=UTC)
NUM_DAYS, REQUESTS_A_DAY, USERS, ITEMS = 10, 2, 2, 3
# Of the rows that happened since the last landing, the share that stays behind.
SHARES = (0.0, 0.2, 0.2, 0.5, 1.0)


@dataclass
class World:
    """Rows in order of time: those that have not landed yet, those that stayed behind, and all that landed."""

    coming: list[Happened]
    behind: list[Happened] = field(default_factory=list)
    landed: dict[str, list[Row]] = field(default_factory=lambda: {stream: [] for stream in STREAMS})

    def new_rows(self, *, until: datetime, chance: random.Random) -> list[Happened]:
        """What happened since the last landing, but for what stays behind."""
        now = [one for one in self.coming if one[0] < until]
        self.coming = self.coming[len(now) :]
        share = chance.choice(SHARES)
        stays = [chance.random() < share for _ in now]
        self.behind += [one for one, does_stay in zip(now, stays, strict=True) if does_stay]
        return [one for one, does_stay in zip(now, stays, strict=True) if not does_stay]

    def late_rows(self, num: int, *, since: datetime, chance: random.Random) -> list[Happened]:
        """Up to so many of the rows that stayed behind."""
        known = [one for one in self.behind if one[0] >= since]
        late = chance.sample(known, min(chance.randint(0, num), len(known)))
        self.behind = [one for one in self.behind if one not in late]
        return late

    def rows_again(self, num: int, *, since: datetime, chance: random.Random) -> list[Happened]:
        """Up to so many of the events that landed, as they were or with other content."""
        at = {"exposures": "served_at", "engagements": "engaged_at"}
        known = [(row[at[stream]], stream, row) for stream in at for row in self.landed[stream]]
        known = [one for one in known if one[0] >= since]
        again = chance.sample(known, min(chance.randint(0, num), len(known)))
        return [(at, stream, other(row, chance)) for at, stream, row in again]


def make_world(name: str, chance: random.Random) -> World:
    """Ten days of two requests with two items each. Some actions come days after, some carry what an example needs."""
    happened: list[Happened] = []
    for number in range(NUM_DAYS * REQUESTS_A_DAY):
        served_at = START + timedelta(days=number / REQUESTS_A_DAY, minutes=chance.randrange(600))
        user = f"{name}-u{chance.randrange(USERS)}"
        for place, item in enumerate(chance.sample(range(ITEMS), 2), start=1):
            event = {
                "event_id": f"{name}-e{number}-{place}",
                "request_id": f"{name}-r{number}",
                "user_id": user,
                "item_id": f"{name}-i{item}",
            }
            shown = {
                "position": place,
                "surface": "home",
                "served_at": served_at,
                "traffic": "policy",
                "logging_probability": 0.5,
                "features": "{}",
            }
            seen = {"impressed": chance.random() < 0.8, "logging_draw": 0.1, "score": 0.25}
            is_acted, is_kept = chance.random() < 0.5, chance.random() < 0.8
            if is_kept or not is_acted:
                happened.append((served_at, "exposures", event | shown | seen))
            for action in range(chance.choice((1, 1, 2)) if is_acted else 0):
                engaged_at = served_at + timedelta(minutes=chance.choice((0, 5, 90, 1000, 2000)))
                acted = event | {
                    "event_id": f"{name}-a{number}-{place}-{action}",
                    "action": chance.choice(("click", "click", "hide")),
                    "engaged_at": engaged_at,
                }
                happened.append((engaged_at, "engagements", acted if is_kept else acted | shown))
    for item in range(ITEMS):
        times = [
            START,
            *(START + timedelta(days=chance.randrange(NUM_DAYS), minutes=chance.randrange(900)) for _ in "ab"),
        ]
        for version, at in enumerate(times):
            row = {
                "item_id": f"{name}-i{item}",
                "updated_at": at,
                "attributes": json.dumps({"content_type": f"t{version}"}),
            }
            happened.append((at, "items", row))
    return World(coming=sorted(happened, key=lambda one: (one[0], str(one[2]))))


def other(row: Row, chance: random.Random) -> Row:
    """A second delivery: the same, or of an exposure one that says something else."""
    again = {name: value for name, value in row.items() if name not in ("load_id", "source_file", "source_row")}
    if "score" in again and chance.random() < 0.5:
        again |= chance.choice(({"score": 0.5}, {"impressed": not row["impressed"]}))
    return again
