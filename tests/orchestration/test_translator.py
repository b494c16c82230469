"""The code version of a dbt model as an asset: it changes with the SQL, and with a recipe that no SQL shows."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from lakehouse.home import PROJECT
from orchestration import translator

MODEL = {"schema": "marts", "name": "training_examples", "raw_code": "select 1"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dbt_project.yml").write_text((PROJECT / "dbt_project.yml").read_text())
    monkeypatch.setattr(translator, "PROJECT", tmp_path)
    return tmp_path / "dbt_project.yml"


def code_version(model: dict[str, Any] = MODEL) -> str | None:
    return translator.RelationTranslator().get_code_version(model)


def test_a_changed_recipe_changes_the_code_version(project: Path) -> None:
    content = yaml.safe_load(project.read_text())
    versions = {code_version()}
    for change in (
        {"otherwise": 0.55},
        {"materialised": False},
        {"random_traffic": {"share": 0.06}},
        {"rules": [{"name": "new", "column": "item_age_days", "below": 7, "keep": 0.5}]},
        {"rules": [{"name": "new", "column": "item_age_days", "below": 8, "keep": 0.5}]},
    ):
        changed = copy.deepcopy(content)
        changed["vars"]["recipes"]["standard"] |= change
        project.write_text(yaml.safe_dump(changed))
        versions.add(code_version())
    assert len(versions) == 6


def test_a_comment_or_another_order_of_keys_does_not_change_it(project: Path) -> None:
    before = code_version()
    content = yaml.safe_load(project.read_text())
    content["vars"] = dict(reversed(content["vars"].items()))
    project.write_text("# Only said differently.\n" + yaml.safe_dump(content, sort_keys=False))
    assert code_version() == before


def test_changed_sql_changes_it(project: Path) -> None:
    assert code_version() != code_version(MODEL | {"raw_code": "select 2"})
