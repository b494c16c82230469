"""Ids as numbers, in the order of which snapshots are written and searched."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh64_intdigest


def keys_of(ids: Sequence[str]) -> NDArray[np.uint64]:
    """A key of 64 bits for each id.

    >>> keys_of(["i1", "i1", "i2"]).tolist()
    [3410491466200771940, 3410491466200771940, 6467775973143590155]
    """
    return np.fromiter((xxh64_intdigest(one.encode()) for one in ids), dtype=np.uint64, count=len(ids))
