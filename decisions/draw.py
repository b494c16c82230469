"""Chance as a hash: the same draw for the same id and salt in Python, in Spark SQL, on any day."""

from xxhash import xxh64_intdigest

# What Spark's xxhash64 begins with.
SPARK_SEED = 42


def draw(identity: str, *, salt: str) -> float:
    """A number in [0, 1) of 53 bits, as macros/draw.sql draws it: xxhash64(salt/identity).

    Each purpose has a salt of its own. One draw shared by two of them would make them depend on each other: of what the
    collector keeps, the sampler would keep all or nothing.

    >>> draw("u1", salt="random-slice-1")
    0.9402172976970357
    """
    return (xxh64_intdigest(f"{salt}/{identity}".encode(), seed=SPARK_SEED) >> 11) * 2.0**-53
