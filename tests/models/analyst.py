"""An analyst who asks through JDBC while a build runs: two clients of one lake must not disturb each other."""

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from lakehouse import server
from lakehouse.home import Home
from lakehouse.jars import SPARK_HOME

# Between the questions, so that the build gets most of the machine.
PAUSE_S = 5


@dataclass
class Answers:
    """What an analyst was told: the counts, and what went wrong."""

    counts: list[int]
    errors: str


@contextmanager
def asked_through_jdbc(home: Home) -> Iterator[Answers]:
    """An analyst who counts the training examples over and over in one session of beeline, until the block ends."""
    running = server.ensure(home, jdbc=True)
    assert running.jdbc_url is not None
    options = ["--silent=true", "--showHeader=false", "--outputformat=csv2"]
    beeline = subprocess.Popen(
        [str(SPARK_HOME / "bin" / "beeline"), "-u", running.jdbc_url, "-n", "analyst", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    answers = Answers([], "")
    done = threading.Event()

    def ask() -> None:
        assert beeline.stdin is not None
        while not done.wait(PAUSE_S):
            beeline.stdin.write("select count(*) from marts.training_examples;\n")
            beeline.stdin.flush()

    with ThreadPoolExecutor() as pool:
        analyst = pool.submit(ask)
        try:
            yield answers
        finally:
            done.set()
            analyst.result()
            said, errors = beeline.communicate(timeout=300)
    answers.counts = [int(line) for line in said.splitlines() if line.strip().isdigit()]
    answers.errors = errors if beeline.returncode or "Error" in errors else ""
