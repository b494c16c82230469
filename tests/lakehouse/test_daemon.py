"""How a process of ours is ended: when it listens, when it does not, and when its parent never collects it."""

import subprocess
import sys
import time
from datetime import UTC, datetime

import psutil
import pytest

from lakehouse import daemon
from lakehouse.daemon import Daemon


def running(pid: int) -> Daemon:
    return Daemon(pid=pid, started_at=datetime.fromtimestamp(psutil.Process(pid).create_time(), UTC))


def test_a_process_whose_parent_never_collects_it_is_ended_at_once() -> None:
    program = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = running(int(parent.stdout.readline()))
        began = time.monotonic()
        child.end()
        assert time.monotonic() - began < 5
        assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
        assert not child.is_alive()
        parent.kill()


def test_a_process_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "STOP_TIMEOUT_S", 0.5)
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        running(deaf.pid).end()
        assert deaf.wait(timeout=5) < 0
