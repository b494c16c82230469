"""The lock of whoever writes the tables; no JVM."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lakehouse.home import Home
from lakehouse.writer import WriterBusy, writing

HOLD = "from lakehouse.home import home\nfrom lakehouse.writer import writing\nwith writing(home(), 'dbt build'):\n"


def test_a_second_writer_is_told_who_writes_and_a_killed_one_leaves_nothing(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD + "    print('held', flush=True)\n    __import__('time').sleep(60)"],
        env={**os.environ, "STILLHOUSE_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with (
        pytest.raises(
            WriterBusy, match=rf"^dbt build writes the lake since .* UTC \(pid {holder.pid}\): stillhouse va"
        ),
        writing(Home(tmp_path), "stillhouse vacuum"),
    ):
        pass
    holder.kill()
    holder.wait()
    with writing(Home(tmp_path), "stillhouse vacuum"):
        pass


def test_a_writer_may_wait_for_the_one_before(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD + "    print('held', flush=True)\n    __import__('time').sleep(0.5)"],
        env={**os.environ, "STILLHOUSE_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    start = time.monotonic()
    with writing(Home(tmp_path), "backfill", wait_s=30):
        assert time.monotonic() - start < 20
        assert (tmp_path / "lake" / "writer.json").exists()
    assert not (tmp_path / "lake" / "writer.json").exists()
    holder.wait()


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the build failed"), writing(Home(tmp_path), "dbt build"):
        raise RuntimeError("the build failed")
    with writing(Home(tmp_path), "dbt build"):
        pass


def test_waiting_for_ever_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wait_s is -1; it must be 0"), writing(Home(tmp_path), "x", wait_s=-1):
        pass
