"""The order of training: one shuffle of the whole set by seed, from an order that only the content decides."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor


def content_order(event_ids: pa.Array) -> npt.NDArray[np.int64]:
    """Rows in ascending order of event id: the same for any layout of the same rows over files and row groups.

    Raises ValueError if an event id occurs twice (the order would then depend on the layout).

    >>> content_order(pa.array(["b", "c", "a"]))
    array([2, 0, 1])
    """
    distinct = pc.count_distinct(event_ids).as_py()
    if distinct != len(event_ids):
        raise ValueError(f"{len(event_ids) - distinct} event ids occur more than once; an example is one row")
    return pc.sort_indices(event_ids).to_numpy().astype(np.int64)


def shuffled_batches(num_rows: int, *, batch_size: int, seed: int, epoch: int) -> Iterator[Tensor]:
    """Row indices of each batch of one epoch, a permutation of all rows drawn from (seed, epoch).

    On disk positives come first; training never sees that order.

    >>> [sorted(batch.tolist()) for batch in shuffled_batches(3, batch_size=3, seed=1, epoch=0)]
    [[0, 1, 2]]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
    order = np.random.Generator(np.random.PCG64([seed, epoch])).permutation(num_rows)
    for start in range(0, num_rows, batch_size):
        yield torch.from_numpy(order[start : start + batch_size])
