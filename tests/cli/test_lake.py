"""`stillhouse up | status | env | sql` against a running lake; `down` belongs to tests/lakehouse/test_server.py."""

import json
import os
import shlex
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result

from cli.main import stillhouse
from lakehouse import server
from lakehouse.home import Home

pytestmark = pytest.mark.lake


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(stillhouse, list(arguments), catch_exceptions=False)


def test_up_on_a_running_lake_leaves_it_as_it_is(lake_home: Home) -> None:
    before = server.status(lake_home)
    result = invoke("up")
    assert result.exit_code == 0
    assert before is not None
    assert before.remote in result.stdout
    assert server.status(lake_home) == before


def test_status_says_where_the_lake_listens(lake_home: Home) -> None:
    running = server.ensure(lake_home)
    result = invoke("status")
    assert result.exit_code == 0
    for fact in (str(lake_home.root), running.remote, str(running.pid), str(running.log)):
        assert fact in result.stdout
    assert "JDBC           closed" in result.stdout
    assert "work is done   in the server itself" in result.stdout


def test_env_lets_another_python_find_the_lake(lake_home: Home) -> None:
    exported = [shlex.split(line) for line in invoke("env").stdout.splitlines()]
    assert {len(words) for words in exported} == {2}
    environment = dict(words[1].split("=", 1) for words in exported)
    assert environment["STILLHOUSE_HOME"] == str(lake_home.root)
    assert os.path.isdir(environment["DAGSTER_HOME"])
    program = "from pyspark.sql import SparkSession as S; print(S.builder.getOrCreate().range(7).count())"
    run = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert run.stdout == "7\n", run.stderr


def test_sql_prints_a_table(lake_home: Home) -> None:
    result = invoke("sql", "select id, if(id = 1, null, concat('user ', id)) as name from range(2) order by id;")
    assert [line.split("│")[1:3] for line in result.stdout.splitlines() if "│" in line] == [
        ["  0 ", " user 0 "],
        ["  1 ", " NULL   "],
    ]


def test_sql_says_when_a_table_is_cut_short(lake_home: Home) -> None:
    result = invoke("sql", "select * from range(5)", "--limit", "3")
    assert sum("│" in line for line in result.stdout.splitlines()) == 3
    assert "The first 3 rows; there are more" in result.stderr


def test_sql_writes_all_rows_as_csv(lake_home: Home) -> None:
    result = invoke("sql", "select id, 'a,\"b\"' as text, null as nothing from range(150)", "--format", "csv")
    lines = result.stdout.splitlines()
    assert lines[0] == "id,text,nothing"
    assert lines[1] == '0,"a,""b""",'
    assert len(lines) == 151


def test_sql_writes_one_json_object_per_line(lake_home: Home) -> None:
    query = "select id, map('shelf', 0.5D) as scores, timestamp'2024-02-29 12:00:00' as at from range(2) order by id"
    result = invoke("sql", query, "--format", "json")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"id": 0, "scores": {"shelf": 0.5}, "at": "2024-02-29T12:00:00"},
        {"id": 1, "scores": {"shelf": 0.5}, "at": "2024-02-29T12:00:00"},
    ]


def test_times_are_shown_in_utc_wherever_the_terminal_is(lake_home: Home) -> None:
    command = [
        sys.executable,
        "-m",
        "cli.main",
        "sql",
        "select timestamp'2024-07-01 12:00:00Z' as at",
        "--format",
        "csv",
    ]
    run = subprocess.run(
        command, env={**os.environ, "TZ": "Asia/Tokyo"}, capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout == "at\n2024-07-01 12:00:00\n"


def test_a_statement_without_an_answer_says_that_it_is_done(lake_home: Home) -> None:
    result = invoke("sql", "create schema if not exists cli_test")
    assert (result.stdout, result.stderr) == ("", "Done.\n")


def test_wrong_sql_is_a_short_error_with_exit_code_1(lake_home: Home) -> None:
    command = [sys.executable, "-m", "cli.main", "sql", "select * from marts.nothing"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("stillhouse: [TABLE_OR_VIEW_NOT_FOUND] The table or view `marts`.`nothing`")
    assert len(run.stderr.splitlines()) <= 4
    assert "at org.apache" not in run.stderr
