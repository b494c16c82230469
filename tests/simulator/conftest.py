"""The wheels that hold the public logs are downloaded once and shared by every home that a test makes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse.home import Home


@pytest.fixture(scope="session", autouse=True)
def shared_downloads() -> Iterator[Path]:
    folder = os.environ.get("STILLHOUSE_DOWNLOADS") or str(Path("~/.cache/stillhouse/downloads").expanduser())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILLHOUSE_DOWNLOADS", folder)
        yield Path(folder)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)
