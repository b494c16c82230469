"""A training shared out over the workers of the Spark cluster: torch's ranks as Spark's tasks, each with its own files.

The ranks read the pinned version themselves; nothing of it passes through the driver. The first one writes the model
to a folder of the home, which all must see.
"""

import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch.distributed as dist

from lakehouse import cluster
from lakehouse.home import Home
from lakehouse.session import connect
from orchestration.plan import Plan, open_training_rows
from orchestration.progress import progress
from orchestration.teaching import logged_logits
from ranker import Examples, Fitted

POLL_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """One training of a plan: with its teacher or without, from the files of a model or afresh, and what it is called.

    checkpoint: where it goes on from after a kill.
    """

    plan: Plan
    taught: bool
    label: str
    start: dict[str, bytes] | None = None
    checkpoint: Path | None = None


def fit_in_ranks(task: Task, *, fit_rank: Callable[..., Fitted], home: Home) -> Fitted:
    """Run a task in `plan.num_ranks` processes of the cluster, and return what the first rank fitted.

    fit_rank: trains a rank's share, `fit_rank(task, chunks, teacher, say)`; a function of a module.
    Raises ValueError without a cluster, or if it has fewer cores than ranks: Spark would wait for more for ever.
    """
    num_ranks, running = task.plan.num_ranks, cluster.status(home)
    if running is None or num_ranks > cluster.NUM_CORES:
        there = "there is no cluster" if running is None else f"the cluster has {cluster.NUM_CORES} cores"
        raise ValueError(
            f"{num_ranks} ranks were asked for and {there}; `stillhouse up --cluster` starts one of "
            f"{cluster.NUM_CORES} cores"
        )
    from pyspark.ml.torch.distributor import TorchDistributor

    connect(home)
    home.exchange.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=home.exchange, prefix="ranks-") as folder, ThreadPoolExecutor(1) as beside:
        distributor = TorchDistributor(num_processes=num_ranks, local_mode=False, use_gpu=False)
        done = beside.submit(distributor.run, train_rank, pickle.dumps((task, fit_rank)), folder)
        said = ""
        while not done.done():
            said = heard(Path(folder) / "progress", said)
            time.sleep(POLL_S)
        done.result()
        fitted: Fitted = pickle.loads((Path(folder) / "fitted").read_bytes())
    return fitted


def heard(path: Path, before: str) -> str:
    """Pass on what the first rank said last, once."""
    line = path.read_text() if path.exists() else ""
    if line and line != before:
        progress(line)
    return line


def train_rank(pickled: bytes, folder: str) -> None:
    """One rank: read its own files, train with the others, and leave the result, if it is the first."""
    task: Task
    task, fit_rank = pickle.loads(pickled)
    dist.init_process_group("gloo")
    try:
        rank, num_ranks = dist.get_rank(), dist.get_world_size()
        reader = open_training_rows(task.plan, rank=rank, num_ranks=num_ranks)
        chunks = Examples.chunks(reader, spec=task.plan.spec, actions=task.plan.dataset.actions)
        teacher = logged_logits(task.plan) if task.taught else None

        def say(line: str) -> None:
            if rank == 0:
                part = Path(folder) / "progress.part"
                part.write_text(line)
                part.rename(Path(folder) / "progress")

        fitted = fit_rank(task, chunks, teacher, say)
        if rank == 0:
            (Path(folder) / "fitted").write_bytes(pickle.dumps(fitted))
    finally:
        dist.destroy_process_group()
