"""Stable hash buckets for categorical values: the same value lands in the same bucket on every machine and day."""

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MISSING = 0


def buckets(values: pa.Array | pa.ChunkedArray, *, feature: str, cardinality: int) -> npt.NDArray[np.int64]:
    """Bucket of each value: 1 + blake2b(feature ‖ 0 ‖ text of the value) mod cardinality; null and '' get 0.

    Only the distinct values are hashed, and of a dictionary array its words. The feature's name is part of the hash, so
    two features that share values collide in different places. 7 (integer) and '7' (text) have the same text and share
    a bucket.

    >>> drama, missing = buckets(pa.array(["Drama", None]), feature="genre", cardinality=8)
    >>> 1 <= drama <= 8, missing
    (np.True_, np.int64(0))
    """
    if cardinality < 1:
        raise ValueError(f"cardinality of {feature!r} is {cardinality}; it must be at least 1")
    text = values if pa.types.is_dictionary(values.type) else pc.cast(values, pa.large_string())
    encoded = (text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text).dictionary_encode()
    words = pc.fill_null(pc.cast(encoded.dictionary, pa.large_string()), "").to_pylist()
    distinct = np.array([MISSING, *(_bucket(word, feature, cardinality) for word in words)], dtype=np.int64)
    # Nulls have no code; −1 + 1 points them at the reserved first entry.
    codes = pc.fill_null(pc.cast(encoded.indices, pa.int64()), -1).to_numpy(zero_copy_only=False)
    return distinct[codes + 1]


def _bucket(value: str, feature: str, cardinality: int) -> int:
    if value == "":
        return MISSING
    digest = blake2b(f"{feature}\0{value}".encode(), digest_size=8).digest()
    return 1 + int.from_bytes(digest, "little") % cardinality
