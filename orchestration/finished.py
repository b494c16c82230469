"""Finished trainings, found again by the hash of what they were made from: a retrain that is run again repeats none.

Each is a folder that is there whole or not at all, named by that hash, with the hash of every file in it. The newest
few are kept: what a retrain that was killed, or two that overlap, can still ask for.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from lakehouse.home import PROJECT
from orchestration.progress import progress
from orchestration.ranks import Task
from ranker import Fitted, Ranker, RankerConfig, TrainingConfig, unpack_moments
from registry import Input, code_version
from registry.durable import sync_folder, write_new

# A retrain trains two, the student and its control.
KEPT = 6
CURVE, HASHES = "curve.json", "hashes.json"
UNFINISHED = ".keeping-"
# Who writes for so long was killed.
LEFT_S = 3600


def once(task: Task, *, inputs: Iterable[Input], folder: Path, train: Callable[[], Fitted]) -> Fitted:
    """What a training of these settings on rows of this content came to; `train` is called if none has finished."""
    place = folder / made_of(task, inputs)
    found = find(place)
    if found is not None:
        progress(f"{task.label}: finished before, taken as it is")
        return found
    progress(f"{task.label}: begins")
    fitted = train()
    keep(fitted, place)
    return fitted


def made_of(task: Task, inputs: Iterable[Input]) -> str:
    """A hash over all that the weights follow from: the content of the rows, whatever version holds it, and the rest.

    Ranks of a cluster read whole files each, so there the version counts too.
    """
    plan = task.plan
    rows = [(one.relation, one.content_hash) for one in inputs]
    files = None if plan.num_ranks == 1 else (plan.num_ranks, plan.sampling, plan.examples, plan.teacher_scores)
    start = None if task.start is None else sorted((name, _hash(content)) for name, content in task.start.items())
    settings = (plan.spec, plan.dataset.actions, plan.recipe.random_weight, plan.seed, plan.alpha if task.taught else 0)
    about = (rows, files, start, settings, TrainingConfig(), RankerConfig(), code_version(PROJECT))
    return _hash(repr(about).encode())


def keep(fitted: Fitted, place: Path) -> None:
    """Write a training durably, and let the oldest go."""
    about = {"curve": fitted.curve, "epochs": fitted.epochs, "seconds": fitted.seconds}
    files = {**fitted.to_files(), CURVE: json.dumps(about).encode()}
    hashes = {name: _hash(content) for name, content in files.items()}
    place.parent.mkdir(parents=True, exist_ok=True)
    for left in place.parent.glob(f"{UNFINISHED}*"):
        if left.stat().st_mtime < time.time() - LEFT_S:
            shutil.rmtree(left, ignore_errors=True)
    beside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=place.parent))
    for name, content in {**files, HASHES: json.dumps(hashes).encode()}.items():
        write_new(beside / name, content)
    sync_folder(beside)
    try:
        os.rename(beside, place)
    except OSError:  # a retrain that overlaps with this one was first
        shutil.rmtree(beside)
    sync_folder(place.parent)
    whole = sorted(place.parent.glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime)
    for old in whole[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def find(place: Path) -> Fitted | None:
    """The training that `place` holds; None if there is none. One that was damaged is deleted."""
    if not place.exists():
        return None
    try:
        hashes = json.loads((place / HASHES).read_bytes())
        files = {name: (place / name).read_bytes() for name in hashes}
        if any(_hash(files[name]) != known for name, known in hashes.items()):
            raise ValueError("a file was changed")
        about = json.loads(files.pop(CURVE))
        fitted = Fitted(model=Ranker.from_files(files), moments=unpack_moments(files), **about)
    except (OSError, ValueError, KeyError, TypeError) as error:
        progress(f"{place} cannot be used ({error}): training again")
        shutil.rmtree(place, ignore_errors=True)
        return None
    os.utime(place)
    return fitted


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
