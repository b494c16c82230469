"""Seeded chance: independent generators by name, and draws that are hashes of what they decide on."""

import zlib

import numpy as np
from numpy.typing import NDArray


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A generator of its own for each name, so that drawing more for one thing changes nothing elsewhere."""
    numbers = (zlib.crc32(name.encode()) if isinstance(name, str) else name for name in names)
    return np.random.default_rng([seed, *numbers])


def draw(numbers: NDArray[np.integer], *, salt: str, seed: int) -> NDArray[np.float64]:
    """One draw in [0, 1) per number: the top 53 bits of splitmix64 of the number and of a key from salt and seed.

    Other salts give independent draws (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195).

    >>> draw(np.arange(3), salt="random slice", seed=1).round(4).tolist()
    [0.6546, 0.9141, 0.0584]
    """
    key = _mix(np.array([(seed << 32) + zlib.crc32(salt.encode())], dtype=np.uint64))
    return (_mix(numbers.astype(np.uint64) ^ key) >> np.uint64(11)) / 2.0**53


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's step: a bijection of 64 bits that leaves no pattern of its input."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
