"""The ingest: finish what was begun, look for new file versions, load them, and hold the counts against each other."""

import shutil
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

from filelock import FileLock, Timeout
from pyspark.sql import SparkSession

from lakehouse import guard, ops, repair, session
from lakehouse.errors import LakeError
from lakehouse.home import Home
from lakehouse.ingest import load, scan
from lakehouse.ingest.ledger import Ledger
from lakehouse.ingest.report import IngestReport, StreamReport
from lakehouse.landing import STREAMS, Stream

# A small load mostly waits: for its Python process to start, for plans, for commits. With more than two at once on two
# cores, those processes start later than Spark allows.
STREAMS_AT_ONCE = 2


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
    Without new file versions the lake server is not even asked.

    Raises IngestError if another ingest works on this home, or if landed = loaded + duplicate + quarantined does not
    hold for a load; ValueError if `now` has no zone.
    """
    now = now or datetime.now(UTC)
    if now.tzinfo is None:
        raise ValueError(f"now is {now}; it must carry a zone")
    home.lake.mkdir(parents=True, exist_ok=True)
    lake = _Lake(home, progress=progress)
    try:
        with FileLock(home.lake / "ingest.lock", timeout=0), ThreadPoolExecutor(STREAMS_AT_ONCE) as pool:
            ingest_stream = partial(_ingest_stream, home=home, lake=lake, progress=progress, now=now)
            reports = tuple(pool.map(ingest_stream, STREAMS.values()))
    except Timeout:
        raise IngestError(f"another ingest works on {home.root}; wait for it and run this again") from None
    return IngestReport(streams=reports, strangers=_strangers(home))


class _Lake:
    """The lake with its tables, connected to when first asked for."""

    def __init__(self, home: Home, *, progress: Callable[[str], None]) -> None:
        self.home = home
        self.progress = progress
        self._spark: SparkSession | None = None
        self._lock = threading.Lock()

    def spark(self) -> SparkSession:
        with self._lock:
            if self._spark is None:
                spark = session.connect(self.home)
                for done in repair.heal(self.home, spark):
                    self.progress(done)
                guard.check_tables(self.home, spark)
                ops.create_tables(spark)
                self._spark = spark
            return self._spark


def _ingest_stream(
    stream: Stream, *, home: Home, lake: _Lake, progress: Callable[[str], None], now: datetime
) -> StreamReport:
    ledger = Ledger(home, stream.name)
    folder = home.landing / stream.name
    begun = ledger.begun()
    if begun:
        progress(f"{stream.name}: finishing load {begun[0]}, which was interrupted")
        load.run(lake.spark(), home=home, stream=stream)
    receipts = [_settle(ledger, load_id, stream=stream, lake=lake) for load_id in begun]

    left_out: list[scan.LeftOut] = []
    if folder.is_dir():
        load_id = ledger.next_load_id()
        segments = ledger.segments / f"{load_id:010}"
        shutil.rmtree(segments, ignore_errors=True)  # of a scan that was interrupted
        versions, left_out = scan.new_versions(
            folder, known=ledger.latest(), segments=segments, load_id=load_id, read_at=now
        )
        if versions:
            num_lines = sum(version.lines for version in versions)
            progress(f"{stream.name}: {num_lines:,} lines in {len(versions):,} new files")
            ledger.begin(load_id, versions)
            load.run(lake.spark(), home=home, stream=stream)
            receipts.append(_settle(ledger, load_id, stream=stream, lake=lake))

    counts = Counter({name: sum(receipt[name] for receipt in receipts) for name in ("files", "landed", *load.FATES)})
    return StreamReport(
        stream=stream.name,
        **counts,
        reasons=dict(sum((Counter(receipt["reasons"]) for receipt in receipts), Counter())),
        left_out=tuple(left_out),
        waiting=tuple(scan.waiting(folder, known=ledger.latest())) if folder.is_dir() else (),
    )


def _settle(ledger: Ledger, load_id: int, *, stream: Stream, lake: _Lake) -> dict[str, Any]:
    """Hold what the manifest says that landed against what stands in the tables, and write the receipt.

    Raises IngestError naming the numbers and the files if a line is missing or doubled.
    """
    versions = ledger.versions(load_id)
    spark = lake.spark()
    summary = spark.table("ops.ingest_loads").where(f"stream = '{stream.name}' and load_id = {load_id}").collect()
    counted = {
        "landed": sum(version.lines for version in versions),
        "loaded": spark.table(stream.table).where(f"load_id = {load_id}").count(),
        "duplicate": sum(row.duplicate for row in summary),
        "quarantined": spark.table("raw.quarantine").where(f"stream = '{stream.name}' and load_id = {load_id}").count(),
    }
    stated = [{name: row[name] for name in counted} for row in summary]
    if stated != [counted] or counted["landed"] != sum(counted[fate] for fate in load.FATES):
        raise IngestError(
            f"load {load_id} of {stream.name} does not add up: counted in files and tables {counted}, stated by "
            f"ops.ingest_loads {stated}; files: {', '.join(version.path for version in versions[:20])}"
        )
    receipt = {"files": len(versions), **counted, "reasons": summary[0].reasons}
    ledger.finish(load_id, receipt)
    shutil.rmtree(ledger.segments / f"{load_id:010}", ignore_errors=True)
    return receipt


def _strangers(home: Home) -> tuple[scan.LeftOut, ...]:
    if not home.landing.is_dir():
        return ()
    return tuple(
        scan.LeftOut(path=path.name, reason=f"belongs to no stream; streams are {', '.join(STREAMS)}")
        for path in sorted(home.landing.iterdir())
        if path.name not in STREAMS and path.name != "dataset.json"
    )
