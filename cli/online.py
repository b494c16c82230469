"""`stillhouse snapshot | serve | collect`: the online half."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lakehouse.home import home

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from online.feature_log import FeatureLog
    from online.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


@click.command()
def snapshot() -> None:
    """Write what is known of every user and item as a snapshot that ranking servers take at once.

    Each retrain writes one; between retrains run it after `dbt build --target prod`. Needs no lake.
    """
    from lakehouse.snapshot import publish

    click.echo(f"Servers rank from now on with {publish(home())}")


def bound(port: int) -> Callable[[Command], Command]:
    """The options of a service: where it listens."""

    def with_options(command: Command) -> Command:
        at_port = click.option("--port", default=port, show_default=True, help="The port to bind.")
        host = click.option(
            "--host",
            default="127.0.0.1",
            show_default=True,
            help="The address to bind; any but this machine's own loopback needs a token.",
        )
        return host(at_port(command))

    return with_options


@click.command()
@bound(8080)
@click.option("--name", default="0", show_default=True, help="Tells several servers of one home apart.")
def serve(host: str, port: int, name: str) -> None:
    """Answer POST /v1/rank with the release in production, and go over to the next one when it is promoted.

    /ready says with what, /metrics how it does, /openapi.json how to ask; docs/serving.md has a client in ten lines.
    The token is taken from STILLHOUSE_ONLINE_TOKEN, or from the file online/token of the home. The process writes the
    feature log, online/features, the landing files of requests, and nothing else.
    """
    from online.request_log import RequestLog
    from online.server.app import application

    log = feature_log()
    run(
        lambda token: application(
            home(),
            settings(),
            log=lambda rankings: log.write(one.logged() for one in rankings),
            requests=RequestLog(home(), name=name),
            token=token,
        ),
        host=host,
        port=port,
        path="/v1/rank",
    )


@click.command()
@bound(8081)
@click.option("--name", default="0", show_default=True, help="Tells several collectors of one home apart.")
def collect(host: str, port: int, name: str) -> None:
    """Take POST /v1/events, what was seen and done, and land what training needs of it.

    Everything acted upon is kept, all of the random slice, and of other impressions the share that online.yml names.
    It answers once that is on the disk; within a minute `stillhouse ingest` finds it. The process writes the landing
    files of exposures and engagements, and deletes old hours of the feature log.
    """
    from online.collector.app import application

    run(
        lambda token: application(home(), settings(), log=feature_log(), token=token, name=name),
        host=host,
        port=port,
        path="/v1/events",
    )


def run(application: Callable[[str | None], ASGIApp], *, host: str, port: int, path: str) -> None:
    import uvicorn

    from online.access import check_host, token_of

    token = token_of(home().online)
    check_host(host, token=token)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    click.echo(f"http://{host}:{port}{path}; /ready, /metrics, /openapi.json beside it. Ctrl-C ends it.", err=True)
    uvicorn.run(
        application(token),
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        server_header=False,
        # Balancers keep idle connections for a minute; who closes first makes the other's next request fail.
        timeout_keep_alive=75,
    )


def settings() -> Settings:
    from online.settings import Settings

    return Settings.load()


def feature_log() -> FeatureLog:
    from online.feature_log import FeatureLog

    return FeatureLog(home().online / "features")
