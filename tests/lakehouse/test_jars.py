import subprocess
from pathlib import Path

import pytest

from lakehouse import jars
from lakehouse.errors import LakeError


def ivy_says(monkeypatch: pytest.MonkeyPatch, *, output: str, served: dict[str, bytes]) -> None:
    """Stand in for spark-submit: put `served` where Ivy would, and print `output`."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ivy = next(part.removeprefix("spark.jars.ivy=") for part in command if part.startswith("spark.jars.ivy="))
        (Path(ivy) / "jars").mkdir(parents=True)
        for name, content in served.items():
            (Path(ivy) / "jars" / name).write_bytes(content)
        return subprocess.CompletedProcess(command, returncode=1, stdout="", stderr=output)

    monkeypatch.setattr(subprocess, "run", run)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("STILLHOUSE_JARS", str(tmp_path / "jars"))
    return tmp_path / "jars"


def test_an_unreachable_registry_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    ivy_says(monkeypatch, output="\n  Host repo1.example not found. url=…\nmore\n", served={})
    with pytest.raises(LakeError, match=r"needed once.*or copy .*jars.*Host repo1\.example not found") as error:
        jars.delta_jars()
    assert "\n" not in str(error.value)
    assert not folder.exists()


def test_other_bytes_than_those_pinned_are_not_used(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    ivy_says(monkeypatch, output="", served=dict.fromkeys(jars.SHA256, b"not a jar"))
    with pytest.raises(LakeError, match=r"sha256 [0-9a-f]{64}, not .*: not used"):
        jars.delta_jars()
    assert not folder.exists()


def test_jars_that_are_there_need_no_resolving(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    folder.mkdir()
    for name in jars.SHA256:
        (folder / name).touch()
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("resolved again"))
    assert jars.delta_jars() == folder


def test_only_deltas_own_jars_are_kept(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # sha256 of no bytes
    monkeypatch.setattr(jars, "SHA256", {"io.delta_a.jar": empty, "io.unitycatalog_b.jar": empty})
    served = {"io.delta_a.jar": b"", "io.unitycatalog_b.jar": b"", "org.apache.hadoop_c.jar": b""}
    ivy_says(monkeypatch, output="", served=served)
    assert sorted(path.name for path in jars.delta_jars().iterdir()) == ["io.delta_a.jar", "io.unitycatalog_b.jar"]
