from pathlib import Path

import pytest

from lakehouse import machine, spark_settings
from lakehouse.home import Home


@pytest.fixture
def values(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("STILLHOUSE_MEMORY", "1g")
    monkeypatch.setattr(machine, "num_cores", lambda: 6)
    return spark_settings.settings(Home(Path("/data/my home")), jars=Path("/jars"), connect_port=15002)


def test_sizes_come_from_the_machine(values: dict[str, str]) -> None:
    assert values["spark.master"] == "local[6]"
    assert values["spark.sql.shuffle.partitions"] == "6"
    assert values["spark.driver.memory"] == "1024m"


def test_the_warehouse_is_a_path_because_spark_would_take_a_percent_sign_literally(values: dict[str, str]) -> None:
    assert values["spark.sql.warehouse.dir"] == "/data/my home/lake/warehouse"


def test_every_address_is_loopback(values: dict[str, str]) -> None:
    addresses = {value for name, value in values.items() if name.lower().endswith((".host", "address"))}
    assert addresses == {"127.0.0.1"}


def test_a_collector_that_somebody_chose_stays_because_java_starts_with_no_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS"):
        monkeypatch.delenv(name, raising=False)
    assert spark_settings.collector() == ["-XX:+UseParallelGC"]
    monkeypatch.setenv("JDK_JAVA_OPTIONS", "-Xss4m -XX:+UseZGC")
    assert spark_settings.collector() == []


def test_on_a_cluster_the_work_goes_to_its_master_and_sizes_come_from_its_cores(values: dict[str, str]) -> None:
    there = spark_settings.on_cluster(values, url="spark://127.0.0.1:7077", num_cores=4, secret="s3")
    assert there["spark.master"] == "spark://127.0.0.1:7077"
    assert (there["spark.authenticate"], there["spark.authenticate.secret"]) == ("true", "s3")
    assert there["spark.sql.shuffle.partitions"] == "8"
    assert set(values) < set(there)


def test_only_the_owner_reads_the_settings_also_where_a_file_was_there_before(tmp_path: Path) -> None:
    (tmp_path / "spark-defaults.conf").touch(mode=0o644)
    conf = spark_settings.write(tmp_path, {"spark.authenticate.secret": "s3"})
    assert (conf / "spark-defaults.conf").stat().st_mode & 0o777 == 0o600


def test_settings_are_written_one_a_line_where_spark_reads_them(values: dict[str, str], tmp_path: Path) -> None:
    conf = spark_settings.write(tmp_path / "conf", values)
    lines = (conf / "spark-defaults.conf").read_text().splitlines()
    assert dict(line.split(" ", 1) for line in lines) == values
    assert (conf / "log4j2.properties").exists()


def test_no_filter_is_looked_up_in_dictionaries_that_cannot_be_read_in_pieces(values: dict[str, str]) -> None:
    # parquet-java issue 3478: seen on MovieLens, where the second `dbt build` stopped in its first query.
    assert values["spark.sql.parquet.compression.codec"] == "lz4_raw"
    assert values["spark.hadoop.parquet.filter.dictionary.enabled"] == "false"
