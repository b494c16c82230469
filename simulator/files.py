"""Landing files: each holds the rows of one stream that became known on one day, and appears whole or not at all."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock

from lakehouse.dataset import Dataset
from lakehouse.home import Home

# Whoever reads a landing file holds it in memory: 100,000 rows are about 45 MB.
ROWS_PER_FILE = 100_000

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Period:
    """The days [since, until) whose events land; None leaves a side open.

    States of users and items land from the beginning up to `until`: an event needs the states before it.
    """

    since: date | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError(f"from is {self.since} and until is {self.until}; from must lie before until")

    def holds_event_of(self, day: date) -> bool:
        return (self.since is None or self.since <= day) and self.holds_state_of(day)

    def holds_state_of(self, day: date) -> bool:
        return self.until is None or day < self.until


ALL_DAYS = Period()


class Landing:
    """The landing zone of one home, opened by one writer at a time for one data set.

    File names follow from data set, stream and day, and content from these, so a period that lands again finds its
    files there and leaves them as they are: landing in steps gives the same bytes as landing at once.
    """

    def __init__(self, home: Home, dataset: Dataset) -> None:
        self.folder = home.landing
        self.dataset = dataset
        # Beside the landing zone and not in it: whatever lies there is read.
        self._arriving = home.root / "arriving"
        self._lock = FileLock(self._arriving / "lock")
        self._folders: set[Path] = set()

    def __enter__(self) -> "Landing":
        self._arriving.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            self._declare()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            for folder in self._folders:
                _fsync_folder(folder)
        finally:
            self._lock.release()

    def _declare(self) -> None:
        """Write the data set contract, or refuse to mix two data sets in one landing zone."""
        if not (self.folder / "dataset.json").exists():
            self.dataset.save(self.folder)
            return
        there = Dataset.load(self.folder)
        if there != self.dataset:
            found, wanted = there.name, self.dataset.name
            if found == wanted:
                found, wanted = f"{found} ({there.source})", f"({self.dataset.source})"
            raise FileExistsError(
                f"{self.folder} already holds {found}, not {wanted}; "
                "start over with `make clean-data` or set another STILLHOUSE_HOME"
            )

    def has(self, stream: str, day: date) -> bool:
        """Whether the whole day of a stream stands; a day without rows never does."""
        return self._path(stream, day, part=0).exists()

    def write(self, stream: str, day: date, rows: Iterable[Row]) -> None:
        """Land the rows of one stream and day, split into files of `ROWS_PER_FILE`; no rows, no file."""
        lines = [orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows]
        # The first part comes last: where it stands, the whole day stands.
        for start in reversed(range(0, len(lines), ROWS_PER_FILE)):
            path = self._path(stream, day, part=start // ROWS_PER_FILE)
            if not path.exists():
                self.write_whole(path, b"".join(lines[start : start + ROWS_PER_FILE]))

    def write_whole(self, path: Path, content: bytes) -> None:
        """Write beside, fsync, rename: a reader sees all of the file or none of it, also after a power loss.

        Folders are synced once, when the landing zone closes.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._arriving / path.name
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        self._folders.add(path.parent)

    def _path(self, stream: str, day: date, *, part: int) -> Path:
        return self.folder / stream / f"{self.dataset.name}-{day}-{part:03d}.jsonl"


def land_rows(
    landing: Landing,
    stream: str,
    records: Iterable[Mapping[str, Any]],
    *,
    lands: Callable[[date], bool],
    row: Callable[[Mapping[str, Any]], Row] | None = None,
) -> None:
    """Land a small log that fits in memory: each record as `row` makes it, in the file of its `day`.

    A record's day is that of the exposure that it belongs to, which may not be the day of the row's own time; without
    `row`, the other keys of the record are the row. Rows are made only for days that land and do not stand yet.
    """
    days: defaultdict[date, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        days[record["day"]].append(record)
    for day in sorted(days):
        if lands(day) and not landing.has(stream, day):
            landing.write(stream, day, map(row or _without_day, days[day]))


def _without_day(record: Mapping[str, Any]) -> Row:
    return {key: value for key, value in record.items() if key != "day"}


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def iso(time: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond or to the microsecond where there are any.

    >>> iso(datetime(1997, 9, 20, 3, 5, 10, tzinfo=UTC)), iso(datetime(2019, 11, 24, 0, 0, 17, 4101, tzinfo=UTC))
    ('1997-09-20T03:05:10.000Z', '2019-11-24T00:00:17.004101Z')
    """
    precision = "microseconds" if time.microsecond % 1000 else "milliseconds"
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def just_before(time: datetime) -> datetime:
    """One second earlier: when a state that a log only implies counts as known."""
    return time - timedelta(seconds=1)
