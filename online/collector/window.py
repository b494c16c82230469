"""Which events came lately: exact duplicates are told from new ones within a window of the last events."""

from collections.abc import Iterable

from xxhash import xxh64_intdigest


class Window:
    """Remembers at least the last `size` ids, and at most twice as many, by hashes of 64 bits."""

    def __init__(self, size: int) -> None:
        self._size = size
        # Dicts and not sets: the collector of garbage does not walk through a dict of numbers, and through a million of
        # them it would take as long as a batch may.
        self._new: dict[int, None] = {}
        self._old: dict[int, None] = {}

    def add(self, identity: str) -> bool:
        """Whether it is new; it is known from now on."""
        key = xxh64_intdigest(identity.encode())
        if key in self._new or key in self._old:
            return False
        if len(self._new) >= self._size:
            self._new, self._old = {}, self._new
        self._new[key] = None
        return True

    def discard(self, identities: Iterable[str]) -> None:
        for one in identities:
            key = xxh64_intdigest(one.encode())
            self._new.pop(key, None)
            self._old.pop(key, None)
