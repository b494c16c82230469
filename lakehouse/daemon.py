"""Processes that outlive the command that started them: how one is started, known again and ended."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

STOP_TIMEOUT_S = 30
# Two processes agree on when a process began to within the clock's rounding.
SAME_START_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """A process that we started. `started_at` tells it from a later process that was given the same pid."""

    pid: int
    started_at: datetime

    def is_alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at.timestamp()) < SAME_START_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def end(self) -> None:
        """Ask the process to end, and kill it when it does not within half a minute."""
        for signal in (psutil.Process.terminate, psutil.Process.kill):
            if not self.is_alive():
                return
            with suppress(psutil.NoSuchProcess):
                signal(psutil.Process(self.pid))
            # Not psutil's own wait: a process whose parent never collects it would keep that waiting for good.
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while self.is_alive() and time.monotonic() < deadline:
                time.sleep(0.05)


def start(command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> Daemon:
    """Start a Spark process in `folder`, detached from this terminal, with all that it says in `log`.

    Its environment is ours, without what somebody exported for another Spark and with `environment` on top. The log of
    the process before is kept as `<log>.1`.
    """
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    # Streams call back into Python on the server's side.
    ours = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, "TZ": "UTC"}
    # The process holds both ends of its standard input: nothing comes, and it does not end.
    reading, writing = os.pipe()
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env={**inherited, **ours, **environment},
                cwd=folder,
                stdin=reading,
                pass_fds=(writing,),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    finally:
        os.close(reading)
        os.close(writing)
    return Daemon(pid=process.pid, started_at=datetime.fromtimestamp(psutil.Process(process.pid).create_time(), UTC))


def last_words(log: Path) -> str:
    """The first line of the log that names an exception, else its last line."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    named = [line.strip() for line in lines if "Exception" in line or "Error" in line]
    return (named or lines or ["it said nothing"])[0 if named else -1][:300]
