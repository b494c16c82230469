"""A stretch of torch work that gives the same bits each time on one machine."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reproducible(*, seed: int, num_threads: int) -> Iterator[None]:
    """A seeded generator, deterministic kernels and a fixed number of threads; what was set before comes back.

    Set by the debug mode: `use_deterministic_algorithms` does the same and imports torch's compiler, which takes 2 s.
    """
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    with torch.random.fork_rng(devices=[]):
        try:
            torch.manual_seed(seed)
            torch.set_num_threads(num_threads)
            torch.set_deterministic_debug_mode("error")
            yield
        finally:
            torch.set_deterministic_debug_mode(mode)
            torch.set_num_threads(threads)
