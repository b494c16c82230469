"""Two clients at once: dbt builds through Spark Connect while an analyst asks again and again through JDBC."""

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import run_dbt

from lakehouse import server
from lakehouse.home import Home
from lakehouse.jars import SPARK_HOME

pytestmark = pytest.mark.lake


def ask_until(done: threading.Event, *, url: str, script: Path) -> list["subprocess.CompletedProcess[str]"]:
    """Run `script` through beeline over and over until `done`; every answer with its exit code."""
    answers = []
    while not done.is_set():
        command = [str(SPARK_HOME / "bin" / "beeline"), "-u", url, "-n", "analyst", "--silent=true", "-f", str(script)]
        answers.append(subprocess.run(command, capture_output=True, text=True, timeout=300))
    return answers


@pytest.mark.parametrize(("target", "models"), [("prod", "+training_examples"), ("dev", "training_examples")])
def test_a_build_and_an_analyst_s_queries_do_not_disturb_each_other(
    built: Home, target: str, models: str, tmp_path: Path
) -> None:
    running = server.ensure(built, jdbc=True)
    assert running.jdbc_url is not None
    script = tmp_path / "questions.sql"
    script.write_text("select count(*) from marts.training_examples;\n" * 20)
    done = threading.Event()
    with ThreadPoolExecutor() as pool:
        analyst = pool.submit(ask_until, done, url=running.jdbc_url, script=script)
        try:
            environment = server.environment(built) | {"STILLHOUSE_USER": "beside"}
            run_dbt("build", "--target", target, "--select", models, environment=environment)
        finally:
            done.set()
        answers = analyst.result()
    assert answers
    failed = [answer.stderr for answer in answers if answer.returncode != 0 or "Error" in answer.stderr]
    assert failed == []
