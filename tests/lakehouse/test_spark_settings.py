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


def test_settings_are_written_one_a_line_where_spark_reads_them(values: dict[str, str], tmp_path: Path) -> None:
    conf = spark_settings.write(Home(tmp_path), values)
    lines = (conf / "spark-defaults.conf").read_text().splitlines()
    assert dict(line.split(" ", 1) for line in lines) == values
    assert (conf / "log4j2.properties").exists()
