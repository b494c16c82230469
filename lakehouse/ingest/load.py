"""One load: the file versions of a manifest into the raw table, the quarantine and ops.ingest_loads.

`load` runs as a foreachBatch function, in a Python process that the lake server starts. A batch that was killed half
way is run again from the same manifest and the same segments: it judges the same rows the same way, because rows of its
own load do not count as seen before, and Delta passes over the writes that were committed already.
"""

import time
from collections.abc import Iterable
from functools import partial
from itertools import groupby
from pathlib import Path

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as sf
from pyspark.storagelevel import StorageLevel

from lakehouse.home import Home
from lakehouse.ingest import judge
from lakehouse.ingest.ledger import FileVersion, Ledger
from lakehouse.landing import STREAMS, Stream

FATES = ("loaded", "duplicate", "quarantined")

PASSING_TROUBLE = (
    # Spark gives the Python process of foreachBatch ten seconds to start, too few on a machine that is busy.
    "Python worker failed to connect back",
    # An ingest was killed, but its write went on in the server and committed first; the next try passes over it.
    "DELTA_CONCURRENT_TRANSACTION",
)
NUM_TRIES = 12
# A process that came too late goes on starting for a while: the next one must not compete with all those before it.
PAUSE_S = 5.0


def run(spark: SparkSession, *, home: Home, stream: Stream) -> None:
    """Load every manifest of `stream` that its checkpoint does not know yet; returns when all are loaded."""
    ledger = Ledger(home, stream.name)
    batches = (
        spark.readStream.format("text")
        # One manifest a batch, oldest first. Without the age, a manifest of last week would be passed over.
        .option("maxFilesPerTrigger", 1)
        .option("maxFileAge", "36500d")
        .load(str(ledger.manifests))
        .writeStream.foreachBatch(partial(load, root=str(home.root), stream=stream.name))
        .option("checkpointLocation", str(ledger.checkpoint))
        .trigger(availableNow=True)
        .queryName(f"ingest {stream.name}")
    )
    for num_left in reversed(range(NUM_TRIES)):
        try:
            batches.start().awaitTermination()
            return
        except PySparkException as error:
            if num_left == 0 or not any(symptom in str(error) for symptom in PASSING_TROUBLE):
                raise
            time.sleep(PAUSE_S * min(NUM_TRIES - num_left, 4))


def load(batch: DataFrame, _: int, *, root: str, stream: str) -> None:
    """Load the file versions whose JSON stands in the column `value` of `batch`, one load after the other."""
    home = Home(Path(root))
    versions = sorted(
        (FileVersion.from_json(row.value) for row in batch.collect()),
        key=lambda version: (version.load_id, version.path),
    )
    for load_id, group in groupby(versions, key=lambda version: version.load_id):
        _load_versions(batch.sparkSession, list(group), home=home, stream=STREAMS[stream], load_id=load_id)


def _load_versions(
    spark: SparkSession, versions: list[FileVersion], *, home: Home, stream: Stream, load_id: int
) -> None:
    lines = _lines(spark, versions, folder=Ledger(home, stream.name).segments / f"{load_id:010}")
    rows = _with_fate(_judged(lines, stream=stream), spark=spark, stream=stream, load_id=load_id)
    rows = rows.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        counts = {(row.fate, row.reason): row.num for row in _counts(rows)}
        by_fate = {fate: sum(num for (its_fate, _), num in counts.items() if its_fate == fate) for fate in FATES}
        names = [column.name for column in stream.columns]
        if by_fate["loaded"]:
            loaded = rows.where("fate = 'loaded'").sortWithinPartitions("source_file", "source_row")
            _append(
                loaded.select(*names, "payload_hash", "source_file", "source_row", "load_id", "ingested_at"),
                table=stream.table,
                writer=f"ingest {stream.name}",
                load_id=load_id,
            )
        if by_fate["quarantined"]:
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

    reasons = {reason: num for (fate, reason), num in sorted(counts.items(), key=str) if fate == "quarantined"}
    summary = spark.range(1).select(
        sf.lit(stream.name).alias("stream"),
        sf.lit(load_id).cast("bigint").alias("load_id"),
        sf.lit(len(versions)).cast("bigint").alias("files"),
        sf.lit(sum(version.lines for version in versions)).cast("bigint").alias("landed"),
        *(sf.lit(by_fate[fate]).cast("bigint").alias(fate) for fate in FATES),
        _map(reasons).alias("reasons"),
        sf.lit(versions[0].read_at).alias("ingested_at"),
    )
    _append(summary, table="ops.ingest_loads", writer=f"ingest {stream.name}", load_id=load_id)


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


def _counts(rows: DataFrame) -> list[Row]:
    return rows.groupBy("fate", "reason").agg(sf.count("*").alias("num")).collect()


def _map(counts: dict[str, int]) -> Column:
    pairs = [sf.lit(value) for pair in counts.items() for value in pair]
    return (sf.create_map(*pairs) if pairs else sf.expr("map()")).cast("map<string, bigint>")


def _append(rows: DataFrame, *, table: str, writer: str, load_id: int) -> None:
    """Append once: Delta remembers the last load that `writer` committed to `table`, and passes over it."""
    rows.write.format("delta").mode("append").option("txnAppId", writer).option("txnVersion", load_id).saveAsTable(
        table
    )
