"""Models run in any order while rows land late and twice: the first sequences of `benchmarks/any_order.py`."""

import subprocess
import sys

import pytest

from lakehouse.home import PROJECT, Home

pytestmark = pytest.mark.lake


def test_any_order_gives_what_all_rows_give(built: Home) -> None:
    # A process of its own: dbt inside of this one would take over its Spark session.
    command = [sys.executable, "-m", "benchmarks.any_order", "--home", str(built.root)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
