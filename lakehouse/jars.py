"""Delta's jars: resolved once through Ivy, checked by hash, kept where every home and clone finds them offline."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock

from lakehouse.errors import LakeError

# Found, not imported: importing pyspark takes longer than `stillhouse status`.
SPARK_HOME = Path(str(find_spec("pyspark").origin)).parent  # type: ignore[union-attr]
DELTA = "io.delta:delta-spark_4.2_2.13:4.4.0"
# Ivy also brings hadoop, jackson, log4j and parquet jars; Spark has newer ones of its own, so only these are taken.
SHA256 = {
    "io.delta_delta-kernel-api-4.4.0.jar": "ee9b5a14ac3b7efdff4d61a58478fe8eb0e5a3fbca43889dca7290795fe79a11",
    "io.delta_delta-kernel-defaults-4.4.0.jar": "225c975199e4718b38ee5b7e6da7f19e9585024262b2cec2656b32151a856b0b",
    "io.delta_delta-kernel-unitycatalog-4.4.0.jar": "cea22dfb4ac562b3cd27bf652697750e8336009d73fb06631363aaaad5345ffa",
    "io.delta_delta-spark_4.2_2.13-4.4.0.jar": "27d4fd8b1f879535c573ed1c718177d6a27f24d3e626ba02e216369725721ead",
    "io.delta_delta-storage-4.4.0.jar": "c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc",
    "io.unitycatalog_unitycatalog-client-0.6.0.jar": "48257499a86b801a3e2372cec55ac226ca1c1c7eabe5c118e7302f29a1fdbc19",
    "io.unitycatalog_unitycatalog-hadoop-0.6.0.jar": "c47b63c961c87102b9e1d63809a0915ba4c86b7652f57c8d39ca3a05b441a150",
}
RESOLVE_TIMEOUT_S = 600


def folder() -> Path:
    """Where the jars are kept: STILLHOUSE_JARS, or a folder of their version in the user's cache."""
    if os.environ.get("STILLHOUSE_JARS"):
        return Path(os.environ["STILLHOUSE_JARS"]).expanduser().resolve()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "stillhouse" / "jars" / DELTA.replace("io.delta:", "").replace(":", "-")


def delta_jars() -> Path:
    """The folder with exactly Delta's jars; the first call on a machine downloads them (about 20 s).

    Raises LakeError when the Maven registry cannot be reached or serves other bytes than those we pinned.
    """
    jars = folder()
    if complete(jars):
        return jars
    jars.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(jars.with_name(jars.name + ".lock")):
        if complete(jars):
            return jars
        with tempfile.TemporaryDirectory(prefix="resolve-", dir=jars.parent) as scratch:
            resolved = _resolve(Path(scratch))
            for name, expected in SHA256.items():
                actual = hashlib.sha256((resolved / name).read_bytes()).hexdigest()
                if actual != expected:
                    raise LakeError(f"the Maven registry served {name} with sha256 {actual}, not {expected}: not used")
            chosen = Path(scratch) / "chosen"
            chosen.mkdir()
            for name in SHA256:
                shutil.move(resolved / name, chosen / name)
            shutil.rmtree(jars, ignore_errors=True)
            chosen.rename(jars)
    return jars


def complete(jars: Path) -> bool:
    return all((jars / name).is_file() for name in SHA256)


def _resolve(scratch: Path) -> Path:
    """Let spark-submit resolve Delta's coordinates around an empty program; returns Ivy's folder of jars."""
    program = scratch / "empty.py"
    program.touch()
    command = [
        str(SPARK_HOME / "bin" / "spark-submit"),
        *("--packages", DELTA, "--conf", f"spark.jars.ivy={scratch / 'ivy'}"),
        *("--driver-java-options", "-Dsun.net.client.defaultConnectTimeout=10000 -Duser.timezone=UTC"),
        str(program),
    ]
    environment = {**os.environ, "SPARK_HOME": str(SPARK_HOME), "PYSPARK_PYTHON": sys.executable}
    environment.pop("SPARK_REMOTE", None)
    try:
        run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=RESOLVE_TIMEOUT_S)
        output = run.stdout + run.stderr
    except subprocess.TimeoutExpired:
        output = f"no answer for {RESOLVE_TIMEOUT_S} s"
    jars = scratch / "ivy" / "jars"
    if not complete(jars):
        reason = next((line.strip() for line in output.splitlines() if "not found" in line or "refused" in line), "")
        raise LakeError(
            f"Delta's jars ({DELTA}) could not be fetched from a Maven registry, which is needed once: connect to the "
            f"network and run this again, or copy {folder()} from a machine that has it"
            + (f" (Ivy says: {reason})" if reason else "")
        )
    return jars
