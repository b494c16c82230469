"""The ranking server: `POST /v1/rank`, and what says of it whether it lives, is ready, and how it does.

Nothing is written but the feature log and the landing files of the requests: the process needs no right to write
releases or tables.
"""

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from time import monotonic, perf_counter

import msgspec
import psutil
import torch
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lakehouse.home import Home
from online.about import about
from online.access import TokenRequired, TooLargeError, problem, read_body
from online.openapi import openapi
from online.pseudonyms import Pseudonyms
from online.random_slice import is_random
from online.request_log import RequestLog, RequestRow
from online.server import ranking
from online.server.batching import Batcher, BusyError
from online.server.messages import ENCODER, EXAMPLE, REQUEST, RankAnswer, RankRequest
from online.server.metrics import Metrics
from online.server.ranking import Ranking
from online.server.standing import Named, NotReadyError, Standing, load, named
from online.settings import Settings

logger = logging.getLogger("stillhouse.server")

# Two thousand candidates with a feature each take a fifth of it.
MOST_BYTES = 1 << 20
# Of one batch; more at once gain nothing and make the first wait for the last.
MOST_ROWS = 2_048
# Work that may lie before a request that comes: a person waits for the answer.
MOST_WAIT_S = 0.025
# The first passes through a model take several times as long.
WARM_UPS = 5
# How soon a promotion or a revert is noticed: two small files are read as often.
LOOK_S = 0.2
# How soon what was refused is tried again, though nothing else is named.
TRY_AGAIN_S = 10.0

INTERFACE = openapi(
    title="Stillhouse ranking server",
    path="/v1/rank",
    summary="Rank candidates for a user.",
    asked=RankRequest,
    example=EXAMPLE,
    answered=RankAnswer,
    answer="The candidates in order.",
    refusals={
        "400": "What was sent is no request.",
        "401": "The token is missing or wrong.",
        "413": "The body is too large.",
        "500": "The release in production failed on this request.",
        "503": "Not ready, or busy: Retry-After says when to try again.",
    },
    other_bodies={},
)
Log = Callable[[Sequence[Ranking]], None]


class Server:
    """What the endpoints share: standing, queue and figures.

    `log` keeps the features of what was ranked, before anybody is told; `requests` how each ranking went.
    """

    def __init__(self, home: Home, settings: Settings, *, log: Log, requests: RequestLog | None = None) -> None:
        self.home, self.settings, self.metrics = home, settings, Metrics()
        self.requests = requests
        self._process = psutil.Process()
        self._memory_bytes = self._process.memory_info().rss
        self.standing: Standing | None = None
        self.not_ready = "it is starting"
        self._log = log
        self._pseudonyms = Pseudonyms.of_home(settings.hashed, home.online)
        self.queue: Batcher[RankRequest, tuple[bytes, Ranking, Standing]] = Batcher(
            self._work, most_rows=MOST_ROWS, most_wait_s=MOST_WAIT_S, prepare=_prepare
        )
        self.metrics.waiting.set_function(lambda: self.queue.waiting_rows)
        self._refused: Named | None = None
        self._try_again_at = 0.0

    def _work(self, requests: Sequence[RankRequest]) -> list[tuple[bytes, Ranking, Standing] | Exception]:
        """One batch, in the one thread that ranks: all of it by the standing of this moment."""
        standing = self.standing
        assert standing is not None
        known = [self._pseudonyms.request(one) for one in requests]
        rankings = ranking.rank(known, standing, self.settings, now=datetime.now(UTC))
        self._log([one for one in rankings if isinstance(one, Ranking)])
        return [
            one if isinstance(one, Exception) else (ENCODER.encode(one.answer(said)), one, standing)
            for said, one in zip(requests, rankings, strict=True)
        ]

    def look(self) -> None:
        """Load what the pointer and the snapshot name now, unless it is loaded; on failure what is loaded stays.

        What was refused is not verified again at every look, but now and then: it may be mended in place.
        """
        now_named: Named | None = None
        try:
            now_named = named(self.home)
            if self.standing is not None and self.standing.named == now_named:
                return
            if self._refused == now_named and monotonic() < self._try_again_at:
                return
            standing = load(self.home, self.settings, before=self.standing)
        except NotReadyError as error:
            if str(error) != self.not_ready:
                logger.error("not loaded: %s", error)
                self.metrics.reloads.labels("refused").inc()
            self.not_ready = str(error)
            self._refused, self._try_again_at = now_named, monotonic() + TRY_AGAIN_S
            return
        # What torch keeps ready, it keeps by thread.
        self.queue.beside(lambda: _warm_up(standing, self.settings))
        # What is loaded stays: the collector of garbage need not walk through it during a request.
        gc.collect()
        gc.freeze()
        self.standing, self.not_ready = standing, ""
        self.metrics.reloads.labels("loaded").inc()
        self.metrics.pointer_version.set(standing.pointer.version)
        self.metrics.features_as_of.set(standing.snapshot.as_of.timestamp())
        logger.info("ranks with %s, features as of %s", standing.pointer.production, standing.snapshot.as_of)

    async def keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._memory_bytes = self._process.memory_info().rss
            try:
                await asyncio.to_thread(self.look)
            except Exception:
                logger.exception("looking for a new release failed")

    async def rank(self, request: Request) -> Response:
        started = perf_counter()
        response, asked, ranked = await self._answer(request)
        taken_s = perf_counter() - started
        if ranked is None:
            self.metrics.requests.labels(response.status_code, "", "").inc()
            if asked is not None and response.status_code == 500:
                self._note(self._pseudonyms.request(asked), None, self.standing, taken_s=taken_s)
            return response
        one, standing = ranked
        release = one.served.model.release
        self.metrics.requests.labels(response.status_code, release, one.traffic).inc()
        self.metrics.seconds.labels(release).observe(taken_s)
        self.metrics.candidates.labels(release).inc(one.columns.num_rows)
        self.metrics.scores.labels(release, one.traffic).observe(one.utility_K[one.order_K[0]])
        self._note(one.request, one, standing, taken_s=taken_s)
        return response

    def _note(self, asked: RankRequest, one: Ranking | None, standing: Standing | None, *, taken_s: float) -> None:
        """Into the request log, for better or worse; without a ranking, production itself has failed."""
        assert standing is not None
        arm, pointer = standing.arm_of(asked.user), standing.pointer
        failed = one is None or one.scored.failed
        if failed:
            self.metrics.failures.labels(arm.release).inc()
        if self.requests is None:
            return
        self.requests.add(
            RequestRow(
                request_id=asked.request,
                user_id=asked.user,
                surface=asked.context.surface,
                served_at=ranking.iso(one.asked.at if one else asked.context.at or datetime.now(UTC)),
                traffic="random" if is_random(asked.request, self.settings.random_share) else "policy",
                release_id=(one.served if one else standing.production).model.release,
                arm=arm.name,
                canary_share=pointer.canary_share if pointer.canary else None,
                pointer_version=pointer.version,
                failed=failed,
                latency_ms=round(1_000 * taken_s, 3),
                ranked_ms=round(one.scored.ranked_ms, 3) if one else 0.0,
                num_candidates=len(asked.candidates),
                memory_bytes=self._memory_bytes,
            )
        )

    async def _answer(self, request: Request) -> tuple[Response, RankRequest | None, tuple[Ranking, Standing] | None]:
        """The answer; what was asked, if that could be read; and the ranking, if there was one, with its standing."""
        asked: RankRequest | None = None
        if self.standing is None:
            return _not_ready(self.not_ready), None, None
        try:
            # Before the body is read: a no must cost next to nothing.
            self.queue.check()
            asked = REQUEST.decode(await read_body(request, limit=MOST_BYTES))
            ranking.check(asked, self.settings)
        except BusyError as error:
            return _busy(error), None, None
        except TooLargeError as error:
            return problem(413, str(error), where="body", what_to_do="send fewer candidates"), None, None
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            message, _, where = str(error).partition(" - at ")
            advice = "see /openapi.json for what a request looks like"
            return problem(400, message, where=where.strip("`") or "body", what_to_do=advice), None, None
        try:
            body, ranked, standing = await self.queue.submit(asked, rows=len(asked.candidates))
        except BusyError as error:
            return _busy(error), asked, None
        except Exception as error:
            advice = "send it again; on-call sees it, `stillhouse revert` puts the last good release back"
            return (
                problem(500, f"ranking failed: {type(error).__name__}", where="release", what_to_do=advice),
                asked,
                None,
            )
        return Response(body, media_type="application/json"), asked, (ranked, standing)

    async def ready(self, _: Request) -> Response:
        if self.standing is None:
            return _not_ready(self.not_ready)
        standing = {
            "pointer_version": self.standing.pointer.version,
            "releases": sorted(self.standing.models),
            "features_as_of": self.standing.snapshot.as_of,
            "note": self.not_ready,
        }
        return Response(ENCODER.encode(standing), media_type="application/json")


def application(
    home: Home, settings: Settings, *, log: Log, requests: RequestLog | None = None, token: str | None
) -> TokenRequired:
    """The ASGI application; it loads what it serves as it starts, and again whenever pointer or snapshot change."""
    server = Server(home, settings, log=log, requests=requests)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # While a release is loaded beside, the thread that ranks must not wait long for its turn.
        sys.setswitchinterval(0.0005)
        await asyncio.to_thread(server.look)
        tasks = [asyncio.create_task(server.keep_looking())]
        if requests is not None:
            tasks.append(asyncio.create_task(requests.keep_flushing()))
        yield
        for task in tasks:
            task.cancel()
        server.queue.close()
        if requests is not None:
            await requests.close()

    routes = [
        Route("/v1/rank", server.rank, methods=["POST"]),
        Route("/ready", server.ready),
        *about(server.metrics.registry, interface=INTERFACE),
    ]
    return TokenRequired(Starlette(routes=routes, lifespan=lifespan), token=token)


def _prepare() -> None:
    """Of the thread that ranks: the other cores are those of other servers, and of what takes the requests in."""
    torch.set_num_threads(1)


def _warm_up(standing: Standing, settings: Settings) -> None:
    request = msgspec.convert(EXAMPLE, RankRequest)
    for _ in range(WARM_UPS):
        ranking.rank([request], standing, settings, now=datetime.now(UTC))


def _not_ready(reason: str) -> Response:
    return problem(503, "not ready", where=reason, what_to_do="try again once it is mended", retry_after_s=5)


def _busy(error: BusyError) -> Response:
    return problem(
        503,
        str(error),
        where="queue",
        what_to_do="try again after Retry-After, or run another server",
        retry_after_s=error.retry_after_s,
    )
