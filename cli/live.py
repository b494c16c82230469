"""`stillhouse live`: the whole loop with simulated users, two bad releases among the good ones."""

import json
import os
import shutil
from pathlib import Path

import click


@click.command()
@click.option(
    "--build", type=click.Path(path_type=Path), default=Path("build"), help="Where live.json and live.html go."
)
def live(build: Path) -> None:
    """Serve simulated users for four weeks with the real services, and let every week's release come and go by itself.

    It begins afresh in a home of its own, live-home in the build folder, and leaves that as it is for you to look at.
    """
    from cli.waiting import Waiting
    from lakehouse import server
    from lakehouse.home import Home

    home = Home((build / "live-home").resolve())
    server.stop(home)
    shutil.rmtree(home.root, ignore_errors=True)
    home.root.mkdir(parents=True)
    os.environ["STILLHOUSE_HOME"] = str(home.root)
    from orchestration.live.drill import Drill
    from orchestration.live.page import page, tables

    with Waiting() as waiting:
        report = Drill(home, say=waiting.say).run()
    (build / "live.json").write_text(json.dumps(report, indent=2) + "\n")
    (build / "live.html").write_text(page(report))
    tables(report)
    click.echo(f"Written: {build / 'live.json'}, {build / 'live.html'}")
    click.echo(f"\nNow look at it, with STILLHOUSE_HOME={home.root}:")
    click.echo("  make ui                                          every run, every picture")
    click.echo("  .venv/bin/stillhouse history                     what became of every release")
    click.echo("  .venv/bin/stillhouse rollout decisions --again   every decision on the last canary, taken once more")
    click.echo("  .venv/bin/stillhouse sql \"select * from ops.rollout_decisions where action <> 'hold'\"")
