"""What every service tells of itself: that it lives, its figures, and how to ask it."""

from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def about(figures: CollectorRegistry, *, interface: dict[str, Any]) -> list[Route]:
    """`/live`, `/metrics` and `/openapi.json`."""
    described = msgspec.json.encode(interface)

    async def live(_: Request) -> Response:
        return Response(b'{"live": true}', media_type="application/json")

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(figures), media_type=CONTENT_TYPE_LATEST)

    async def openapi(_: Request) -> Response:
        return Response(described, media_type="application/json")

    return [Route("/live", live), Route("/metrics", metrics), Route("/openapi.json", openapi)]
