"""Which events came lately: exact duplicates are told from new ones within a window of the last events."""

from collections.abc import Iterable

from xxhash import xxh64_intdigest


class Window:
    """Remembers at least the last `size` ids, and at most twice as many, by hashes of 64 bits."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._new: set[int] = set()
        self._old: set[int] = set()

    def add(self, identity: str) -> bool:
        """Whether it is new; it is known from now on."""
        key = xxh64_intdigest(identity.encode())
        if key in self._new or key in self._old:
            return False
        if len(self._new) >= self._size:
            self._new, self._old = set(), self._new
        self._new.add(key)
        return True

    def discard(self, identities: Iterable[str]) -> None:
        keys = {xxh64_intdigest(one.encode()) for one in identities}
        self._new -= keys
        self._old -= keys
