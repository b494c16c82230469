"""The collector: `POST /v1/events`, answered once what is kept of a batch is on the disk."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from time import perf_counter

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lakehouse.home import Home
from online.about import about
from online.access import TokenRequired, TooLargeError, problem, read_body
from online.collector.events import MOST_BATCH_BYTES, BodyError, Event, read
from online.collector.keeping import Keeper, Kept
from online.collector.metrics import Metrics
from online.collector.window import Window
from online.feature_log import FeatureLog
from online.openapi import openapi
from online.pseudonyms import Pseudonyms
from online.segments import BacklogError, Segments
from online.settings import Settings

logger = logging.getLogger("stillhouse.collector")

RETRY_AFTER_S = 2
# How often segments are looked at, and the feature log's hours.
LOOK_S = 5.0
EXAMPLE = [
    {
        "type": "impression",
        "event_id": "e-1",
        "request_id": "r-2026-12-01-000017",
        "item_id": "i7",
        "seen_at": "2026-12-01T09:00:01Z",
    },
    {
        "type": "engagement",
        "event_id": "e-2",
        "request_id": "r-2026-12-01-000017",
        "item_id": "i7",
        "action": "click",
        "engaged_at": "2026-12-01T09:00:04Z",
    },
]


class Counts(msgspec.Struct, frozen=True):
    """What became of a batch; the four add up to what was sent. Accepted: kept, or dropped by its draw. Duplicate: came
    before. Quarantined: kept apart with a reason, see monitoring.quarantine. Refused: too large, and not kept."""

    accepted: int
    duplicate: int
    quarantined: int
    refused: int


INTERFACE = openapi(
    title="Stillhouse event collector",
    path="/v1/events",
    summary="Report what was seen and done.",
    asked=list[Event],
    example=EXAMPLE,
    answered=Counts,
    answer="What is kept is on the disk.",
    refusals={
        "400": "The body is neither a JSON array nor lines of JSON.",
        "401": "The token is missing or wrong.",
        "413": "The body is too large.",
        "503": "The disk is full or too slow; nothing of the batch was kept. Retry-After says when to send it again.",
    },
    other_bodies={"application/x-ndjson": {"type": "string"}},
)


class Collector:
    """What the endpoints share."""

    def __init__(self, home: Home, settings: Settings, *, log: FeatureLog, name: str) -> None:
        self.metrics = Metrics()
        self._log, self._settings = log, settings
        self._pseudonyms = Pseudonyms.of_home(settings.hashed, home.online)
        self._keeper = Keeper(
            log,
            impressions_kept=settings.impressions_kept,
            random_share=settings.random_share,
            window=Window(settings.duplicate_window),
        )
        self._mean_exposure_bytes = 0.0
        self.segments = Segments(home, service="collector", name=name, streams=("exposures", "engagements"))
        if self.segments.landed_left_behind:
            logger.info("landed %d segments that the last collector left", self.segments.landed_left_behind)

    async def events(self, request: Request) -> Response:
        started = perf_counter()
        response = await self._answer(request)
        self.metrics.batches.labels(response.status_code).inc()
        self.metrics.seconds.observe(perf_counter() - started)
        return response

    async def _answer(self, request: Request) -> Response:
        try:
            batch = read(await read_body(request, limit=MOST_BATCH_BYTES))
        except TooLargeError as error:
            return problem(413, str(error), where="body", what_to_do="send the events in several batches")
        except BodyError as error:
            advice = "send a JSON array of events, or one event a line; see /openapi.json"
            return problem(400, str(error), where="body", what_to_do=advice)
        kept = self._keeper.keep(self._pseudonyms.batch(batch))
        try:
            await self.segments.add(kept.lines)
        except BacklogError as error:
            self._keeper.forget(kept)
            advice = "send the same batch again after Retry-After; nothing of it was kept"
            return problem(503, str(error), where="disk", what_to_do=advice, retry_after_s=RETRY_AFTER_S)
        counts = Counts(kept.accepted, kept.duplicate, kept.quarantined, kept.refused)
        self._count(kept, counts)
        return Response(msgspec.json.encode(counts), media_type="application/json")

    def _count(self, kept: Kept, counts: Counts) -> None:
        for outcome, number in msgspec.structs.asdict(counts).items():
            if number:
                self.metrics.events.labels(outcome).inc(number)
        sizes = [sum(map(len, lines)) for lines in kept.lines.values()]
        self.metrics.landed_bytes.inc(sum(sizes))
        self.metrics.dropped.inc(kept.dropped)
        if exposures := kept.lines["exposures"]:
            self._mean_exposure_bytes = sizes[0] / len(exposures)
        self.metrics.saved_bytes.inc(kept.dropped * self._mean_exposure_bytes)

    async def keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.segments.roll()
                gone = await asyncio.to_thread(self._log.expire, hours=self._settings.feature_log_hours)
                if gone:
                    logger.info("the feature log of %s is gone", ", ".join(gone))
            except Exception:
                logger.exception("rolling segments failed")

    async def ready(self, _: Request) -> Response:
        """As soon as it answers: what a killed one left has landed by then."""
        return Response(b'{"live": true}', media_type="application/json")


def application(
    home: Home, settings: Settings, *, log: FeatureLog, token: str | None, name: str = "0"
) -> TokenRequired:
    """The ASGI application. It is ready as soon as it answers: what a killed one left has landed by then."""
    collector = Collector(home, settings, log=log, name=name)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        looking = asyncio.create_task(collector.keep_looking())
        yield
        looking.cancel()
        collector.segments.close()

    routes = [
        Route("/v1/events", collector.events, methods=["POST"]),
        Route("/ready", collector.ready),
        *about(collector.metrics.registry, interface=INTERFACE),
    ]
    return TokenRequired(Starlette(routes=routes, lifespan=lifespan), token=token)
