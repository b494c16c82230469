"""A release is whole, the same content is the same release, and whatever was touched is refused."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from safetensors.numpy import save as save_tensors

from registry import Registry, ReleaseError
from tests.registry.conftest import Build


def test_what_was_saved_is_what_is_loaded(registry: Registry, build: Build) -> None:
    files, lineage = build()
    saved = registry.save(files, lineage=lineage)
    loaded = registry.load(saved.id)
    assert {name: loaded.files[name] for name in files} == files
    assert loaded.lineage == lineage
    assert loaded.json("metrics.json") == {"auc": 0.71}


def test_the_id_is_the_partition_and_the_hash_of_the_manifest_on_disk(registry: Registry, build: Build) -> None:
    files, lineage = build(partition="1998-02-02")
    saved = registry.save(files, lineage=lineage)
    manifest = (registry.root / saved.id / "manifest.json").read_bytes()
    assert saved.id == "1998-02-02-" + hashlib.sha256(manifest).hexdigest()[:8]
    entry = json.loads(manifest)["files"]["spec.json"]
    assert entry == {"size": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}


def test_the_same_content_saved_again_is_the_same_release_and_one_journal_entry(
    registry: Registry, build: Build, tmp_path: Path
) -> None:
    files, lineage = build()
    first, second = (registry.save(files, lineage=lineage) for _ in range(2))
    elsewhere = Registry(tmp_path / "elsewhere").save(files, lineage=lineage)
    assert first.id == second.id == elsewhere.id
    assert [entry.event for entry in registry.journal()] == ["saved"]


def test_a_changed_weight_makes_another_release_and_another_weights_hash(registry: Registry, build: Build) -> None:
    one, two = (registry.save(files, lineage=lineage) for files, lineage in (build(value=1), build(value=2)))
    assert one.id != two.id
    assert one.weights_hash != two.weights_hash


def test_the_weights_hash_knows_nothing_of_the_pictures(registry: Registry, build: Build) -> None:
    files, lineage = build()
    other = {**files, "loss.png": files["reliability.png"]}
    assert registry.save(files, lineage=lineage).weights_hash == registry.save(other, lineage=lineage).weights_hash


def test_files_written_by_the_safetensors_library_are_accepted(registry: Registry, build: Build) -> None:
    import numpy as np

    files, lineage = build()
    files["teacher.safetensors"] = save_tensors({"a": np.ones((3, 2)), "b": np.zeros(0)}, metadata={"by": "numpy"})
    assert registry.verify(registry.save(files, lineage=lineage).id)


def test_a_flipped_byte_in_any_file_is_refused(registry: Registry, build: Build) -> None:
    files, lineage = build(**{"gate.json": b'{"verdict": "pass"}', "card.html": b"<html></html>"})
    saved = registry.save(files, lineage=lineage)
    folder = registry.root / saved.id
    names = sorted(os.listdir(folder))
    assert len(names) == len(files) + 2  # and lineage.json, manifest.json
    for name in names:
        path = folder / name
        good = path.read_bytes()
        for place in (0, len(good) // 2, len(good) - 1):
            bad = bytearray(good)
            bad[place] ^= 1
            path.write_bytes(bad)
            with pytest.raises(ReleaseError, match="refused"):
                registry.load(saved.id)
        path.write_bytes(good + b" ")
        with pytest.raises(ReleaseError, match="refused"):
            registry.load(saved.id)
        path.write_bytes(good)
        path.unlink()
        with pytest.raises(ReleaseError, match="refused"):
            registry.load(saved.id)
        path.write_bytes(good)
    registry.verify(saved.id)


def test_extra_files_links_and_folders_are_refused(registry: Registry, build: Build, tmp_path: Path) -> None:
    files, lineage = build()
    saved = registry.save(files, lineage=lineage)
    folder = registry.root / saved.id

    (folder / "notes.json").write_bytes(b"{}")
    with pytest.raises(ReleaseError, match=r"does not name notes\.json"):
        registry.verify(saved.id)
    (folder / "notes.json").unlink()

    # The right bytes behind a link are refused too: the link can be pointed elsewhere after the check.
    (folder / "spec.json").rename(tmp_path / "spec.json")
    (folder / "spec.json").symlink_to(tmp_path / "spec.json")
    with pytest.raises(ReleaseError, match=r"spec\.json cannot be opened"):
        registry.verify(saved.id)
    (folder / "spec.json").unlink()
    os.mkfifo(folder / "spec.json")
    with pytest.raises(ReleaseError, match=r"spec\.json is not a plain file"):
        registry.verify(saved.id)
    (folder / "spec.json").unlink()
    (folder / "spec.json").mkdir()
    with pytest.raises(ReleaseError, match=r"spec\.json is not a plain file"):
        registry.verify(saved.id)
    (folder / "spec.json").rmdir()
    (tmp_path / "spec.json").rename(folder / "spec.json")

    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    with pytest.raises(ReleaseError, match="is not a folder"):
        registry.verify(saved.id)


def test_a_forged_manifest_is_refused_by_the_id(registry: Registry, build: Build) -> None:
    files, lineage = build()
    saved = registry.save(files, lineage=lineage)
    folder = registry.root / saved.id
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "spec.json").write_bytes(b'{"a": 1}')
    manifest["files"]["spec.json"] = {"size": 8, "sha256": hashlib.sha256(b'{"a": 1}').hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ReleaseError, match=r"manifest\.json was changed"):
        registry.load(saved.id)


@pytest.mark.parametrize(
    "name",
    ["../evil.json", "/etc/a.json", "a/b.json", ".hidden.json", "model.pt", "model.pkl", "A.json", "x.json\n", ""],
)
def test_names_that_could_lead_elsewhere_or_hold_code_are_refused(registry: Registry, build: Build, name: str) -> None:
    files, lineage = build()
    with pytest.raises(ReleaseError, match="cannot be a file of a release"):
        registry.save({**files, name: b"{}"}, lineage=lineage)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", b"{broken"),
        ("metrics.json", b'{"auc": NaN}'),
        ("loss.png", b"GIF89a"),
        ("card.html", b"\xff\xfe"),
        ("teacher.safetensors", b"\x80\x04\x95pickle"),
        ("teacher.safetensors", b"\x02\x00\x00\x00\x00\x00\x00\x00[]"),
        ("teacher.safetensors", (52).to_bytes(8, "little") + b'{"w":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}'),
    ],
)
def test_content_that_is_not_what_the_name_says_is_refused(
    registry: Registry, build: Build, name: str, content: bytes
) -> None:
    files, lineage = build()
    with pytest.raises(ReleaseError, match=name):
        registry.save({**files, name: content}, lineage=lineage)
    assert registry.journal() == []


def test_half_a_release_is_not_saved(registry: Registry, build: Build) -> None:
    files, lineage = build()
    del files["calibrator.json"]
    with pytest.raises(ReleaseError, match=r"calibrator\.json is missing"):
        registry.save(files, lineage=lineage)


@pytest.mark.parametrize("release_id", ["..", "1998-01-05-0a1b2c3d/..", "/etc", "1998-01-05-XYZ", ""])
def test_only_what_looks_like_an_id_becomes_a_path(registry: Registry, release_id: str) -> None:
    with pytest.raises(ReleaseError, match="is not a release id"):
        registry.load(release_id)
