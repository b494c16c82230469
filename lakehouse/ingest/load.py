"""One load: the file versions of a manifest into the raw tables, the quarantine and ops.ingest_loads.

`load` runs as a foreachBatch function, in a Python process that the lake server starts. A batch that was killed half
way is run again from the same manifest and the same segments: it judges the same rows the same way, because rows of its
own load do not count as seen before, and Delta passes over the writes that were committed already.
"""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf
from pyspark.storagelevel import StorageLevel

from lakehouse.home import Home
from lakehouse.ingest import judge
from lakehouse.ingest.ledger import FileVersion, Ledger
from lakehouse.landing import STREAMS, Stream

FATES = ("loaded", "duplicate", "quarantined")

# A small load mostly waits, for plans and for commits.
STREAMS_AT_ONCE = 2

PASSING_TROUBLE = (
    # Spark gives the Python process of foreachBatch ten seconds to start, too few on a machine that is busy.
    "Python worker failed to connect back",
    # An ingest was killed, but its write went on in the server and committed first; the next try passes over it.
    "DELTA_CONCURRENT_TRANSACTION",
)
NUM_TRIES = 12
# A process that came too late goes on starting for a while: the next one must not compete with all those before it.
PAUSE_S = 5.0


def run(spark: SparkSession, *, home: Home) -> None:
    """Load every manifest that the checkpoint does not know yet; returns when all are loaded.

    One query serves all streams: each has to start a Python process, which costs more than judging a day's lines.
    """
    ledger = Ledger(home)
    batches = (
        spark.readStream.format("text")
        # One manifest a batch, oldest first. Without the age, a manifest of last week would be passed over.
        .option("maxFilesPerTrigger", 1)
        .option("maxFileAge", "36500d")
        .load(str(ledger.manifests))
        .writeStream.foreachBatch(partial(load, root=str(home.root)))
        .option("checkpointLocation", str(ledger.checkpoint))
        .trigger(availableNow=True)
        .queryName("ingest")
    )
    for num_left in reversed(range(NUM_TRIES)):
        try:
            batches.start().awaitTermination()
            return
        except PySparkException as error:
            if num_left == 0 or not any(symptom in str(error) for symptom in PASSING_TROUBLE):
                raise
            time.sleep(PAUSE_S * min(NUM_TRIES - num_left, 4))


def load(batch: DataFrame, _: int, *, root: str) -> None:
    """Load the file versions whose JSON stands in the column `value` of `batch`, one load after the other."""
    ledger = Ledger(Home(Path(root)))
    versions = sorted(
        (FileVersion.from_json(row.value) for row in batch.collect()),
        key=lambda version: (version.load_id, version.path),
    )
    for load_id, group in groupby(versions, key=lambda version: version.load_id):
        _load(batch.sparkSession, list(group), segments=ledger.segments(load_id), load_id=load_id)


def _load(spark: SparkSession, versions: list[FileVersion], *, segments: Path, load_id: int) -> None:
    by_stream = {name: list(group) for name, group in groupby(versions, key=lambda version: version.stream)}
    with ThreadPoolExecutor(STREAMS_AT_ONCE) as pool:
        counts = {
            name: pool.submit(
                _load_stream, spark, group, stream=STREAMS[name], segments=segments / name, load_id=load_id
            )
            for name, group in by_stream.items()
        }
    summaries = [_summary(by_stream[name], counts=counted.result()) for name, counted in counts.items()]
    numbers = [f"{name} bigint" for name in ("load_id", "files", "landed", *FATES)]
    schema = ", ".join(["stream string", *numbers, "reasons map<string, bigint>", "ingested_at timestamp"])
    _append(spark.createDataFrame(summaries, schema), table="ops.ingest_loads", writer="ingest", load_id=load_id)


def _summary(versions: list[FileVersion], *, counts: Mapping[tuple[str, str | None], int]) -> tuple[Any, ...]:
    """A row of ops.ingest_loads."""
    first = versions[0]
    landed = sum(version.lines for version in versions)
    fates = (sum(num for (its_fate, _), num in counts.items() if its_fate == fate) for fate in FATES)
    reasons = {reason: num for (fate, reason), num in sorted(counts.items(), key=str) if fate == "quarantined"}
    return first.stream, first.load_id, len(versions), landed, *fates, reasons, first.read_at


def _load_stream(
    spark: SparkSession, versions: list[FileVersion], *, stream: Stream, segments: Path, load_id: int
) -> dict[tuple[str, str | None], int]:
    """Load the file versions of one stream; returns the number of lines by fate and reason."""
    lines = _lines(spark, versions, folder=segments)
    rows = _with_fate(_judged(lines, stream=stream), spark=spark, stream=stream, load_id=load_id)
    rows = rows.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        counted = rows.groupBy("fate", "reason").agg(sf.count("*").alias("num")).collect()
        counts = {(row.fate, row.reason): row.num for row in counted}
        fates = {fate for fate, _ in counts}
        names = [column.name for column in stream.columns]
        if "loaded" in fates:
            loaded = rows.where("fate = 'loaded'").sortWithinPartitions("source_file", "source_row")
            _append(
                loaded.select(*names, "payload_hash", "source_file", "source_row", "load_id", "ingested_at"),
                table=stream.table,
                writer=f"ingest {stream.name}",
                load_id=load_id,
            )
        if "quarantined" in fates:
            quarantined = rows.where("fate = 'quarantined'").withColumnsRenamed({"payload_hash": "payload_sha256"})
            payload = ["source_file", "source_row", "payload", "payload_length", "payload_sha256", "reason", "field"]
            _append(
                quarantined.select(sf.lit(stream.name).alias("stream"), *payload, "load_id", "ingested_at"),
                table="raw.quarantine",
                writer=f"ingest {stream.name}",
                load_id=load_id,
            )
    finally:
        rows.unpersist()
    return counts


def _lines(spark: SparkSession, versions: Iterable[FileVersion], *, folder: Path) -> DataFrame:
    """source_file, source_row, load_id, ingested_at and payload: the exact bytes of each line, without its newline.

    What differs from load to load travels in columns: as literals it would make Spark generate and compile the code of
    the judgement again each time, which costs more than judging some 100,000 lines.
    """
    segments = [
        (segment.name, version.path, segment.first_row, segment.lines, version.load_id, version.read_at)
        for version in versions
        for segment in version.segments
    ]
    described = spark.createDataFrame(
        segments,
        "segment string, source_file string, first_row bigint, lines bigint, load_id bigint, ingested_at timestamp",
    )
    origin = ("source_file", "load_id", "ingested_at")
    if not segments:
        return described.selectExpr(*origin, "first_row as source_row", "cast(segment as binary) as payload")
    content = spark.read.format("binaryFile").load([str(folder / name) for name, *_ in segments])
    # ISO-8859-1 maps every byte to one character and back, so splitting text splits bytes.
    return (
        content.select(sf.element_at(sf.split("path", "/"), -1).alias("segment"), "content")
        .join(sf.broadcast(described), on="segment")
        .select(*origin, "first_row", "lines", sf.posexplode(sf.expr(r"split(decode(content, 'ISO-8859-1'), '\n')")))
        .where("pos < lines")  # what follows the last newline is no line
        .selectExpr(*origin, "first_row + pos as source_row", "encode(col, 'ISO-8859-1') as payload")
    )


def _judged(lines: DataFrame, *, stream: Stream) -> DataFrame:
    """The columns of the contract, the first fault (null: none), and of faulty lines the payload."""
    for step in (*judge.line_expressions(), *judge.value_expressions(stream)):
        lines = lines.withColumns({name: sf.expr(expression) for name, expression in step.items()})
    prefix = f"substr(payload, 1, {judge.PAYLOAD_PREFIX_BYTES})"
    return lines.withColumn("fault", sf.expr(judge.fault_expression(stream))).select(
        *(column.name for column in stream.columns),
        "source_file",
        "source_row",
        "load_id",
        "ingested_at",
        "payload_hash",
        "payload_length",
        "fault.reason",
        "fault.field",
        sf.expr(
            f"""case when fault is null then null when payload_length > {judge.MAX_ROW_BYTES} then {prefix}
            else payload end"""
        ).alias("payload"),
    )


def _with_fate(rows: DataFrame, *, spark: SparkSession, stream: Stream, load_id: int) -> DataFrame:
    """Each row with its fate. A fitting row is a duplicate if its bytes were loaded before or stand earlier in this
    load; a faulty one only if the same line of the same file was quarantined before."""
    loaded = (
        spark.table(stream.table)
        .where(sf.col("load_id") != load_id)
        .select("payload_hash", sf.lit(True).alias("is_known"))
    )
    quarantined = (
        spark.table("raw.quarantine")
        .where((sf.col("stream") == stream.name) & (sf.col("load_id") != load_id))
        .select(
            sf.col("payload_sha256").alias("payload_hash"),
            "source_file",
            "source_row",
            sf.lit(True).alias("is_quarantined"),
        )
        .distinct()
    )
    return (
        rows.join(loaded, on="payload_hash", how="left")
        .join(quarantined, on=["payload_hash", "source_file", "source_row"], how="left")
        .withColumn(
            "occurrence",
            sf.expr("row_number() over (partition by payload_hash order by source_file, source_row)"),
        )
        .withColumn(
            "fate",
            sf.expr(
                """case
                when reason is not null then if(is_quarantined, 'duplicate', 'quarantined')
                when is_known or occurrence > 1 then 'duplicate'
                else 'loaded' end"""
            ),
        )
    )


def _append(rows: DataFrame, *, table: str, writer: str, load_id: int) -> None:
    """Append once: Delta remembers the last load that `writer` committed to `table`, and passes over it."""
    rows.write.format("delta").mode("append").option("txnAppId", writer).option("txnVersion", load_id).saveAsTable(
        table
    )
