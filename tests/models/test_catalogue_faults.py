"""A listing of the catalogue that fails stops a build: the first two faults of `benchmarks/catalog_faults.py`."""

import json
import subprocess
import sys

import pytest

from lakehouse.home import PROJECT, Home

pytestmark = pytest.mark.lake


def test_no_table_is_started_anew_because_dbt_was_not_told_of_it(built: Home) -> None:
    # A process of its own: dbt inside of this one would take over its Spark session.
    command = [sys.executable, "-m", "benchmarks.catalog_faults", "--faults", "2", "--home", str(built.root)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(outcome["stopped"], outcome["changed"]) for outcome in outcomes] == [(True, []), (True, [])]
    assert all("it would be started anew" in outcome["said"] for outcome in outcomes)
