"""The feature log, also while another process writes, and after one was killed."""

import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from online.feature_log import FeatureLog, LoggedRequest
from tests.written import written

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WRITER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_feature_log import request
from online.feature_log import FeatureLog
log = FeatureLog(Path(sys.argv[1]))
for number in range(1_000_000):
    log.write([request(f"w{number}")])
    print(number, flush=True)
"""


def request(name: str, *, user: str = "u1", score: float = 0.5) -> LoggedRequest:
    return LoggedRequest(
        request_id=name,
        user_id=user,
        surface="home",
        served_at="2026-03-02T12:00:00.000Z",
        traffic="policy",
        release_id="2026-03-02-00000000",
        features_as_of="2026-03-02T00:00:00Z",
        propensity=None,
        item_ids=["a", "b"],
        positions=[1, 2],
        scores=[score, 0.1],
        shared={"user_clicks": 3.0},
        features={"affinity": [0.1, None], "item_categories": [["x"], []]},
    )


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    log = FeatureLog(tmp_path)
    log.write([request("r1"), request("r2")], now=NOON)
    found = log.read(["r1", "r3"])
    assert found == {"r1": request("r1")}
    assert found["r1"].features_of(1) == {"user_clicks": 3.0, "affinity": None, "item_categories": []}


def test_the_latest_answer_to_a_request_counts_also_in_another_hour(tmp_path: Path) -> None:
    log = FeatureLog(tmp_path)
    for hours, score in ((0, 0.1), (1, 0.2), (1, 0.3)):
        log.write([request("r1", score=score)], now=NOON + timedelta(hours=hours))
    assert log.read(["r1"])["r1"].scores[0] == 0.3


def test_old_hours_go_whole(tmp_path: Path) -> None:
    log = FeatureLog(tmp_path)
    for hours in range(5):
        log.write([request(f"r{hours}")], now=NOON + timedelta(hours=hours))
    assert log.expire(hours=2, now=NOON + timedelta(hours=4)) == ["2026-03-02T12", "2026-03-02T13"]
    assert sorted(log.read(f"r{hours}" for hours in range(5))) == ["r2", "r3", "r4"]
    assert not (tmp_path / "2026-03-02T12").exists()


def test_a_user_is_forgotten_and_nobody_else(tmp_path: Path) -> None:
    log = FeatureLog(tmp_path)
    log.write([request("r1"), request("r2", user="u2")], now=NOON)
    log.write([request("r3")], now=NOON + timedelta(hours=1))
    assert log.of_users({"u1"}) == {"r1", "r3"}
    assert log.forget({"u1"}) == {"r1", "r3"}
    assert log.forget({"u1"}) == set()
    assert sorted(log.read(["r1", "r2", "r3"])) == ["r2"]


def test_no_page_remembers_who_was_forgotten(tmp_path: Path) -> None:
    log = FeatureLog(tmp_path)
    log.write([request(f"r{number}", user=f"person-{number % 7}") for number in range(200)], now=NOON)
    assert any("person-3" in text for _, text in written(tmp_path))
    log.forget({"person-3"})
    assert not any("person-3" in text for _, text in written(tmp_path))
    assert log.hours() == ["2026-03-02T12.1"]
    log.write([request("r3", user="person-3")], now=NOON)
    log.forget({"person-3"})
    assert (log.hours(), len(log.read(f"r{number}" for number in range(200)))) == (["2026-03-02T12.2"], 171)
    assert log.expire(hours=1, now=NOON + timedelta(hours=2)) == ["2026-03-02T12.2"]


def test_of_a_forgetting_that_was_killed_the_newest_counts_and_the_next_ends_it(tmp_path: Path) -> None:
    log = FeatureLog(tmp_path / "log")
    log.write([request("r1"), request("r2", user="u2")], now=NOON)
    shutil.copytree(tmp_path / "log" / "2026-03-02T12", tmp_path / "left")
    log.forget({"u1"})
    log.write([request("r3", user="u3")], now=NOON)
    (tmp_path / "left").rename(tmp_path / "log" / "2026-03-02T12")
    log.forget({"u1"})
    assert (log.hours(), sorted(log.read(["r1", "r2", "r3"]))) == (["2026-03-02T12.1"], ["r2", "r3"])


def test_what_is_written_while_somebody_is_forgotten_is_kept(tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    log = FeatureLog(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), here], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        told = [int(next(writer.stdout))]
        for round_ in range(20):
            log.write([request(f"theirs-{round_}", user="u9")])
            assert log.forget({"u9"}) == {f"theirs-{round_}"}
        while told[-1] < 2_000:
            told.append(int(next(writer.stdout)))
        writer.kill()
    assert len(log.read(f"w{number}" for number in range(told[-1] + 1))) == told[-1] + 1


def test_a_long_id_is_as_good_as_a_short_one(tmp_path: Path) -> None:
    log = FeatureLog(tmp_path)
    log.write([request("ü" * 2_000)])
    assert list(log.read(["ü" * 2_000])) == ["ü" * 2_000]


def test_another_process_s_requests_are_seen_and_outlive_its_death(tmp_path: Path) -> None:
    log = FeatureLog(tmp_path)
    here = str(Path(__file__).parent)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), here], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) == 300:
                break
        assert len(log.read(f"w{number}" for number in range(300))) == 300
        writer.send_signal(signal.SIGKILL)
        told = [300, *(int(line) for line in writer.stdout if line.endswith("\n"))]
    assert len(log.read(f"w{number}" for number in range(told[-1] + 1))) == told[-1] + 1
    log.write([request("after")])
    assert list(log.read(["after"])) == ["after"]
