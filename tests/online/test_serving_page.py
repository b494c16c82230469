"""The client of docs/serving.md, run as it stands against both services."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from small_service import publish_states, release
from starlette.types import ASGIApp

from lakehouse.home import PROJECT, Home
from online.collector.app import application as collector
from online.feature_log import FeatureLog
from online.server.app import application as server
from online.settings import Settings

PAGE = (PROJECT / "docs" / "serving.md").read_text()


@contextmanager
def listening(app: ASGIApp) -> Iterator[int]:
    """The port of an application that runs in a thread."""
    running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        while not running.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield int(running.servers[0].sockets[0].getsockname()[1])
    finally:
        running.should_exit = True
        thread.join()


def test_the_page_s_client_is_answered_by_both_services(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, settings = Home(tmp_path), Settings.load()
    publish_states(home)
    release(home, seed=1)
    log = FeatureLog(home.online / "features")
    ranks = server(home, settings, log=lambda rankings: log.write(one.logged() for one in rankings), token=None)
    collects = collector(home, settings, log=log, token=None)
    (client,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert sum(line != "" for line in client.splitlines()) <= 10
    with listening(ranks) as rank_port, listening(collects) as events_port:
        exec(client.replace(":8080", f":{rank_port}").replace(":8081", f":{events_port}"), {})
    said = capsys.readouterr().out
    assert "'click': 0." in said
    assert "{'accepted': 2, 'duplicate': 0, 'quarantined': 0, 'refused': 0}" in said
    assert len(list((home.landing / "engagements").glob("collector-*.jsonl"))) == 1
