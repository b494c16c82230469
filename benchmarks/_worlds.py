"""What a benchmark finds in each simulated world: as many at once as there are cores, each kept for the next run."""

import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

from benchmarks._figures import FOLDER

Found = TypeVar("Found")


def found_in_worlds(name: str, one_world: Callable[[int], Found], *, seeds: Iterable[int]) -> list[Found]:
    """What `one_world` says of each seed, in their order; what an earlier run of this name found stands.

    one_world: a function of a module, for processes of its own; what it finds must be JSON.
    """
    # One thread a process: NumPy's own would wait for each other.
    os.environ["OMP_NUM_THREADS"] = "1"
    paths = {seed: FOLDER / name / f"{seed}.json" for seed in seeds}
    missing = [seed for seed, path in paths.items() if not path.exists()]
    for seed in paths.keys() - missing:
        print(f"world {seed}: as an earlier run found it, {paths[seed]}", flush=True)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        running = {processes.submit(one_world, seed): seed for seed in missing}
        for done in as_completed(running):
            path = paths[running[done]]
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(done.result(), indent=2, ensure_ascii=False) + "\n")
            part.replace(path)
            print(f"world {running[done]}: kept in {path}", flush=True)
    return [json.loads(path.read_text()) for path in paths.values()]
