"""Where everything lives: the folders under STILLHOUSE_HOME."""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Home:
    """The folders of one Stillhouse: its landing zone, its lake, its releases and its run history."""

    root: Path

    @property
    def landing(self) -> Path:
        return self.root / "landing"

    @property
    def truth(self) -> Path:
        return self.root / "truth"

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    @property
    def warehouse(self) -> Path:
        return self.lake / "warehouse"

    @property
    def exchange(self) -> Path:
        """Parquet files on their way from Python to the one process that writes Delta."""
        return self.root / "exchange"

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def dagster(self) -> Path:
        return self.root / "dagster"

    @property
    def dbt(self) -> Path:
        return self.root / "dbt"

    @property
    def online(self) -> Path:
        """What the ranking server reads and writes beside the releases: snapshots of features, the feature log."""
        return self.root / "online"

    @property
    def first_port(self) -> int:
        """Where the ports of its servers begin. Each home keeps its ports over restarts, so that an environment
        exported before one still holds after it."""
        return 15002 + zlib.crc32(str(self.root).encode()) % 15000

    @property
    def downloads(self) -> Path:
        return self.root / "downloads"


def home() -> Home:
    """The home named by STILLHOUSE_HOME, or `var` beside the project."""
    return Home(Path(os.environ.get("STILLHOUSE_HOME") or PROJECT / "var").expanduser().resolve())
