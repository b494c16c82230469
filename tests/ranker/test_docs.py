from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

DOCS = Path(__file__).parents[2] / "docs" / "ranker.md"


def test_the_page_s_lines_for_a_plain_parquet_folder_run(
    world: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = DOCS.read_text().partition("## From a plain Parquet folder")[2]
    lines = section.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "logs").mkdir()
    table = world(6_000, seed=0, position_effect=-0.8).table
    for part in range(2):
        pq.write_table(table.slice(part * 3_000, 3_000), tmp_path / "logs" / f"part-{part}.parquet")
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    exec(compile(lines, str(DOCS), "exec"), namespace)
    click = namespace["report"]["actions"]["click"]
    assert click["auc"] > 0.55
    assert str(click["auc"]) in capsys.readouterr().out
    assert namespace["again"].heads == ("acted", "click|acted", "save|acted")
