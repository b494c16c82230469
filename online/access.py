"""Who may ask, and how much: the token, the address to bind, and bodies that are measured before they are parsed.

Pure ASGI, shared by the services of this room.
"""

import hmac
import os
import stat
from ipaddress import ip_address
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN_VARIABLE = "STILLHOUSE_ONLINE_TOKEN"
TOKEN_FILE = "token"
LEAST_TOKEN = 16
# Whoever watches needs no token: they learn that a service is there, and figures without a name in them.
OPEN_PATHS = frozenset({"/live", "/ready"})


class Problem(msgspec.Struct, frozen=True):
    """What is wrong, where, and what to do."""

    error: str
    where: str
    what_to_do: str


class TooLargeError(ValueError):
    """A body beyond the limit; nothing of it was parsed."""


def problem(status: int, error: str, *, where: str, what_to_do: str, retry_after_s: int | None = None) -> Response:
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    body = msgspec.json.encode(Problem(error=error, where=where, what_to_do=what_to_do))
    return Response(body, status_code=status, headers=headers, media_type="application/json")


def token_of(folder: Path) -> str | None:
    """The token that clients send, where there is one."""
    return secret_of(TOKEN_VARIABLE, folder / TOKEN_FILE, least=LEAST_TOKEN)


def secret_of(variable: str, path: Path, *, least: int) -> str | None:
    """A secret from the environment, or from a file that nobody but its owner can read; None without.

    Raises ValueError for one of fewer than `least` characters, which can be guessed, and for a file that others read.
    """
    found, where = os.environ.get(variable), variable
    if found is None and path.exists():
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ValueError(f"{path} can be read by others: chmod 600 it")
        found, where = path.read_text().strip(), str(path)
    if found is not None and len(found) < least:
        raise ValueError(f"{where} holds {len(found)} characters; it takes {least} that nobody guesses")
    return found


def check_host(host: str, *, token: str | None) -> None:
    """Raises ValueError for any address but loopback where there is no token."""
    if token is None and not _is_loopback(host):
        raise ValueError(
            f"host is {host!r}, which others can reach: set {TOKEN_VARIABLE}, or put a token into the 0600 file "
            f"online/{TOKEN_FILE} of the home. Without one only 127.0.0.1, ::1 and localhost are bound"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def read_body(request: Request, *, limit: int) -> bytes:
    """The body, at most `limit` bytes. Raises TooLargeError as soon as it is clear that there are more."""
    too_large = TooLargeError(f"the body has more than {limit:,} bytes, which is all that is read")
    said = request.headers.get("content-length", "")
    # Python takes other digits than ASCII's for digits, and refuses to read thousands of them.
    if said.isascii() and said.isdigit() and int(said[:19]) > limit:
        raise too_large
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > limit:
            raise too_large
        parts.append(part)
    return b"".join(parts)


class TokenRequired:
    """Lets through who sends `Authorization: Bearer <token>`; compared in a time that says nothing of the token."""

    def __init__(self, app: ASGIApp, *, token: str | None) -> None:
        self._app, self._expected = app, None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._expected is not None and scope["path"] not in OPEN_PATHS:
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                refusal = problem(
                    401,
                    "the token is missing or wrong",
                    where="header Authorization",
                    what_to_do="send `Authorization: Bearer <token>` with the token of this service",
                )
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)
