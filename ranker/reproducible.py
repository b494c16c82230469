"""A stretch of torch work that gives the same bits each time on one machine."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reproducible(*, seed: int, num_threads: int) -> Iterator[None]:
    """A seeded generator, deterministic kernels and a fixed number of threads; what was set before comes back."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng(devices=[]):
        try:
            torch.manual_seed(seed)
            torch.set_num_threads(num_threads)
            torch.use_deterministic_algorithms(True)
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            torch.set_num_threads(threads)
