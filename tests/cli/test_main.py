import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from cli import main


def test_help_names_every_command_under_whom_it_is_for_and_loads_no_heavy_library() -> None:
    program = """
import sys
from cli.main import stillhouse
stillhouse.main(["--help"], standalone_mode=False)
print("LOADED", sorted({"torch", "pyspark", "dagster", "dbt", "pyarrow"} & set(sys.modules)))
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "LOADED []"
    # A summary may go on in the next line.
    words = " ".join(shown.split())
    for title, commands in main.SECTIONS.items():
        assert f"{title}:" in words
        for name, entry in commands.items():
            assert f"{name} {entry.summary}" in words


@pytest.mark.parametrize("name", [name for commands in main.SECTIONS.values() for name in commands])
def test_every_command_that_is_listed_explains_itself(name: str) -> None:
    result = CliRunner().invoke(main.stillhouse, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"Usage: stillhouse {name}" in result.output


def test_an_unknown_command_is_refused() -> None:
    result = CliRunner().invoke(main.stillhouse, ["distil"])
    assert result.exit_code == 2
    assert "No such command 'distil'" in result.output


def run_main(monkeypatch: pytest.MonkeyPatch, error: BaseException, *arguments: str) -> int:
    """The exit code of a `stillhouse` whose only command raises `error`."""

    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["stillhouse", *arguments])
    monkeypatch.setattr(main, "stillhouse", click.Group())
    monkeypatch.setattr(main.stillhouse, "main", fail)
    with pytest.raises(SystemExit) as exited:
        main.main()
    assert isinstance(exited.value.code, int)
    return exited.value.code


def test_an_error_is_one_short_message_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = RuntimeError("[DIVIDE_BY_ZERO] Division by zero.\n\nJVM stacktrace:\norg.apache.spark.X\n\tat y(z)")
    assert run_main(monkeypatch, error) == 1
    assert capsys.readouterr().err == "stillhouse: [DIVIDE_BY_ZERO] Division by zero.\n"


def test_an_error_shows_where_it_comes_from_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="position is 0"):
        run_main(monkeypatch, ValueError("position is 0"), "--traceback")


def test_an_interrupt_ends_without_a_trace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == ""
