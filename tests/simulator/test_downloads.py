import hashlib
from pathlib import Path

import pytest

from lakehouse.home import Home
from simulator import downloads
from simulator.downloads import FetchError, Wheel, fetch_wheel

CONTENT = b"rows"
WHEEL = Wheel("log", "1.0", hashlib.sha256(CONTENT).hexdigest())


def silent(line: str) -> None: ...


@pytest.fixture(autouse=True)
def downloads_of_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STILLHOUSE_DOWNLOADS")


def test_a_wheel_that_is_there_needs_no_network(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(wheel: Wheel, folder: Path) -> Path:
        pytest.fail("asked the index for a wheel that is there")

    monkeypatch.setattr(downloads, "_download", no_network)
    home.downloads.mkdir()
    path = home.downloads / WHEEL.file_name
    path.write_bytes(CONTENT)
    assert fetch_wheel(WHEEL, home, progress=silent) == path


def test_a_wheel_with_one_byte_changed_is_refused(home: Home) -> None:
    home.downloads.mkdir()
    (home.downloads / WHEEL.file_name).write_bytes(b"rowz")
    with pytest.raises(FetchError, match="it was not read") as error:
        fetch_wheel(WHEEL, home, progress=silent)
    assert "\n" not in str(error.value)


def test_a_wrong_download_is_refused_and_not_kept(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def another_file(wheel: Wheel, folder: Path) -> Path:
        path = folder / wheel.file_name
        path.write_bytes(b"something else")
        return path

    monkeypatch.setattr(downloads, "_download", another_file)
    with pytest.raises(FetchError, match="serves another file"):
        fetch_wheel(WHEEL, home, progress=silent)
    assert list(home.downloads.iterdir()) == []


def test_an_index_without_the_wheel_is_a_one_line_error(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(home.root))
    with pytest.raises(FetchError, match=r"^log==1.0 could not be downloaded .*check the network") as error:
        fetch_wheel(WHEEL, home, progress=silent)
    assert "\n" not in str(error.value)


def test_an_index_named_to_uv_alone_is_named_to_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "an index")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    assert downloads._index_environment()["PIP_INDEX_URL"] == "an index"
    monkeypatch.setenv("PIP_INDEX_URL", "pip's own")
    assert downloads._index_environment()["PIP_INDEX_URL"] == "pip's own"
