"""The ingest: finish what was begun, look for new file versions, load them, and hold the counts against each other."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from filelock import FileLock, Timeout
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as sf

from lakehouse import guard, ops, repair, session
from lakehouse.errors import LakeError
from lakehouse.home import Home
from lakehouse.ingest import load, scan
from lakehouse.ingest.ledger import FileVersion, Ledger
from lakehouse.ingest.report import IngestReport, StreamReport
from lakehouse.landing import STREAMS


class IngestError(LakeError):
    """Lines of landing files are unaccounted for, or another ingest is at work."""


def ingest(
    home: Home,
    *,
    progress: Callable[[str], None] = lambda _: None,
    now: datetime | None = None,
) -> IngestReport:
    """Load every new version of every landing file into raw.*, exactly once, whatever was killed before.

    `now` is the ingest clock (with a zone; default: the real one) that decides which times lie in the future.
    Without new file versions the lake server is not even asked, unless the home is older than a table of ours.

    Raises IngestError if another ingest works on this home, or if landed = loaded + duplicate + quarantined does not
    hold for a load; ValueError if `now` has no zone.
    """
    now = now or datetime.now(UTC)
    if now.tzinfo is None:
        raise ValueError(f"now is {now}; it must carry a zone")
    with alone(home):
        return _ingest(home, lake=_Lake(home, progress=progress), progress=progress, now=now)


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """Keep every other ingest of this home away inside the block. Raises IngestError if one is at work."""
    home.lake.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home.lake / "ingest.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise IngestError(f"another ingest works on {home.root}; wait for it and run this again") from None
    try:
        yield
    finally:
        lock.release()


class _Lake:
    """The lake with its tables, connected to when first asked for."""

    def __init__(self, home: Home, *, progress: Callable[[str], None]) -> None:
        self.home = home
        self.progress = progress

    @cached_property
    def spark(self) -> SparkSession:
        spark = session.connect(self.home)
        for done in repair.heal(self.home, spark):
            self.progress(done)
        guard.check_tables(self.home, spark)
        ops.create_tables(spark)
        return spark


def _ingest(home: Home, *, lake: _Lake, progress: Callable[[str], None], now: datetime) -> IngestReport:
    ledger = Ledger(home)
    begun = ledger.begun()
    if begun:
        progress(f"finishing load {begun[0]}, which was interrupted")
        load.run(lake.spark, home=home)
    receipts = [receipt for load_id in begun for receipt in _settle(ledger, load_id, lake=lake)]

    load_id = ledger.next_load_id()
    versions, left_out = _new_versions(home, ledger=ledger, load_id=load_id, now=now)
    if ops.lacks_tables(home):
        _ = lake.spark
    for name in STREAMS:
        new = [version for version in versions if version.stream == name]
        if new:
            progress(f"{name}: {sum(version.lines for version in new):,} lines in {len(new):,} new files")
    if versions:
        ledger.begin(load_id, versions)
        load.run(lake.spark, home=home)
        receipts += _settle(ledger, load_id, lake=lake)

    latest = ledger.latest()
    streams = (
        _report(
            name,
            receipts=[receipt for receipt in receipts if receipt["stream"] == name],
            left_out=left_out[name],
            waiting=scan.waiting(home.landing / name, known=latest),
        )
        for name in STREAMS
    )
    return IngestReport(streams=tuple(streams), strangers=_strangers(home))


def _new_versions(
    home: Home, *, ledger: Ledger, load_id: int, now: datetime
) -> tuple[list[FileVersion], dict[str, list[scan.LeftOut]]]:
    """The new file versions of all streams, copied to the segments of the load, and by stream what cannot be loaded."""
    segments = ledger.segments(load_id)
    shutil.rmtree(segments, ignore_errors=True)  # of a scan that was interrupted
    known = ledger.latest()
    versions: list[FileVersion] = []
    left_out: dict[str, list[scan.LeftOut]] = {}
    for name in STREAMS:
        new, left_out[name] = scan.new_versions(
            home.landing / name, known=known, segments=segments / name, load_id=load_id, read_at=now
        )
        versions += new
    return versions, left_out


def _report(
    stream: str, *, receipts: list[dict[str, Any]], left_out: Iterable[scan.LeftOut], waiting: Iterable[str]
) -> StreamReport:
    counts = {name: sum(receipt[name] for receipt in receipts) for name in ("files", "landed", *load.FATES)}
    reasons = dict(sum((Counter(receipt["reasons"]) for receipt in receipts), Counter()))
    return StreamReport(stream=stream, **counts, reasons=reasons, left_out=tuple(left_out), waiting=tuple(waiting))


def _settle(ledger: Ledger, load_id: int, *, lake: _Lake) -> list[dict[str, Any]]:
    """Hold what the manifest says that landed against what stands in the tables, and write the receipt.

    Raises IngestError naming the numbers and the files if a line is missing or doubled.
    """
    versions = ledger.versions(load_id)
    landed = Counter[str]()
    for version in versions:
        landed[version.stream] += version.lines
    of_load = sf.col("load_id") == load_id
    stated = lake.spark.table("ops.ingest_loads").where(of_load).collect()
    standing = _standing(lake.spark, of_load, streams=landed)
    receipts = []
    for stream, num_landed in landed.items():
        its_rows = [row.asDict() for row in stated if row.stream == stream]
        counted = {
            "landed": num_landed,
            "loaded": standing[stream, "loaded"],
            "duplicate": sum(row["duplicate"] for row in its_rows),
            "quarantined": standing[stream, "quarantined"],
        }
        files = [version.path for version in versions if version.stream == stream]
        says = [{name: row[name] for name in counted} for row in its_rows]
        if says != [counted] or num_landed != sum(counted[fate] for fate in load.FATES):
            raise IngestError(
                f"load {load_id} of {stream} does not add up: counted in files and tables {counted}, stated by "
                f"ops.ingest_loads {says}; files: {', '.join(files[:20])}"
            )
        receipts.append({"stream": stream, "files": len(files), **counted, "reasons": its_rows[0]["reasons"]})
    ledger.finish(load_id, receipts)
    return receipts


def _standing(spark: SparkSession, of_load: Column, *, streams: Iterable[str]) -> Counter[tuple[str, str]]:
    """Rows of a load by stream and fate, as the tables hold them."""
    rows = spark.table("raw.quarantine").where(of_load).select("stream", sf.lit("quarantined").alias("fate"))
    for name in streams:
        loaded = spark.table(STREAMS[name].table).where(of_load)
        rows = rows.unionAll(loaded.select(sf.lit(name).alias("stream"), sf.lit("loaded").alias("fate")))
    counted = rows.groupBy("stream", "fate").agg(sf.count("*").alias("num")).collect()
    return Counter({(row.stream, row.fate): row.num for row in counted})


def _strangers(home: Home) -> tuple[scan.LeftOut, ...]:
    if not home.landing.is_dir():
        return ()
    return tuple(
        scan.LeftOut(path=path.name, reason=f"belongs to no stream; streams are {', '.join(STREAMS)}")
        for path in sorted(home.landing.iterdir())
        if path.name not in STREAMS and path.name != "dataset.json"
    )
