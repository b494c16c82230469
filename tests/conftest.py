"""Fixtures that more than one room needs: a lake of their own for the tests that talk to Spark."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lakehouse import server
from lakehouse.home import Home

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


# The lake servers of tests live for minutes: compiling for the long run costs them more than it brings.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m")

# What takes longest begins first, so that two workers end at about the same time.
LONGEST = (
    "tests/test_end_to_end.py",
    "tests/models",
    "tests/lakehouse/test_ingest.py",
    "tests/lakehouse/test_server.py",
)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Name the test's group: one worker runs a group, so that tests that share a lake share it."""
    path = item.path.relative_to(item.config.rootpath).as_posix()
    group = next((name for name in LONGEST if path.startswith(name)), path)
    shares_lake = "lake_home" in getattr(item, "fixturenames", ())
    item.add_marker(pytest.mark.xdist_group("lake_home" if shares_lake else group))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: next((i for i, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))
    )


@pytest.fixture(scope="session")
def lake_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home of its own with a running lake server, for the whole test session; STILLHOUSE_HOME points to it."""
    home = Home(Path(tmp_path_factory.mktemp("stillhouse")).resolve())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILLHOUSE_HOME", str(home.root))
        patch.setenv("STILLHOUSE_MEMORY", "2g")
        for name in ("STILLHOUSE_CONNECT_PORT", "STILLHOUSE_JDBC_PORT", "SPARK_REMOTE"):
            patch.delenv(name, raising=False)
        server.ensure(home)
        yield home
        server.stop(home)


@pytest.fixture
def spark(lake_home: Home) -> "SparkSession":
    """A Spark session on `lake_home`. Tests share its catalog: use a schema of your own."""
    from lakehouse.session import connect

    return connect(lake_home)
