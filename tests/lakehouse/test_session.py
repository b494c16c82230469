from concurrent.futures import ThreadPoolExecutor

import pytest
from pyspark.sql import SparkSession

from lakehouse import server
from lakehouse.home import Home
from lakehouse.session import connect


@pytest.mark.lake
def test_the_session_handed_out_is_the_active_one_whichever_was_made_before_it(lake_home: Home) -> None:
    # pyspark keeps a thread's first session active; its functions then asked a server that had long been killed.
    remote = server.environment(lake_home)["SPARK_REMOTE"]

    def in_a_thread_with_an_older_session() -> tuple[SparkSession, SparkSession | None]:
        SparkSession.builder.remote(remote).create()
        return connect(lake_home), SparkSession.getActiveSession()

    with ThreadPoolExecutor(1) as pool:
        ours, active = pool.submit(in_a_thread_with_an_older_session).result()
    assert active is ours


@pytest.mark.lake
def test_what_one_session_compiled_serves_the_next(lake_home: Home) -> None:
    # Spark's server for Connect alone says true here and does not let a session change it: by the time a client asks,
    # the session has its class loader, and Spark compiles a query again for each loader.
    session = connect(lake_home)
    for setting in ("enabled", "alwaysApplyClassloader"):
        assert session.conf.get(f"spark.sql.artifact.isolation.{setting}") == "false"
