"""Pseudonyms: what stands for a person, an item or a request in everything that is written.

A field that online.yml names under `hashed` is replaced by keyed BLAKE2b (RFC 7693) as soon as a request or an event
is decoded: lookups, draws, logs and rows know the pseudonym alone. Without the key nobody can tell whose it is, nor try
out names. The same name always gets the same pseudonym, so rows join as before.
"""

from collections.abc import Collection
from hashlib import blake2b
from pathlib import Path

import msgspec

from online.access import secret_of
from online.collector.events import Batch, Event
from online.server.messages import Candidate, RankRequest
from online.settings import FIELDS

KEY_VARIABLE, KEY_FILE = "STILLHOUSE_HASH_KEY", "hash-key"
LEAST_KEY = 32


def pseudonym(name: str, *, field: str, key: str) -> str:
    """32 hexadecimal digits that stand for `name` in `field`; the same name in another field has others.

    >>> pseudonym("u42", field="user_id", key="a key that nobody can guess 0123")
    'fe50b5828ed6a8d7204db9c31fbf41f4'
    """
    return _digits(_hash_of(field, key), name)


class Pseudonyms:
    """The names of the hashed fields replaced, all others as they are.

    Raises ValueError if there are fields and no key, and for a field that cannot be hashed.
    """

    def __init__(self, fields: Collection[str], *, key: str | None) -> None:
        if unknown := sorted(set(fields) - set(FIELDS)):
            raise ValueError(f"{unknown} cannot be hashed; the fields that can are {FIELDS}")
        if fields and key is None:
            raise ValueError(
                f"{', '.join(fields)} is to be hashed, and there is no key: set {KEY_VARIABLE}, or put one of at least "
                f"{LEAST_KEY} characters into the 0600 file online/{KEY_FILE} of the home. Keep it: with another key "
                "everybody would be somebody new"
            )
        self._hashes = {field: _hash_of(field, key or "") for field in fields}
        self._of_events = [field for field in ("event_id", "request_id", "item_id") if field in self._hashes]

    @classmethod
    def of_home(cls, fields: Collection[str], folder: Path) -> "Pseudonyms":
        """With the key from the environment or a file of `folder`; it is not looked for where nothing is hashed."""
        return cls(fields, key=key_of(folder) if fields else None)

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def of(self, field: str, name: str) -> str:
        """What stands for a name: itself where its field is not hashed."""
        return _digits(self._hashes[field], name) if field in self._hashes else name

    def request(self, request: RankRequest) -> RankRequest:
        """The request as everything but its answer knows it."""
        if not self._hashes:
            return request
        return msgspec.structs.replace(
            request,
            request=self.of("request_id", request.request),
            user=self.of("user_id", request.user),
            candidates=[self._candidate(one) for one in request.candidates],
        )

    def _candidate(self, candidate: Candidate | str) -> Candidate | str:
        if isinstance(candidate, str):
            return self.of("item_id", candidate)
        return msgspec.structs.replace(candidate, item=self.of("item_id", candidate.item))

    def batch(self, batch: Batch) -> Batch:
        """The events as everything knows them. Of what is no event nobody can say what it names: its text goes."""
        if not self._hashes:
            return batch
        return Batch(
            [self._event(one) for one in batch.events], [one.untold() for one in batch.unfit], batch.num_refused
        )

    def _event(self, event: Event) -> Event:
        if not self._of_events:
            return event
        hashed = {field: _digits(self._hashes[field], getattr(event, field)) for field in self._of_events}
        return msgspec.structs.replace(event, **hashed)


def key_of(folder: Path) -> str | None:
    """The key from the environment, or from a file of `folder` that nobody but its owner can read; None without."""
    return secret_of(KEY_VARIABLE, folder / KEY_FILE, least=LEAST_KEY)


def _hash_of(field: str, key: str) -> blake2b:
    """The hash of a field before it is given a name; BLAKE2b takes keys of at most 64 bytes, ours have any length."""
    return blake2b(digest_size=16, key=blake2b(key.encode()).digest(), person=field.encode())


def _digits(begun: blake2b, name: str) -> str:
    hashed = begun.copy()
    hashed.update(name.encode())
    return hashed.hexdigest()
