"""500 kills of a publisher while readers follow it, and 10,000 tampered releases (10 minutes).

The publisher saves releases, promotes them, ramps canaries and takes back, as fast as it can, and is killed at some
moment; the next one goes on in the same folder. Readers follow the pointer all the time and load what it names: all
files of a release carry its number, so a pair that is mixed shows. The baseline reader takes the newest folder as it
finds it, as one does without a pointer and hashes.

A tampered release is a real one in which something was changed, added, swapped, cut or linked. Each is loaded as a
server loads it, and what builds tensors is counted. The baseline only parses the files.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import date, timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from unittest.mock import patch

from safetensors.numpy import load as parse_tensors

from benchmarks._figures import FOLDER, Figure, report
from lakehouse.home import Home
from online.server.model import ServedModel
from registry import Holdouts, Registry, ReleaseError
from registry.artifact import MANIFEST
from tests.online import small_service
from tests.registry.conftest import build_release

# A registry of so many releases is left for a new one, so that each round is as long as the first.
KILLS_A_REGISTRY = 50
LONGEST_S = 0.25
READERS = 2
FIRST = date(2000, 1, 3)
# The tensors of `build_release` hold a number and the next one in a byte.
BYTE = 200
PAIR = ("teacher.safetensors", "serving.safetensors", "calibrator.json", "metrics.json")
forking = multiprocessing.get_context("fork")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--tampered", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    folder = FOLDER / "publish"
    shutil.rmtree(folder, ignore_errors=True)
    found = killed(folder / "kills", kills=arguments.kills, seed=arguments.seed)
    built = tampered(folder / "tampered", number=arguments.tampered, seed=arguments.seed)
    report("publish", [*kill_figures(found, kills=arguments.kills), *tamper_figures(built)])
    shutil.rmtree(folder)


def numbered(number: int, week: int) -> tuple[dict[str, bytes], Any]:
    """A release of a week, all of whose files carry its number."""
    files, lineage = build_release((FIRST + timedelta(weeks=week)).isoformat(), number % BYTE)
    content = json.dumps({"number": number, "auc": 0.7}).encode()
    return files | {"calibrator.json": content, "metrics.json": content}, lineage


def publish_for_ever(root: Path, seed: int) -> None:
    """Saves, promotes, ramps, reverts; what is refused, because the last one was killed in between, is let go."""
    chance, registry = random.Random(seed), Registry(root)
    number = seed * 1_000
    while True:
        number += 1
        pointer = registry.pointer()
        live = pointer.production
        week = 0 if live is None else (date.fromisoformat(live[:10]) - FIRST).days // 7 + 1
        with suppress(ReleaseError):
            files, lineage = numbered(number, week)
            saved = registry.save(files, lineage=lineage).id
            version = registry.pointer().version
            holdouts = Holdouts(share=0.1, long_share=0.01) if chance.random() < 0.5 else None
            match chance.randrange(5):
                case 0:
                    registry.start_canary(saved, share=0.01, expected_version=version, reason="a kill is near")
                case 1:
                    registry.ramp_canary(share=chance.random(), expected_version=version, reason="a kill is near")
                case 2:
                    registry.revert_canary(reason="a kill is near")
                case 3:
                    registry.revert(reason="a kill is near")
                case _:
                    registry.promote(saved, expected_version=version, reason="a kill is near", holdouts=holdouts)


def read_for_ever(root: Path, over: Event, answers: "Queue[Counter[str]]") -> None:
    """Follow the pointer, and beside it what a reader without one would take."""
    found, registry = Counter[str](), Registry(root)
    while not over.is_set():
        try:
            releases = registry.pointer().releases
            for release in releases:
                artifact = registry.load(release)
                found["loaded"] += 1
                found["mixed"] += is_mixed(artifact.files)
        except ReleaseError as error:
            found["refused"] += 1
            print(f"refused: {error}", flush=True)
        found["newest, broken"] += not is_whole(root)
        found["newest"] += 1
    answers.put(found)


def is_mixed(files: Any) -> bool:
    """Whether files of two releases stand together: teacher and serving weights are of one number, as the JSON is."""
    teacher, serving = (parse_tensors(files[name])["weight"][0] for name in PAIR[:2])
    numbers = {json.loads(files[name])["number"] for name in PAIR[2:]}
    return len(numbers) != 1 or int(serving) != int(teacher) + 1 or int(teacher) != numbers.pop() % BYTE


def is_whole(root: Path) -> bool:
    """Whether the newest folder, taken as it is found, holds a pair; so it is where there is no folder yet."""
    try:
        folders = [path for path in root.iterdir() if path.is_dir()]
        newest = max(folders, key=lambda path: path.stat().st_mtime_ns, default=None)
        return newest is None or not is_mixed({name: (newest / name).read_bytes() for name in PAIR})
    except Exception:
        return False


def killed(folder: Path, *, kills: int, seed: int) -> Counter[str]:
    """What readers saw over all kills, and what the registry says of itself after each."""
    chance, found = random.Random(seed), Counter[str]()
    for first in range(0, kills, KILLS_A_REGISTRY):
        root = folder / f"{first:05d}" / "releases"
        root.mkdir(parents=True)
        over, answers = forking.Event(), forking.Queue()
        readers = [forking.Process(target=read_for_ever, args=(root, over, answers)) for _ in range(READERS)]
        for reader in readers:
            reader.start()
        for number in range(first, min(first + KILLS_A_REGISTRY, kills)):
            publisher = forking.Process(target=publish_for_ever, args=(root, seed + number))
            publisher.start()
            time.sleep(chance.random() * LONGEST_S)
            assert publisher.pid is not None
            os.kill(publisher.pid, signal.SIGKILL)
            publisher.join()
            found["disagreements"] += disagreements(Registry(root))
        over.set()
        for _ in readers:
            found += answers.get()
        for reader in readers:
            reader.join()
        print(f"{min(first + KILLS_A_REGISTRY, kills)} kills: {dict(found)}", flush=True)
        shutil.rmtree(root.parent)
    return found


def disagreements(registry: Registry) -> int:
    """How many things do not agree right after a kill, before anybody mends them: pointer, journal, releases."""
    try:
        pointer, journal = registry.pointer(), registry.journal()
        versions = [entry.details["pointer_version"] for entry in journal if "pointer_version" in entry.details]
        for release in pointer.releases:
            registry.verify(release)
        return (versions != list(range(1, pointer.version + 1))) + (
            [entry.number for entry in journal] != list(range(1, len(journal) + 1))
        )
    except ReleaseError as error:
        print(f"after a kill: {error}", flush=True)
        return 1


Tamper = Callable[[Path, Path, random.Random], None]


def a_file(folder: Path, chance: random.Random) -> Path:
    return chance.choice(sorted(folder.iterdir()))


def flip(folder: Path, _: Path, chance: random.Random) -> None:
    path = a_file(folder, chance)
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut(folder: Path, _: Path, chance: random.Random) -> None:
    path = a_file(folder, chance)
    os.truncate(path, chance.randrange(path.stat().st_size))


def grow(folder: Path, _: Path, chance: random.Random) -> None:
    with a_file(folder, chance).open("ab") as file:
        file.write(chance.randbytes(chance.randrange(1, 100)))


def swap(folder: Path, other: Path, chance: random.Random) -> None:
    """A file of another release; those that are the same in both are no change."""
    paths = [path for path in sorted(folder.iterdir()) if path.read_bytes() != (other / path.name).read_bytes()]
    path = chance.choice(paths)
    shutil.copyfile(other / path.name, path)


def swap_all(folder: Path, other: Path, _: random.Random) -> None:
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


def remove(folder: Path, _: Path, chance: random.Random) -> None:
    a_file(folder, chance).unlink()


def add(folder: Path, _: Path, chance: random.Random) -> None:
    name = chance.choice(["notes.json", "Model.safetensors", ".hidden", "weights.pkl", "ｓpec.json", "a.py"])
    (folder / name).write_bytes(b"{}")


def rename(folder: Path, _: Path, chance: random.Random) -> None:
    path = a_file(folder, chance)
    path.rename(path.with_name(chance.choice([path.name.upper(), f"{path.name}.bak", f" {path.name}"])))


def link(folder: Path, _: Path, chance: random.Random) -> None:
    """The right bytes behind a link, which can be pointed elsewhere later."""
    path = a_file(folder, chance)
    away = folder.parent / "away"
    away.mkdir(exist_ok=True)
    path.replace(away / path.name)
    path.symlink_to(away / path.name)


def link_folder(folder: Path, _: Path, __: random.Random) -> None:
    away = folder.parent / "away"
    folder.rename(away)
    folder.symlink_to(away)


def pipe(folder: Path, _: Path, chance: random.Random) -> None:
    path = a_file(folder, chance)
    path.unlink()
    os.mkfifo(path)


def folder_instead(folder: Path, _: Path, chance: random.Random) -> None:
    path = a_file(folder, chance)
    path.unlink()
    path.mkdir()


def restate(folder: Path, _: Path, chance: random.Random) -> None:
    """A changed file, and a manifest that says so."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    path = folder / chance.choice(sorted(manifest["files"]))
    content = path.read_bytes() + b" "
    path.write_bytes(content)
    manifest["files"][path.name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def escape(folder: Path, _: Path, chance: random.Random) -> None:
    """A manifest that names what lies elsewhere."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    name = chance.choice(sorted(manifest["files"]))
    entry = manifest["files"].pop(name)
    manifest["files"][chance.choice([f"../{name}", f"/etc/{name}", f"a/{name}", f"{name}\x00"])] = entry
    (folder / MANIFEST).write_text(json.dumps(manifest))


def bury(folder: Path, _: Path, chance: random.Random) -> None:
    """A manifest that nobody can parse: too deep, too long, or of another form."""
    too_long = b'{"files": ' + b" " * (2 << 20) + b"{}}"
    content = chance.choice([b"[" * 100_000, too_long, b"[]", b"", b'{"files": 7}', b"\xff"])
    (folder / MANIFEST).write_bytes(content)


TAMPERS: tuple[Tamper, ...] = (
    flip,
    cut,
    grow,
    swap,
    swap_all,
    remove,
    add,
    rename,
    link,
    link_folder,
    pipe,
    folder_instead,
    restate,
    escape,
    bury,
)


def tampered(folder: Path, *, number: int, seed: int) -> Counter[str]:
    """How many tampered releases were refused, and what was built of one before; and what a parser takes."""
    chance, found = random.Random(seed), Counter[str]()
    home = Home((folder / "home").resolve())
    releases = [small_service.release(home, seed=one, week=f"2026-03-{2 + 7 * one:02d}") for one in range(2)]
    registry = Registry(home.releases)
    whole = {release: folder / release for release in releases}
    for release, kept in whole.items():
        shutil.copytree(home.releases / release, kept)
    with patch("ranker.Ranker.from_files", side_effect=AssertionError("a tensor was about to be built")) as built:
        for done in range(number):
            release, other = chance.sample(releases, 2)
            tamper = TAMPERS[done % len(TAMPERS)]
            place = home.releases / release
            tamper(place, whole[other], chance)
            try:
                ServedModel.load(registry, release)
                found["accepted"] += 1
            except ReleaseError:
                found["refused"] += 1
            except AssertionError:
                found["accepted"] += 1
                print(f"{tamper.__name__} was not refused", flush=True)
            found["parsed"] += parses(place)
            restore(place, whole[release])
        found["tensors"] = built.call_count
    for release in releases:
        registry.verify(release)
    return found


def parses(folder: Path) -> bool:
    """Whether somebody who verifies nothing would have served it."""
    try:
        for name in PAIR:
            content = (folder / name).read_bytes() if (folder / name).is_file() else b""
            parse_tensors(content) if name.endswith(".safetensors") else json.loads(content)
    except Exception:
        return False
    return True


def restore(folder: Path, whole: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder.parent / "away", ignore_errors=True)
    shutil.copytree(whole, folder)


def kill_figures(found: Counter[str], *, kills: int) -> list[Figure]:
    wrong = found["mixed"] + found["refused"]
    return [
        Figure(
            figure=f"invalid or mixed of {found['loaded']:,} pairs that readers loaded during {kills} kills; baseline "
            f"the newest folder, read {found['newest']:,} times",
            ours=wrong,
            baseline=found["newest, broken"],
            goal="0",
            holds=wrong == 0 and found["loaded"] > 0,
        ),
        Figure(
            figure="kills after which pointer, journal and releases disagree; baseline all",
            ours=found["disagreements"],
            baseline=kills,
            goal="0",
            holds=found["disagreements"] == 0,
        ),
    ]


def tamper_figures(found: Counter[str]) -> list[Figure]:
    total = found["accepted"] + found["refused"]
    return [
        Figure(
            figure=f"tampered releases not refused, of {total:,} in {len(TAMPERS)} ways; baseline that parse",
            ours=found["accepted"],
            baseline=found["parsed"],
            goal="0",
            holds=found["accepted"] == 0,
        ),
        Figure(
            figure="models begun to be built of them, baseline all",
            ours=found["tensors"],
            baseline=total,
            goal="0",
            holds=found["tensors"] == 0,
        ),
    ]


if __name__ == "__main__":
    main()
