"""What the machine offers (memory, cores, disk, Java, ports) and whether that is enough for the lake.

It imports nothing that must be installed: `python -m lakehouse.machine GIB` checks the machine before there is an
environment, with GIB of free disk.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from lakehouse.errors import LakeError

GIB = 2**30
MINIMUM_JAVA = 17
# The server's heap may be no smaller than 1 GiB, and twice that goes to Python (dbt, the trainer) beside it.
MINIMUM_MEMORY_BYTES = 3 * GIB
MAXIMUM_HEAP_BYTES = 8 * GIB
MINIMUM_DISK_GIB = 2.0
CGROUP = Path("/sys/fs/cgroup")


def memory_bytes() -> int:
    """Memory of the machine, or of the container that we run in, whichever is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in (CGROUP / "memory.max", CGROUP / "memory" / "memory.limit_in_bytes"):
        if limit.exists() and (text := limit.read_text().strip()).isdigit():
            total = min(total, int(text))
    return total


def num_cores() -> int:
    """Cores that this process may run on, or that its container is granted, whichever is less; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = CGROUP / "cpu.max"
    if quota.exists() and (fields := quota.read_text().split()) and fields[0].isdigit():
        cores = min(cores, max(1, round(int(fields[0]) / int(fields[1]))))
    return cores


def heap_bytes() -> int:
    """Heap of the lake server: half of the memory, between 1 and 8 GiB, or STILLHOUSE_MEMORY (`2g`, `1500m`).

    Raises LakeError when the machine is too small or STILLHOUSE_MEMORY asks for what is not there.
    """
    total = memory_bytes()
    wish = os.environ.get("STILLHOUSE_MEMORY")
    if wish:
        match = re.fullmatch(r"(\d+)([mg])", wish.lower())
        if not match:
            raise LakeError(f"STILLHOUSE_MEMORY is {wish!r}; write it like 2g or 1500m")
        heap = int(match[1]) * (GIB if match[2] == "g" else 2**20)
        if not GIB <= heap <= total:
            raise LakeError(f"STILLHOUSE_MEMORY is {wish}; it must lie between 1g and {total / GIB:.1f}g, all there is")
        return heap
    if total < MINIMUM_MEMORY_BYTES:
        raise LakeError(
            f"too little memory: {total / GIB:.1f} GiB, and the lake with its clients needs "
            f"{MINIMUM_MEMORY_BYTES / GIB:.0f}; use a larger machine, or set STILLHOUSE_MEMORY=1g to try all the same"
        )
    return max(GIB, min(MAXIMUM_HEAP_BYTES, total // 2))


def check_disk(folder: Path, *, needed_gib: float = MINIMUM_DISK_GIB) -> None:
    """Raise LakeError when the disk under `folder` (which need not exist yet) is nearly full."""
    while not folder.exists():
        folder = folder.parent
    free_gib = shutil.disk_usage(folder).free / GIB
    if free_gib < needed_gib:
        raise LakeError(
            f"the disk under {folder} is nearly full: {free_gib:.1f} GiB free of the {needed_gib:g} needed; free some, "
            "or move to another disk (data: set STILLHOUSE_HOME)"
        )


def find_java() -> Path:
    """The `java` of JAVA_HOME, or else of PATH; LakeError when there is none of version 17 or newer."""
    java_home = os.environ.get("JAVA_HOME")
    java = str(Path(java_home) / "bin" / "java") if java_home else shutil.which("java")
    if java is None:
        raise LakeError(f"no Java found: install Java {MINIMUM_JAVA} or newer (a JRE will do), or set JAVA_HOME to it")
    try:
        shown = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError) as error:
        lines = str(getattr(error, "stderr", None) or error).splitlines()
        # Java begins with a note on the options that it finds in the environment.
        said = next((line for line in lines if not line.startswith(("NOTE:", "Picked up"))), "")
        raise LakeError(
            f"{java} does not run ({said}): install Java {MINIMUM_JAVA} or newer, or set JAVA_HOME to it"
        ) from None
    version = java_version(shown)
    if version < MINIMUM_JAVA:
        raise LakeError(f"{java} is Java {version}: install Java {MINIMUM_JAVA} or newer, or set JAVA_HOME to it")
    return Path(java)


def java_version(shown: str) -> int:
    """The major version in what `java -version` prints; 0 when there is none.

    >>> java_version('openjdk version "17.0.15" 2025-04-15'), java_version('java version "1.8.0_292"')
    (17, 8)
    """
    match = re.search(r'version "(?:1\.)?(\d+)', shown)
    return int(match[1]) if match else 0


def free_port(*, preferred: int) -> int:
    """`preferred` if nobody listens there, else the next port of loopback that is free."""
    for port in range(preferred, preferred + 1000):
        if port_is_free(port):
            return port
    raise LakeError(f"no free port between {preferred} and {preferred + 999}; set STILLHOUSE_CONNECT_PORT")


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def port_answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def main() -> None:
    """Print the first thing that the machine lacks, in one line, and exit with 1; nothing when it will do."""
    try:
        find_java()
        heap_bytes()
        check_disk(Path.cwd(), needed_gib=float(sys.argv[1]) if len(sys.argv) > 1 else MINIMUM_DISK_GIB)
    except LakeError as error:
        sys.exit(f"stillhouse: {error}")


if __name__ == "__main__":
    main()
