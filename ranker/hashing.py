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
    words, codes = _words(values)
    known = np.array([bucket(word, feature=feature, cardinality=cardinality) for word in words], dtype=np.int64)
    return np.r_[MISSING, known][codes + 1]


def bucket(word: str, *, feature: str, cardinality: int) -> int:
    """The bucket of one value, as `buckets` has it."""
    return 1 + _hash(word, feature) % cardinality if word else MISSING


def hashes(values: pa.Array | pa.ChunkedArray, *, salt: str) -> npt.NDArray[np.uint64]:
    """blake2b(salt ‖ 0 ‖ text of the value) of each value, its first 64 bits; null gets 0."""
    words, codes = _words(values)
    return np.array([0, *(_hash(word, salt) for word in words)], dtype=np.uint64)[codes + 1]


def _words(values: pa.Array | pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The distinct texts of the values, and the place of each row's among them; −1 for null."""
    text = values if pa.types.is_dictionary(values.type) else pc.cast(values, pa.large_string())
    encoded = (text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text).dictionary_encode()
    words = pc.fill_null(pc.cast(encoded.dictionary, pa.large_string()), "").to_pylist()
    return words, pc.fill_null(pc.cast(encoded.indices, pa.int64()), -1).to_numpy(zero_copy_only=False)


def _hash(word: str, salt: str) -> int:
    return int.from_bytes(blake2b(f"{salt}\0{word}".encode(), digest_size=8).digest(), "little")
