"""The cluster's state without a cluster; tests/models/test_on_a_cluster.py builds on a real one."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from lakehouse import cluster, machine
from lakehouse.daemon import Daemon
from lakehouse.errors import LakeError
from lakehouse.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "lake").mkdir()
    return Home(tmp_path)


def sleeper() -> Daemon:
    process = psutil.Process(subprocess.Popen(["sleep", "60"]).pid)
    return Daemon(pid=process.pid, started_at=datetime.fromtimestamp(process.create_time(), UTC))


def test_a_home_without_a_cluster_has_none(home: Home) -> None:
    assert cluster.status(home) is None
    cluster.stop(home)


def test_a_lost_worker_is_counted_and_a_lost_master_is_no_cluster(home: Home) -> None:
    master, worker, lost = sleeper(), sleeper(), sleeper()
    cluster._write_state(home, cluster.Cluster(master=master, workers=(worker, lost), port=1, page_port=2))
    lost.end()
    found = cluster.status(home)
    assert found is not None
    assert found.num_workers() == 1
    master.end()
    assert cluster.status(home) is None
    # What is left of it is ended all the same.
    cluster.stop(home)
    assert not worker.is_alive()


def test_a_machine_that_is_too_small_is_told_before_anything_starts(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "memory_bytes", lambda: 4 * machine.GIB)
    with pytest.raises(LakeError, match=r"of 4.0 GiB on this machine, the lake server and 2 workers need 4.8"):
        cluster.ensure(home)
    assert list(home.lake.iterdir()) == []
