"""The code version names a commit only where the code is exactly that commit."""

import json
import subprocess
from pathlib import Path

import pytest

from registry import Lineage, ReleaseError, code_version, environment
from tests.registry.conftest import Build


def git(project: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    answer = subprocess.run(
        ["git", "-C", str(project), *identity, *arguments], check=True, capture_output=True, text=True
    )
    return answer.stdout.strip()


def test_the_code_version_is_the_commit_or_the_content(tmp_path: Path) -> None:
    (tmp_path / "ranker").mkdir()
    (tmp_path / "ranker" / "loss.py").write_text("one")
    without_git = code_version(tmp_path)
    assert without_git.startswith("content:")

    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "One")
    assert code_version(tmp_path) == "git:" + git(tmp_path, "rev-parse", "HEAD")

    (tmp_path / "notes.md").write_text("not code")
    assert code_version(tmp_path).startswith("git:")
    (tmp_path / "ranker" / "loss.py").write_text("two")
    changed = code_version(tmp_path)
    assert changed.startswith("content:")
    assert changed != without_git
    (tmp_path / "ranker" / "loss.py").write_text("one")
    assert code_version(tmp_path).startswith("git:")


def test_a_lineage_survives_its_file(build: Build) -> None:
    lineage = build()[1]
    assert Lineage.from_bytes(lineage.to_bytes()) == lineage


def test_releases_of_before_there_was_a_chain_of_teachers_still_load(build: Build) -> None:
    lineage = build()[1]
    content = json.loads(lineage.to_bytes())
    for later in ("teachers", "dropped_teacher"):
        del content[later]
    assert Lineage.from_bytes(json.dumps(content).encode()) == lineage
    del content["teacher"]
    with pytest.raises(ReleaseError, match="must hold the keys"):
        Lineage.from_bytes(json.dumps(content).encode())


def test_a_partition_is_a_day(build: Build) -> None:
    with pytest.raises(ValueError, match="isoformat"):
        build(partition="1998-1-5")


def test_the_environment_names_what_weights_depend_on() -> None:
    assert set(environment(threads=2)) == {"python", "torch", "platform", "threads"}
