"""The feature log: what the ranking server used for each request, until it is known what was seen and done.

An LMDB environment for each hour in which requests were answered; hours that are too old are deleted whole. Several
servers write and several collectors read, in processes of their own on one machine; a process that is killed leaves it
as it was. Nothing is brought to the disk on purpose: of a machine that goes down, what nobody had seen yet is lost.

An environment keeps what was deleted in pages that it may use again. So to forget a person is to write their hours anew
without them, as `<hour>.1`, `<hour>.2` …: of one hour the newest counts, and the others go.
"""

import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any

import lmdb
import msgspec
import zstandard
from xxhash import xxh3_128_digest

HOUR = "%Y-%m-%dT%H"
DRAFT = ".anew-"
# The file grows with what is in it; this is only the address space that it may grow into.
MOST_BYTES = 1 << 36


class LoggedRequest(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A request as it was answered, its N candidates in the order of the answer.

    positions: None for one that was not placed, which only random traffic keeps. `propensity` is that of every
    candidate at every place, None where chance did not order. `shared` are the features that all candidates had in
    common, `features` those of each, in lists of N.
    """

    request_id: str
    user_id: str
    surface: str
    served_at: str
    traffic: str
    release_id: str
    features_as_of: str
    propensity: float | None
    item_ids: list[str]
    positions: list[int | None]
    scores: list[float]
    shared: dict[str, Any]
    features: dict[str, list[Any]]

    def place_of(self, item_id: str) -> int | None:
        """Where an item stands among the candidates; None for one that was none of them."""
        try:
            return self.item_ids.index(item_id)
        except ValueError:
            return None

    def features_of(self, candidate: int) -> dict[str, Any]:
        """The features of the n-th candidate by name."""
        return self.shared | {name: values[candidate] for name, values in self.features.items()}


class FeatureLog:
    """The log in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._encoder, self._decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(LoggedRequest)

    def write(self, requests: Iterable[LoggedRequest], *, now: datetime | None = None) -> None:
        """Keep them under the present hour. A request that is answered again replaces what was kept of it.

        Raises lmdb.Error where there is no room.
        """
        compressor = zstandard.ZstdCompressor(level=1)
        hour = f"{now or datetime.now(UTC):{HOUR}}"
        with self._writing(hour) as transaction:
            for request in requests:
                transaction.put(_key(request.request_id), compressor.compress(self._encoder.encode(request)))

    @contextmanager
    def _writing(self, hour: str) -> Iterator[lmdb.Transaction]:
        """The right to write an hour, in its newest environment: it may have been replaced while this waited for it."""
        while True:
            name = self._newest(hour)
            with _environment(self._folder / name).begin(write=True) as transaction:
                if self._newest(hour) == name:
                    yield transaction
                    return

    def _newest(self, hour: str) -> str:
        """The name of the environment that counts for an hour; that of its first where it has none yet."""
        return max((name for name in self.hours() if name.partition(".")[0] == hour), key=_generation, default=hour)

    def read(self, request_ids: Iterable[str]) -> dict[str, LoggedRequest]:
        """Those of the requests that are known, by id; of one in two hours the later."""
        missing, found = set(request_ids), {}
        decompressor = zstandard.ZstdDecompressor()
        for hour in reversed(self.hours()):
            if not missing:
                break
            with _environment(self._folder / hour).begin(buffers=True) as transaction:
                for request_id in tuple(missing):
                    value = transaction.get(_key(request_id))
                    if value is not None:
                        found[request_id] = self._decoder.decode(decompressor.decompress(value))
                        missing.discard(request_id)
        return found

    def hours(self) -> list[str]:
        """The environments that are kept, the oldest first."""
        if not self._folder.exists():
            return []
        found = (path.name for path in self._folder.iterdir() if (path / "data.mdb").exists())
        return sorted((name for name in found if not name.startswith(".")), key=_age)

    def expire(self, *, hours: int, now: datetime | None = None) -> list[str]:
        """Delete what is older than so many hours; the hours that went."""
        last = f"{(now or datetime.now(UTC)) - timedelta(hours=hours):{HOUR}}"
        old = [hour for hour in self.hours() if hour < last]
        for hour in old:
            shutil.rmtree(self._folder / hour, ignore_errors=True)
        return old

    def of_users(self, user_ids: Collection[str]) -> set[str]:
        """The ids of the requests of these users."""
        found: set[str] = set()
        for name in self.hours():
            with _environment(self._folder / name).begin() as transaction:
                found.update(request.request_id for _, request in self._all(transaction) if request.user_id in user_ids)
        return found

    def forget(self, user_ids: Collection[str]) -> set[str]:
        """Delete every request of these users, and all that an environment remembers of them; the ids of the requests.

        Killed half-way and run again, it goes on. Servers and collectors go on meanwhile; of an hour that is written
        anew, servers wait until it is.
        """
        gone: set[str] = set()
        for hour in sorted({name.partition(".")[0] for name in self.hours()}):
            gone |= self._forget_in(hour, user_ids)
        for draft in self._folder.glob(f"{DRAFT}*"):
            shutil.rmtree(draft)
        return gone

    def _forget_in(self, hour: str, user_ids: Collection[str]) -> set[str]:
        with self._writing(hour) as transaction:
            name = self._newest(hour)
            theirs = {key: request.request_id for key, request in self._all(transaction) if request.user_id in user_ids}
            if theirs:
                draft = self._folder / f"{DRAFT}{hour}"
                shutil.rmtree(draft, ignore_errors=True)
                _write_anew(draft, ((key, value) for key, value in transaction.cursor() if key not in theirs))
                name = f"{hour}.{_generation(name) + 1}"
                draft.rename(self._folder / name)
            for old in self.hours():
                if old != name and old.partition(".")[0] == hour:
                    shutil.rmtree(self._folder / old)
        return set(theirs.values())

    def _all(self, transaction: lmdb.Transaction) -> Iterator[tuple[bytes, LoggedRequest]]:
        decompressor = zstandard.ZstdDecompressor()
        for key, value in transaction.cursor():
            yield key, self._decoder.decode(decompressor.decompress(value))


def _generation(name: str) -> int:
    """How often an hour was written anew until this environment."""
    return int(name.partition(".")[2] or 0)


def _age(name: str) -> tuple[str, int]:
    return name.partition(".")[0], _generation(name)


def _write_anew(folder: Path, rows: Iterable[tuple[bytes, bytes]]) -> None:
    folder.mkdir()
    with (
        lmdb.open(str(folder), map_size=MOST_BYTES, sync=False) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key, value in rows:
            transaction.put(key, value, append=True)


# LMDB wants a file opened once in a process.
_environments: dict[Path, lmdb.Environment] = {}
_lock = Lock()


def _environment(folder: Path) -> lmdb.Environment:
    folder = folder.resolve()
    with _lock:
        if folder not in _environments:
            _close_deleted(beside=folder)
            folder.mkdir(parents=True, exist_ok=True)
            environment = lmdb.open(str(folder), map_size=MOST_BYTES, sync=False, max_readers=512)
            # Whoever was killed while reading would keep pages from being used again.
            environment.reader_check()
            _environments[folder] = environment
        return _environments[folder]


def _close_deleted(*, beside: Path) -> None:
    """Give back what deleted environments take on the disk for as long as somebody has them open."""
    for folder in [one for one in _environments if one.parent == beside.parent and not one.exists()]:
        _environments.pop(folder).close()


def _key(request_id: str) -> bytes:
    """Keys are short, ids need not be."""
    return xxh3_128_digest(request_id.encode())
