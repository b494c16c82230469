"""Alerts from a real Dagster instance and registry, delivered to a real HTTP server."""

import json
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from decisions.alerts import Cause, Telling
from lakehouse.home import Home
from orchestration import alerts
from orchestration.alerts import NotDelivered, facts, found_now, message, newest_file, tell, webhook
from orchestration.runs import prepare_instance
from registry import Registry
from tests.orchestration.small_releases import DATASET
from tests.registry.conftest import build_release

NOW = datetime(2026, 1, 14, 12, tzinfo=UTC)
OPEN = replace(DATASET, last_day=None)


class Channel:
    """A webhook that answers as it is told to, and keeps what it took."""

    def __init__(self) -> None:
        self.status = 200
        self.taken: list[dict[str, Any]] = []
        channel = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if channel.status == 200:
                    channel.taken.append(content)
                self.send_response(channel.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/services/secret"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def channel() -> Iterator[Channel]:
    opened = Channel()
    yield opened
    opened.server.shutdown()
    opened.server.server_close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = Home(tmp_path)
    monkeypatch.delenv(alerts.WEBHOOK, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(made.dagster))
    prepare_instance(made)
    return made


@pytest.fixture
def instance(home: Home) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as opened:
        yield opened


@dg.asset(partitions_def=dg.WeeklyPartitionsDefinition(start_date="2026-01-05", day_offset=1))
def models() -> None:
    if os.environ.get("FAILS"):
        raise ValueError("no disk is left")


@dg.asset(
    name="evaluation",
    partitions_def=models.partitions_def,
    check_specs=[dg.AssetCheckSpec("gate", asset="evaluation", blocking=True)],
)
def refused() -> Iterator[dg.Output[int] | dg.AssetCheckResult]:
    yield dg.Output(1)
    yield dg.AssetCheckResult(check_name="gate", passed=False)


def run(instance: dg.DagsterInstance, *, asset: dg.AssetsDefinition = models) -> None:
    job = dg.define_asset_job("retrain", selection=[asset])
    resolved = dg.Definitions(assets=[asset], jobs=[job]).resolve_job_def("retrain")
    resolved.execute_in_process(instance=instance, raise_on_error=False, partition_key="2026-01-05")


def judge(home: Home, verdict: str, *criteria: dict[str, Any], value: int = 1) -> str:
    decision = {"verdict": verdict, "reason": "because", "criteria": list(criteria)}
    files, lineage = build_release("2026-01-05", value=value, **{"gate.json": json.dumps(decision).encode()})
    registry = Registry(home.releases)
    saved = registry.save(files, lineage=lineage).id
    registry.record_gate(saved, verdict=verdict, reason="because")
    return saved


def test_a_failed_run_is_told_once_with_its_link_error_and_next_step(
    home: Home, instance: dg.DagsterInstance, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(alerts.WEBHOOK, channel.address)
    monkeypatch.setenv("FAILS", "1")
    run(instance)
    assert tell(home, instance, now=NOW) == ["failed run/retrain/2026-01-05/models"]
    run(instance)
    assert tell(home, instance, now=NOW) == []
    (taken,) = channel.taken
    for words in ("no disk is left", "http://localhost:3000/runs/", "stillhouse retrain --partition 2026-01-05"):
        assert words in taken["text"]
        assert words in taken["blocks"][1]["text"]["text"]


def test_a_cause_that_was_mended_is_told_again_when_it_comes_back(
    home: Home, instance: dg.DagsterInstance, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(alerts.WEBHOOK, channel.address)
    for fails in ("1", "", "1"):
        monkeypatch.setenv("FAILS", fails)
        run(instance)
        tell(home, instance, now=NOW)
    assert len(channel.taken) == 2


def test_what_a_webhook_does_not_take_waits_and_is_delivered_later(
    home: Home, instance: dg.DagsterInstance, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(alerts.WEBHOOK, channel.address)
    channel.status = 503
    judge(home, "block")
    with pytest.raises(NotDelivered, match="503"):
        tell(home, instance, now=NOW)
    channel.status = 200
    assert tell(home, instance, now=NOW + timedelta(seconds=30)) == []
    # Meanwhile the release after it passed: that there was a cause is told all the same.
    judge(home, "pass", value=3)
    assert len(tell(home, instance, now=NOW + timedelta(seconds=61))) == 1
    assert "blocked gate (over by now)" in channel.taken[0]["text"]


def test_a_webhook_that_is_gone_loses_nothing_and_the_message_does_not_hold_its_address(
    home: Home, instance: dg.DagsterInstance, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel.server.server_close()
    monkeypatch.setenv(alerts.WEBHOOK, channel.address)
    judge(home, "needs-a-person")
    with pytest.raises(NotDelivered, match="ConnectionError") as refused:
        tell(home, instance, now=NOW)
    assert "secret" not in str(refused.value)
    assert [one.told for one in alerts.remembered(home.dagster / "alerts.json")] == [False]


def test_without_a_webhook_alerts_are_in_the_log(
    home: Home, instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    release = judge(home, "block")
    with caplog.at_level(logging.WARNING, logger="stillhouse"):
        assert len(tell(home, instance, now=NOW)) == 1
    assert f"alert: blocked gate: {release}: block: because [{release}]; next: stillhouse gate show" in caplog.text


def test_a_run_that_the_gate_ended_is_no_failed_run(home: Home, instance: dg.DagsterInstance) -> None:
    run(instance, asset=refused)
    release = judge(home, "block")
    assert [run.outcome for run in facts(home, instance, now=NOW).runs] == ["refused"]
    assert [cause.id for cause in found_now(home, instance, now=NOW)] == [f"blocked gate/{release}"]


def test_criteria_that_warn_are_a_cause_though_the_gate_passed(home: Home, instance: dg.DagsterInstance) -> None:
    warns = {"name": "drift: age", "status": "warn", "reason": "moved by .2 sd"}
    judge(home, "pass", warns, {"name": "auc", "status": "pass", "reason": "fine"})
    (cause,) = found_now(home, instance, now=NOW)
    assert (cause.kind, "drift: age: moved by .2 sd" in cause.text) == ("data warning", True)


def test_an_open_log_misses_data_and_its_production_grows_stale_and_a_closed_one_does_not(
    home: Home, instance: dg.DagsterInstance
) -> None:
    OPEN.save(home.landing)
    registry = Registry(home.releases)
    release = judge(home, "pass")
    registry.promote(release, expected_version=0, reason="passed")
    later = datetime(2026, 1, 27, 1, tzinfo=UTC)
    kinds = [cause.kind for cause in found_now(home, instance, now=later)]
    assert kinds == ["stale production", "missing data", "missing data"]
    replace(OPEN, last_day=DATASET.first_day + timedelta(days=6)).save(home.landing)
    assert found_now(home, instance, now=later) == []


def test_a_half_written_landing_file_has_not_landed(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / ".draft.jsonl").touch()
    assert newest_file(tmp_path) is None
    whole = tmp_path / "shop" / "a.jsonl"
    whole.touch()
    os.utime(whole, (NOW.timestamp(), NOW.timestamp()))
    assert newest_file(tmp_path) == NOW


def test_that_causes_cannot_be_found_out_is_a_cause_itself(home: Home, instance: dg.DagsterInstance) -> None:
    home.releases.mkdir()
    (home.releases / "pointer.json").write_text("torn")
    (cause,) = found_now(home, instance, now=NOW)
    assert "cannot be found out" in cause.text


def test_the_address_is_taken_from_a_file_that_its_owner_alone_can_read(home: Home, channel: Channel) -> None:
    assert webhook(home) is None
    path = home.root / "alert-webhook"
    path.write_text(f"{channel.address}\n")
    path.chmod(0o640)
    with pytest.raises(ValueError, match=r"mode 0640\); chmod 600"):
        webhook(home)
    path.chmod(0o600)
    assert webhook(home) == channel.address
    path.write_text("secret-without-scheme")
    with pytest.raises(ValueError, match="no address") as refused:
        webhook(home)
    assert "secret" not in str(refused.value)


def test_a_refused_address_leaves_the_alert_waiting(home: Home, instance: dg.DagsterInstance) -> None:
    judge(home, "block")
    (home.root / "alert-webhook").touch(mode=0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        tell(home, instance, now=NOW)
    (waiting,) = alerts.remembered(home.dagster / "alerts.json")
    assert (waiting.told, waiting.failures) == (False, 1)


def test_a_message_is_short_enough_for_slack_and_free_of_its_markup() -> None:
    cause = Cause(id="a", kind="failed run", text="<x> " * 2000, link=None, next_step="look")
    shown = message(Telling(cause=cause, since=NOW))["blocks"][1]["text"]["text"]
    assert "<" not in shown
    assert len(shown) <= 3000
    assert shown.endswith("*Next:* look")
