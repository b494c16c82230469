"""`stillhouse snapshot | serve`: the online half."""

import logging

import click

from lakehouse.home import home


@click.command()
def snapshot() -> None:
    """Write what is known of every user and item as a snapshot that ranking servers take at once.

    Each retrain writes one; between retrains run it after `dbt build --target prod`. Needs no lake.
    """
    from lakehouse.snapshot import publish

    click.echo(f"Servers rank from now on with {publish(home())}")


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to bind; others than this machine's own need a token.",
)
@click.option("--port", default=8080, show_default=True, help="The port to bind.")
def serve(host: str, port: int) -> None:
    """Answer POST /v1/rank with the release in production, and go over to the next one when it is promoted.

    /ready says with what, /metrics how it does, /openapi.json how to ask; docs/serving.md has a client in ten lines.
    The token is taken from STILLHOUSE_ONLINE_TOKEN, or from the file online/token of the home. The process writes the
    feature log, online/features, and nothing else.
    """
    import uvicorn

    from online.access import check_host, token_of
    from online.feature_log import FeatureLog
    from online.server.app import application
    from online.settings import Settings

    settings = Settings.load()
    token = token_of(home().online)
    check_host(host, token=token)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    log = FeatureLog(home().online / "features")
    app = application(home(), settings, log=lambda rankings: log.write(one.logged() for one in rankings), token=token)
    click.echo(f"http://{host}:{port}/v1/rank; /ready, /metrics, /openapi.json beside it. Ctrl-C ends it.", err=True)
    uvicorn.run(app, host=host, port=port, access_log=False, log_level="warning", server_header=False)
