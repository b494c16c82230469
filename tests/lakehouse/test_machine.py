import os
import shutil
import socket
from pathlib import Path
from typing import NamedTuple

import pytest

from lakehouse import machine
from lakehouse.errors import LakeError
from lakehouse.machine import GIB


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def fake_java(folder: Path, *, shown: str) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{shown}' >&2\n")
    java.chmod(0o755)
    return java


def fake_memory(monkeypatch: pytest.MonkeyPatch, *, total_gib: float) -> None:
    monkeypatch.delenv("STILLHOUSE_MEMORY", raising=False)
    monkeypatch.setattr(machine, "memory_bytes", lambda: int(total_gib * GIB))


@pytest.mark.parametrize(("total_gib", "heap_gib"), [(3, 1.5), (8, 4), (16, 8), (256, 8)])
def test_heap_is_half_of_the_memory_and_at_most_8_gib(
    monkeypatch: pytest.MonkeyPatch, total_gib: float, heap_gib: float
) -> None:
    fake_memory(monkeypatch, total_gib=total_gib)
    assert machine.heap_bytes() == heap_gib * GIB


def test_too_little_memory_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_memory(monkeypatch, total_gib=2)
    with pytest.raises(LakeError, match=r"^too little memory: 2\.0 GiB.*STILLHOUSE_MEMORY=1g") as error:
        machine.heap_bytes()
    assert "\n" not in str(error.value)


def test_memory_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_memory(monkeypatch, total_gib=4)
    monkeypatch.setenv("STILLHOUSE_MEMORY", "1500m")
    assert machine.heap_bytes() == 1500 * 2**20


@pytest.mark.parametrize("wish", ["2", "two", "512m", "5g"])
def test_memory_that_is_unclear_or_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    fake_memory(monkeypatch, total_gib=4)
    monkeypatch.setenv("STILLHOUSE_MEMORY", wish)
    with pytest.raises(LakeError, match=rf"STILLHOUSE_MEMORY is '?{wish}"):
        machine.heap_bytes()


def test_a_container_limits_memory_and_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(f"{GIB}\n")
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    assert (machine.memory_bytes(), machine.num_cores()) == (GIB, 1)


def test_a_container_without_limits_has_what_the_machine_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "CGROUP", tmp_path / "none")
    bare = (machine.memory_bytes(), machine.num_cores())
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    assert (machine.memory_bytes(), machine.num_cores()) == bare


def test_a_nearly_full_disk_is_refused_even_for_a_home_that_is_not_there_yet(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 * GIB, 99 * GIB, GIB))
    with pytest.raises(LakeError, match=rf"under {tmp_path} is nearly full: 1\.0 GiB free of the 2 needed"):
        machine.check_disk(tmp_path / "home" / "lake")


def test_a_disk_with_room_is_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    looked_at = []

    def roomy(path: Path) -> Usage:
        looked_at.append(path)
        return Usage(100 * GIB, 90 * GIB, 10 * GIB)

    monkeypatch.setattr(shutil, "disk_usage", roomy)
    machine.check_disk(tmp_path)
    assert looked_at == [tmp_path]


def test_java_17_is_found_through_java_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = fake_java(tmp_path, shown='openjdk version "17.0.15" 2025-04-15')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert machine.find_java() == java


def test_java_11_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_java(tmp_path, shown='openjdk version "11.0.2" 2019-01-15')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(LakeError, match="is Java 11: install Java 17 or newer"):
        machine.find_java()


def test_no_java_at_all_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LakeError, match=r"^no Java found: install Java 17"):
        machine.find_java()


def test_java_home_without_java_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(LakeError, match=f"{tmp_path}{os.sep}bin{os.sep}java does not run"):
        machine.find_java()


def test_a_taken_port_is_noticed_and_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not machine.port_is_free(port)
        assert machine.port_answers(port)
        assert machine.free_port(preferred=port) > port
    assert not machine.port_answers(port)
