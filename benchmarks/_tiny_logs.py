"""A small log with what goes wrong in logs, part by part; and, in plain Python, what must become of it."""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lakehouse.home import Home

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS_OF_A_PART = 3
WINDOW = timedelta(hours=24)
USERS, ITEMS = 12, 15
Row = dict[str, Any]


@dataclass
class Part:
    """Landing files by their path below landing/, each a list of lines; and by stream the rows that they hold."""

    files: dict[str, list[bytes]] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=dict)


def make_parts(num: int, *, requests_a_day: int = 40, seed: int = 5) -> list[Part]:
    """Three days a part, three items to a request. Of each part some rows land with the next one, some lines twice, and
    its files hold lines that are no rows."""
    chance = random.Random(seed)
    parts = [Part() for _ in range(num)]
    lines: list[dict[str, list[bytes]]] = [{} for _ in range(num)]

    def put(part: int, stream: str, row: Row) -> None:
        # A few rows come late; every part has files of its own, so that nothing that was loaded is touched.
        lands_in = part + 1 if part + 1 < num and chance.random() < 0.05 else part
        line = json.dumps(row, default=datetime.isoformat).encode()
        lines[lands_in].setdefault(stream, []).append(line)
        if chance.random() < 0.05:
            again = min(num - 1, lands_in + chance.randrange(2))
            lines[again].setdefault(stream, []).append(line)
        parts[lands_in].rows.setdefault(stream, []).append(row)

    for number in range(num * DAYS_OF_A_PART * requests_a_day):
        served_at = START + timedelta(days=number / requests_a_day, minutes=1)
        part = int(number / requests_a_day / DAYS_OF_A_PART)
        is_random = number % 10 == 0
        user_id = f"u{chance.randrange(USERS)}"
        for place, item in enumerate(chance.sample(range(ITEMS), 3), start=1):
            event = {
                "event_id": f"e{number}-{place}",
                "request_id": f"r{number}",
                "user_id": user_id,
                "item_id": f"i{item}",
            }
            draw, probability = chance.random(), 1.0 if is_random else 0.5
            is_acted = chance.random() < 0.3
            if is_acted or draw < probability:
                put(part, "exposures", event | exposed(served_at, place, is_random, draw, probability))
            if is_acted:
                action = chance.choice(("click", "click", "save", "hide"))
                engaged_at = served_at + timedelta(minutes=chance.choice((1, 30, 300)))
                acted = event | {"event_id": f"a{number}-{place}", "action": action, "value": None}
                put(part, "engagements", acted | {"engaged_at": engaged_at})
    for part in range(num):
        since = START + timedelta(days=part * DAYS_OF_A_PART)
        for user in range(USERS):
            put(part, "users", {"user_id": f"u{user}", "updated_at": since, "attributes": {"segment": f"s{part}"}})
        for item in range(ITEMS):
            about: Row = {"content_type": "video", "categories": [f"c{(item + part) % 4}"]}
            put(part, "items", {"item_id": f"i{item}", "updated_at": since, "attributes": about})
        for stream, of_part in lines[part].items():
            bad = [b"not json", b"[]", of_part[0] + b" tail", b'{"event_id": "x"}']
            mixed = of_part + bad
            chance.shuffle(mixed)
            half = len(mixed) // 2
            for name, some in (("a", mixed[:half]), ("b", mixed[half:])):
                parts[part].files[f"{stream}/part-{part}-{name}.jsonl"] = some
    return parts


def exposed(served_at: datetime, place: int, is_random: bool, draw: float, probability: float) -> Row:
    return {
        "position": place,
        "surface": "home" if place == 1 else "mail",
        "served_at": served_at,
        "impressed": True,
        "traffic": "random" if is_random else "policy",
        "release_id": None,
        "propensity": 1 / 3 if is_random else None,
        "logging_probability": probability,
        "logging_draw": draw,
        "score": 0.25,
        "features": {"affinity": 0.5},
        "features_as_of": None,
    }


def write(part: Part, home: Home) -> None:
    """Put the files of a part into landing/; one that is there already is left as it is."""
    for name, lines in part.files.items():
        path = home.landing / name
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}")
        draft.write_bytes(b"".join(line + b"\n" for line in lines))
        draft.rename(path)


def loaded(parts: list[Part], stream: str) -> set[str]:
    """SHA-256 of each line that must stand in raw.<stream>, once however often it landed."""
    lines = {line for name, line in _lines(parts) if name.startswith(stream) and _is_row(line)}
    return {hashlib.sha256(line).hexdigest() for line in lines}


def quarantined(parts: list[Part]) -> Counter[tuple[str, bytes]]:
    """File and content of each line that must stand in raw.quarantine."""
    return Counter((name, line) for name, line in _lines(parts) if not _is_row(line))


def num_lines(parts: list[Part]) -> Counter[str]:
    """Landed lines by stream, duplicates and bad ones included."""
    return Counter(name.partition("/")[0] for name, _ in _lines(parts))


def _lines(parts: list[Part]) -> Iterator[tuple[str, bytes]]:
    for part in parts:
        for name, of_file in part.files.items():
            yield from ((name, line) for line in of_file)


def _is_row(line: bytes) -> bool:
    try:
        row = json.loads(line)
    except ValueError:
        return False
    return isinstance(row, dict) and len(row) > 1


def acted(parts: list[Part]) -> dict[str, int]:
    """Every example that must stand in marts.examples, once, and whether somebody acted on it within its window."""
    exposures = {row["event_id"]: row for part in parts for row in part.rows["exposures"]}
    engaged_at = {
        (row["request_id"], row["item_id"]): row["engaged_at"] for part in parts for row in part.rows["engagements"]
    }
    watermark = max(row["served_at"] for row in exposures.values())
    labels = {}
    for event_id, row in exposures.items():
        if row["served_at"] + WINDOW > watermark:
            continue
        when = engaged_at.get((row["request_id"], row["item_id"]))
        is_acted = when is not None and row["served_at"] <= when < row["served_at"] + WINDOW
        if is_acted or row["logging_draw"] < row["logging_probability"]:
            labels[event_id] = int(is_acted)
    return labels
