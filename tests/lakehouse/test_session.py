from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from pyspark.sql import SparkSession

from lakehouse import server
from lakehouse.home import PROJECT, Home
from lakehouse.session import SHARED_CODE, connect


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


def test_dbt_shares_what_spark_compiled_as_every_other_session_does() -> None:
    profiles = yaml.safe_load((PROJECT / "profiles" / "profiles.yml").read_text())["stillhouse"]["outputs"]
    for target in ("dev", "prod"):
        assert profiles[target]["server_side_parameters"] == SHARED_CODE
