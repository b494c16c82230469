"""Fixtures that more than one room needs: a lake of their own for the tests that talk to Spark."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from lakehouse import server
from lakehouse.home import Home
from tests import small_lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


# The end-to-end test alone has Spark compile its queries.
small_lake.choose()

# These share a lake or take longest: each is run by one worker, and begins before the rest.
TOGETHER = (
    "tests/test_end_to_end.py",
    "tests/models",
    "tests/lakehouse/test_ingest.py",
    "tests/lakehouse/test_server.py",
)


class ByLake(LoadScopeScheduling):
    """Tests of one file run in one worker, in order; so do those of the folders in TOGETHER."""

    def _split_scope(self, nodeid: str) -> str:
        return next((place for place in TOGETHER if nodeid.startswith(place)), nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return ByLake(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = [*TOGETHER, ""]
    items.sort(key=lambda item: next(i for i, place in enumerate(places) if item.nodeid.startswith(place)))


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
