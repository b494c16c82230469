"""Fixtures that more than one room needs: a lake of their own for the tests that talk to Spark."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lakehouse import server
from lakehouse.home import Home

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


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
