from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakehouse.home import Home
from orchestration import built

TABLES = ("marts.examples_v1", "marts.random_slice")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with raw tables and two models, remembered as the last build left them."""
    home = Home(tmp_path)
    for table in (*built.RAW, *TABLES):
        append(table, home)
    built.remember(built.inputs(home), TABLES, home=home)
    return home


def append(table: str, home: Home) -> None:
    schema, name = table.split(".")
    write_deltalake(home.warehouse / f"{schema}.db" / name, pa.table({"event_id": ["e1"]}), mode="append")


def test_nothing_changed_is_nothing_to_build(home: Home) -> None:
    assert built.is_as_left(TABLES, home=home)


def test_a_home_that_was_never_built_is_not_as_a_build_left_it(tmp_path: Path) -> None:
    assert not built.is_as_left(TABLES, home=Home(tmp_path))


@pytest.mark.parametrize("table", ["raw.exposures", "raw.quarantine", "marts.examples_v1"])
def test_rows_that_landed_or_a_table_that_was_written_are_to_be_built_upon(home: Home, table: str) -> None:
    append(table, home)
    assert not built.is_as_left(TABLES, home=home)


def test_what_lands_while_a_build_runs_is_to_be_built(home: Home) -> None:
    made_of = built.inputs(home)
    append("raw.exposures", home)
    built.remember(made_of, TABLES, home=home)
    assert not built.is_as_left(TABLES, home=home)


def test_a_model_that_is_new_is_to_be_built(home: Home) -> None:
    append("marts.new", home)
    assert not built.is_as_left((*TABLES, "marts.new"), home=home)


def test_a_table_that_is_gone_is_to_be_built(home: Home) -> None:
    (home.warehouse / "marts.db" / "random_slice").rename(home.root / "gone")
    assert not built.is_as_left(TABLES, home=home)


def test_a_changed_file_of_the_project_is_to_be_built(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    for file in built.project_files():
        copy = project / file.relative_to(built.PROJECT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    monkeypatch.setattr(built, "PROJECT", project)
    assert built.is_as_left(TABLES, home=home)
    (project / "dbt_project.yml").write_text("vars: {trailing_days: 3}")
    assert not built.is_as_left(TABLES, home=home)
