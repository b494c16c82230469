"""100,000 hostile bodies for both services: none crashes them, none is answered with 5xx (25 minutes).

A tenth is made by schemathesis from the services' own OpenAPI, right ones and wrong ones; a tenth by hypothesis, JSON
of any shape with numbers and texts that parsers stumble over; the others are these, and real requests and events, cut,
flipped, doubled, spliced and wrapped. What the collector lands of them is then ingested: every line must end loaded, as
a duplicate, or in quarantine with its reason. The baseline is what the plainest service does, which parses JSON and
takes the keys that it needs: how many bodies raise there.
"""

import argparse
import asyncio
import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from starlette.types import ASGIApp, Message, Scope

from benchmarks._figures import FOLDER, Figure, report
from lakehouse import server
from lakehouse.home import Home
from lakehouse.ingest import ingest
from lakehouse.session import connect
from online.collector import app as collector
from online.feature_log import FeatureLog
from online.server import app as ranking
from online.settings import Settings
from tests.online import small_service

SHARE_OF_EACH_GENERATOR = 0.1
TEXTS = [
    "",
    " ",
    "\x00",
    "\ud800",
    "ａ",
    "../../etc/passwd",
    "a" * 300,
    "\u202e",
    "👩‍👩‍👧",
    "null",
    "1e999",
    "'; drop table",
]
NUMBERS = [0, -1, 2**31, 2**63, -(2**63) - 1, 10**400, 1e308, 5e-324, float("nan"), float("inf"), -0.0, 0.1]
TIMES = ["2026-03-02T00:00:00Z", "2026-03-02", "9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00+14:00", "now"]
TOKENS = [
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"[" * 2_000,
    b"{" * 500,
    b'"\\ud800"',
    b"1e999999",
    b"NaN",
    b"\r\n",
    b",",
]
# What requests and events call their fields.
WORDS = [
    "request",
    "user",
    "context",
    "surface",
    "at",
    "candidates",
    "item",
    "features",
    "limit",
    "type",
    "event_id",
    "request_id",
    "item_id",
    "action",
    "engaged_at",
    "seen_at",
    "value",
    "position",
    "impression",
    "engagement",
]
# A text or number in JSON, to put another one in its place.
VALUE = re.compile(rb'"[^"]*"|-?[0-9][0-9.e+-]*|null|true|false')
ODD_HEADERS = (
    (b"content-encoding", b"gzip"),
    (b"content-type", b"application/xml; charset=utf-7"),
    (b"content-length", b"99999999999999999999"),
    (b"content-length", b"-1"),
    (b"content-length", b"\xb2"),
    (b"content-length", b"9" * 5_000),
    (b"transfer-encoding", b"chunked, chunked"),
    (b"x" * 5_000, b"\xff" * 5_000),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bodies", type=int, default=100_000, help="of both services together")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    folder = FOLDER / "fuzz"
    shutil.rmtree(folder, ignore_errors=True)
    home = Home((folder / "home").resolve())
    found = asyncio.run(fuzzed(home, bodies=arguments.bodies, number=arguments.seed))
    print(f"answers: {dict(sorted(found.items()))}")
    report("fuzz", [*figures(found), *landed(home)])
    shutil.rmtree(folder)


async def fuzzed(home: Home, *, bodies: int, number: int) -> Counter[str]:
    """Answers by status, "crash" for what escaped an application, and "plain" for what raises in the plainest one."""
    small_service.publish_states(home)
    small_service.release(home, seed=1)
    of_home, log = Settings.load(), FeatureLog(home.online / "features")
    services: tuple[tuple[str, dict[str, Any], ASGIApp, Callable[[Any], object], list[Any]], ...] = (
        (
            "/v1/rank",
            ranking.INTERFACE,
            ranking.application(home, of_home, log=lambda made: log.write(one.logged() for one in made), token=None),
            lambda body: [body["request"], body["user"], body["context"]["surface"], len(body["candidates"])],
            [request(place) for place in range(20)],
        ),
        (
            "/v1/events",
            collector.INTERFACE,
            collector.application(home, of_home, log=log, token=None),
            lambda body: [(event["event_id"], event["request_id"], event["item_id"]) for event in body],
            [events(place) for place in range(20)],
        ),
    )
    found = Counter[str]()
    for path, interface, application, plain, real in services:
        async with running(application):
            for done, body in enumerate(made(path, interface, real, bodies=bodies // len(services), number=number)):
                headers = [ODD_HEADERS[done % len(ODD_HEADERS)]] if done % 50 == 0 else []
                status = await posted(application, path, body, headers)
                found[status] += 1
                found["plain"] += raises(plain, body)
                if status == "crash" or status.startswith("5"):
                    print(f"{path} {status}: {body[:300]!r}", flush=True)
                if done % 5_000 == 0:
                    print(f"{path}: {done:,} bodies, {dict(found)}", flush=True)
    return found


def made(path: str, interface: dict[str, Any], real: list[Any], *, bodies: int, number: int) -> Sequence[bytes]:
    """The bodies for one service, in an order of their own."""
    some, chance = round(bodies * SHARE_OF_EACH_GENERATOR), random.Random(number)
    corpus = [json.dumps(one).encode() for one in real]
    corpus += from_schema(path, interface, some, number=number)
    corpus += from_anything(some, number=number)
    while len(corpus) < bodies:
        corpus.append(mutated(corpus[chance.randrange(min(len(corpus), 4 * some))], corpus, chance))
    chance.shuffle(corpus)
    return corpus[:bodies]


def from_schema(path: str, interface: dict[str, Any], bodies: int, *, number: int) -> list[bytes]:
    operation = schemathesis.openapi.from_dict(interface)[path]["POST"]
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    return [
        as_bytes(case.body)
        for mode in modes
        for case in drawn(operation.as_strategy(generation_mode=mode), bodies // len(modes), number=number)
    ]


def from_anything(bodies: int, *, number: int) -> list[bytes]:
    """JSON of any shape out of words that the services know and values that parsers stumble over."""
    words = st.sampled_from(WORDS)
    odd = st.sampled_from([*TEXTS, *NUMBERS, *TIMES])
    leaves = st.none() | st.booleans() | words | st.text() | st.floats() | st.integers() | odd
    shapes = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(words | st.text(), inner))
    return [as_bytes(one) for one in drawn(shapes | st.lists(shapes), bodies, number=number)]


def drawn(strategy: st.SearchStrategy[Any], count: int, *, number: int) -> list[Any]:
    """Examples of a strategy, the same for the same number."""
    found: list[Any] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=timedelta(minutes=1),
    )
    @given(strategy)
    def collect(one: Any) -> None:
        found.append(one)

    collect()
    return found


def as_bytes(body: Any) -> bytes:
    try:
        return body if isinstance(body, bytes) else json.dumps(body).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError):
        return repr(body).encode("utf-8", "surrogatepass")


def mutated(body: bytes, corpus: Sequence[bytes], chance: random.Random) -> bytes:
    """A body after one to four changes."""
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(body) + 1)
        match chance.randrange(9):
            case 0:
                body = body[:place]
            case 1 if body:
                changed = bytearray(body)
                changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
                body = bytes(changed)
            case 2:
                body = body[:place] + chance.choice(TOKENS) + body[place:]
            case 3:
                other = chance.choice(corpus)
                body = body[:place] + other[chance.randrange(len(other) + 1) :]
            case 4:
                body = body.replace(b'"', chance.choice([b"'", b'\\"', b""]), 1)
            case 5:
                body = b"[" + b",".join([body] * chance.randint(0, 5)) + b"]"
            case 6:
                body = chance.choice([b"\n", b"\r", b"\r\n", b"\x1e"]).join([body] * chance.randint(1, 4))
            case 7:
                values = [json.dumps(one).encode() for one in (*TEXTS, *NUMBERS, *TIMES)]
                known = list(VALUE.finditer(body))
                if known:
                    one = chance.choice(known)
                    body = body[: one.start()] + chance.choice(values) + body[one.end() :]
            case _:
                middle = body[place : place + chance.randrange(200)]
                body = body[:place] + middle * chance.randint(0, 20) + body[place:]
        body = body[: 1 << 20]
    return body


def request(number: int) -> dict[str, Any]:
    return {
        "request": f"r{number}",
        "user": f"u{number}",
        "context": {"surface": "home", "at": small_service.AS_OF.isoformat(), "features": {}},
        "candidates": [{"item": f"i{place}", "features": {"affinity": place / 7}} for place in range(number + 1)],
        "limit": 5,
    }


def events(number: int) -> list[dict[str, Any]]:
    about = {"request_id": f"r{number}", "item_id": f"i{number % 5}"}
    seen = {"type": "impression", "event_id": f"e{number}-1", "seen_at": TIMES[0], "position": 1}
    done = {"type": "engagement", "event_id": f"e{number}-2", "action": "click", "engaged_at": TIMES[0], "value": 1.5}
    return [about | seen, about | done]


class running:
    """An application between its startup and its shutdown."""

    def __init__(self, application: ASGIApp) -> None:
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._application = application

    async def __aenter__(self) -> None:
        scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._task = asyncio.create_task(self._run(scope))
        await self._inbox.put({"type": "lifespan.startup"})
        assert (await self._outbox.get())["type"] == "lifespan.startup.complete"

    async def _run(self, scope: Scope) -> None:
        await self._application(scope, self._inbox.get, self._outbox.put)

    async def __aexit__(self, *_: object) -> None:
        await self._inbox.put({"type": "lifespan.shutdown"})
        await self._outbox.get()
        await self._task


async def posted(application: ASGIApp, path: str, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The status of the answer; "crash" where the application raised."""
    sent: list[Message] = []
    parts = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        return next(parts, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
    }
    call: Awaitable[None] = application(scope, receive, send)
    try:
        await call
    except Exception as error:
        print(f"{path}: {type(error).__name__}: {error}", flush=True)
        return "crash"
    return str(sent[0]["status"]) if sent else "crash"


def raises(plain: Callable[[Any], object], body: bytes) -> bool:
    try:
        plain(json.loads(body))
    except Exception:
        return True
    return False


def figures(found: Counter[str]) -> list[Figure]:
    total = sum(count for status, count in found.items() if status != "plain")
    return [
        Figure(
            figure=f"of {total:,} bodies, those that escaped a service; baseline that raise in the plainest one",
            ours=found["crash"],
            baseline=found["plain"],
            goal="0",
            holds=found["crash"] == 0,
        ),
        Figure(
            figure="answers of 5xx, baseline all answers",
            ours=sum(count for status, count in found.items() if status.startswith("5")),
            baseline=total,
            goal="0",
            holds=not any(status.startswith("5") for status in found),
        ),
    ]


def landed(home: Home) -> list[Figure]:
    """What became of the lines that the collector landed: the ingest, and its quarantine."""
    try:
        loaded = ingest(home)
        spark = connect(home)
        quarantined = spark.sql("select count(*), count_if(coalesce(reason, '') = '') from raw.quarantine").collect()[0]
        reasons = spark.sql("select reason, count(*) from raw.quarantine group by reason order by 2 desc").collect()
    finally:
        server.stop(home)
    print(f"reasons: { ({row[0]: row[1] for row in reasons}) }")
    lines = sum(one.landed for one in loaded.streams)
    known = sum(one.loaded + one.duplicate + one.quarantined for one in loaded.streams)
    return [
        Figure(
            figure="lines landed that are neither loaded, a duplicate nor in quarantine; baseline landed",
            ours=lines - known,
            baseline=lines,
            goal="0",
            holds=lines == known and lines > 0,
        ),
        Figure(
            figure="quarantined rows without a reason, baseline quarantined",
            ours=quarantined[1],
            baseline=quarantined[0],
            goal="0",
            holds=quarantined[1] == 0 and quarantined[0] > 0,
        ),
    ]


if __name__ == "__main__":
    main()
