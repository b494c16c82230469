"""The tables that no dbt model builds: raw.* and ops.*, their definition, and appends to them from Python."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from lakehouse.home import Home
from lakehouse.landing import STREAMS, Stream

# Time travel past the default of seven days is refused even where nothing was vacuumed, and the log has to be kept as
# long as the files. Readers outside Spark lack deletion vectors.
PROPERTIES: Mapping[str, str] = {
    "delta.logRetentionDuration": "interval 365 days",
    "delta.deletedFileRetentionDuration": "interval 365 days",
    "delta.enableDeletionVectors": "false",
    # Spark would delete log files after that year, and with them versions that a live release may pin.
    "delta.enableExpiredLogCleanup": "false",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    name: str
    type: str
    comment: str

    def ddl(self) -> str:
        return f"{self.name} {self.type} COMMENT {_quoted(self.comment)}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """One Delta table: its columns in order, and what one row is."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    partitioned_by: str | None = None

    def ddl(self) -> str:
        columns = ",\n  ".join(column.ddl() for column in self.columns)
        properties = ", ".join(f"'{name}' = '{value}'" for name, value in PROPERTIES.items())
        partitions = f"\nPARTITIONED BY ({self.partitioned_by})" if self.partitioned_by else ""
        return (
            f"CREATE TABLE IF NOT EXISTS {self.name} (\n  {columns}\n)\nUSING delta{partitions}\n"
            f"COMMENT {_quoted(self.comment)}\nTBLPROPERTIES ({properties})"
        )


def _columns(text: str) -> tuple[Column, ...]:
    """Columns written one a line as `name TYPE: comment`."""
    columns = []
    for line in text.strip().splitlines():
        definition, comment = line.strip().split(": ", maxsplit=1)
        name, type_ = definition.split(" ", maxsplit=1)
        columns.append(Column(name=name, type=type_, comment=comment))
    return tuple(columns)


def _raw(stream: Stream) -> Table:
    """Not partitioned: loads arrive in order of time, so the statistics of each file prune by day and by load, and
    small loads into daily partitions would leave many tiny files."""
    contract = tuple(Column(name=c.name, type=c.spark_type, comment=c.description) for c in stream.columns)
    origin = _columns(
        """
        payload_hash STRING: SHA-256 of the line's bytes; the same line is never loaded twice
        source_file STRING: path of the landing file, relative to landing/
        source_row BIGINT: line in that file, from 1
        load_id BIGINT: the load that brought the row; see ops.ingest_loads
        ingested_at TIMESTAMP: the ingest clock of that load
        """
    )
    return Table(name=stream.table, comment=stream.grain, columns=contract + origin)


QUARANTINE = Table(
    name="raw.quarantine",
    comment="One row per line of a landing file that does not fit the contract.",
    columns=_columns(
        """
        stream STRING: the stream whose contract it breaks
        source_file STRING: path of the landing file, relative to landing/
        source_row BIGINT: line in that file, from 1
        payload BINARY: the line's bytes; only a prefix where the line is longer than an allowed row
        payload_length BIGINT: length of the whole line in bytes
        payload_sha256 STRING: SHA-256 of the whole line
        reason STRING: what is wrong with it, out of the closed list in docs/landing.md
        field STRING: the key at fault; null where the whole line is
        load_id BIGINT: the load that met it; see ops.ingest_loads
        ingested_at TIMESTAMP: the ingest clock of that load
        """
    ),
)

INGEST_LOADS = Table(
    name="ops.ingest_loads",
    comment="One row per (stream, load); landed = loaded + duplicate + quarantined.",
    columns=_columns(
        """
        stream STRING: the stream that was loaded
        load_id BIGINT: counts the loads from 1; one load holds what had landed in all streams
        files BIGINT: file versions handed over
        landed BIGINT: lines counted from the bytes of the files, blank ones included
        loaded BIGINT: rows written to the raw table
        duplicate BIGINT: lines whose exact bytes were loaded before
        quarantined BIGINT: lines written to raw.quarantine
        reasons MAP<STRING, BIGINT>: quarantined lines by reason
        ingested_at TIMESTAMP: the ingest clock of the load
        """
    ),
)

TEACHER_SCORES = Table(
    name="ops.teacher_scores",
    comment="One row per (release, example) that a release scored as a teacher.",
    partitioned_by="release_id",
    columns=_columns(
        """
        release_id STRING: the release whose teacher gave the scores
        event_id STRING: the example
        logits MAP<STRING, DOUBLE>: bare logit by task, without the offset of any sample
        """
    ),
)

SAMPLED_ROWS = Table(
    name="ops.sampled_rows",
    comment="One row per (recipe, example) that a recipe kept when the examples were last sampled while reading.",
    partitioned_by="recipe",
    columns=_columns(
        """
        recipe STRING: the recipe
        event_id STRING: the example
        kept BOOLEAN: true; an example without a row here was not kept
        stratum STRING: the rule that decided; its name, `otherwise`, or `random_traffic`
        keep_probability DOUBLE: the row's own probability of being kept; 1 with an action
        negative_keep_probability DOUBLE: what the stratum gives a row without an action
        examples STRING: the version of marts.examples_v1 that was sampled, <table id>@<version>
        """
    ),
)

GATE_DECISIONS = Table(
    name="ops.gate_decisions",
    comment="One row per criterion that a candidate was judged by, and one `overall` row.",
    columns=_columns(
        """
        release_id STRING: the candidate
        judged_at TIMESTAMP: when the gate decided
        partition STRING: the partition that the candidate was trained for
        verdict STRING: of the whole gate: pass, block or needs-a-person
        criterion STRING: what was judged; `overall` for the whole, `override` for a person's word against it
        status STRING: pass, warn, block, needs-a-person or not applicable
        figure DOUBLE: what was measured
        lower DOUBLE: lower confidence bound of the figure
        upper DOUBLE: upper confidence bound of the figure
        limit DOUBLE: what the figure or its bounds were held against
        reason STRING: the decision in words
        """
    ),
)

RELEASES = Table(
    name="ops.releases",
    comment="One row per thing that happened to a release.",
    columns=_columns(
        """
        release_id STRING: the release
        event STRING: saved, overridden, promoted, reverted, or what became of it as canary: canary_started …
        at TIMESTAMP: when
        partition STRING: the partition that the release was trained for
        teacher STRING: the release that it was distilled from; null for the first
        pointer_version BIGINT: version of the pointer file after the event; null where it did not move
        reason STRING: why, in words
        metrics MAP<STRING, DOUBLE>: what the release scored
        inputs STRING: JSON of the pinned table versions that it was made from
        """
    ),
)

ROLLOUT_DECISIONS = Table(
    name="ops.rollout_decisions",
    comment="One row per decision on a canary; of holds for the same kinds of reason one an hour.",
    columns=_columns(
        """
        release_id STRING: the canary
        decided_at TIMESTAMP: when, by the clock of the figures
        pointer_version BIGINT: version of the pointer that the decision was taken on
        share DOUBLE: share of the users that the canary had
        action STRING: ramp, hold, promote or revert
        next_share DOUBLE: share that it has by the decision; 0 if it was taken back
        reason STRING: the decision in words
        findings STRING: JSON of what each guardrail says, with its figures and limits
        taken_on STRING: JSON of figures, state and rules, from which the decision follows again
        """
    ),
)

POINTERS = Table(
    name="ops.pointers",
    comment="One row per version of the pointer: who answered whom while it stood.",
    columns=_columns(
        """
        pointer_version BIGINT: the version; ops.releases says what made it
        at TIMESTAMP: since when
        production STRING: what answered all that no other arm had
        canary STRING: the canary; null without one
        canary_salt STRING: what its users were drawn by, after those of the holdouts
        canary_share DOUBLE: the share of them that it had
        holdout STRING: the production before, for those who stayed on it; null without them
        holdout_salt STRING: what they were drawn by, after those of the long holdout
        holdout_share DOUBLE: their share
        long_holdout STRING: the release that some stay on for weeks; null without them
        long_holdout_salt STRING: what they were drawn by, before all others
        long_holdout_share DOUBLE: their share
        """
    ),
)

EXPERIMENTS = Table(
    name="ops.experiments",
    comment="One row per experiment, a publish against the production before it or a long holdout against all others.",
    columns=_columns(
        """
        experiment STRING: its kind, and the pointer version that began it
        kind STRING: holdout or long-holdout
        salt STRING: what its users were drawn by
        treatment_release STRING: what is tried; null for a long holdout, against which one release follows another
        control_release STRING: what some users stay on
        control_share DOUBLE: their share of the users that the experiment has
        first_pointer_version BIGINT: the version of the pointer that began it
        last_pointer_version BIGINT: the last one during which it ran; null while it runs
        began_at TIMESTAMP: when it began
        ended_at TIMESTAMP: when another publish, or a revert, ended it; null while it runs
        planned_days BIGINT: how many days of looks it has at most, settled when it began
        """
    ),
)

EXPERIMENT_RESULTS = Table(
    name="ops.experiment_results",
    comment="One row per (experiment, look, metric, segment), what the analysis made of monitoring.experiment_figures.",
    columns=_columns(
        """
        experiment STRING: the experiment; see ops.experiments
        day DATE: the look, all that was known by the end of that day
        metric STRING: what is compared
        segment STRING: of which users; all is everybody
        treatment DOUBLE: the metric with what is tried
        control DOUBLE: the metric with what some stayed on
        lift DOUBLE: treatment over control less 1, what was known of the users from before taken out
        error DOUBLE: its standard error
        lower DOUBLE: lower bound of the lift, which holds at all looks together
        upper DOUBLE: upper bound
        variance_removed DOUBLE: share of the variance that was explained by what was known from before
        treatment_users BIGINT: users that the treatment was seen to have by then
        control_users BIGINT: users that control was seen to have by then
        sample_ratio_odds DOUBLE: odds against the planned share of them; null where beyond all numbers
        sample_ratio_alarm BOOLEAN: whether users are split as they should not be, at this look or before: no verdict
        verdict STRING: better, worse or no difference seen, by this look; null where the rule allows none
        reason STRING: what the verdict rests on, or why there is none
        """
    ),
)

EXCLUSIONS = Table(
    name="ops.exclusions",
    comment="One row per exclusion of rows from training that is in force.",
    columns=_columns(
        """
        number BIGINT: the journal entry that made it
        kind STRING: release or window
        release_id STRING: the release whose rows are left out; null for a window
        since TIMESTAMP: rows served from here on are left out; null for a release
        until TIMESTAMP: up to here, exclusive; null for a release
        excluded_by STRING: who left them out; null where a rule did
        excluded_at TIMESTAMP: when
        reason STRING: why, in words
        """
    ),
)

TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        *(_raw(stream) for stream in STREAMS.values()),
        QUARANTINE,
        INGEST_LOADS,
        TEACHER_SCORES,
        SAMPLED_ROWS,
        GATE_DECISIONS,
        RELEASES,
        ROLLOUT_DECISIONS,
        POINTERS,
        EXPERIMENTS,
        EXPERIMENT_RESULTS,
        EXCLUSIONS,
    )
}


def create_tables(spark: SparkSession) -> None:
    """Create the schemas raw and ops with all their tables; what is there already stays as it is, but for columns that
    a table of before lacks: they are added, null in its rows."""
    for schema in ("raw", "ops"):
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    there = {
        f"{schema}.{row.tableName}"
        for schema in ("raw", "ops")
        for row in spark.sql(f"SHOW TABLES IN {schema}").collect()
    }
    for table in TABLES.values():
        if table.name not in there:
            spark.sql(table.ddl())
            continue
        known = spark.table(table.name).columns
        lacking = [column.ddl() for column in table.columns if column.name not in known]
        if lacking:
            spark.sql(f"ALTER TABLE {table.name} ADD COLUMNS ({', '.join(lacking)})")


def lacks_tables(home: Home) -> bool:
    """Whether a lake was made before one of our tables was thought of; asks no server, and so nothing of columns."""
    folders = (home.warehouse / f"{schema}.db" / table for schema, table in (name.split(".") for name in TABLES))
    return (home.warehouse / "raw.db").is_dir() and not all((folder / "_delta_log").is_dir() for folder in folders)


def append(spark: SparkSession, table: str, rows: pa.Table, *, home: Home, key: Sequence[str] = ()) -> None:
    """Append `rows` to one of our tables by column name; columns that they lack become null.

    The rows travel as a parquet file in exchange/, so that the lake server alone writes Delta. With a `key`, rows whose
    key is in the table already are passed over: the same append, run again, changes nothing.

    Raises ValueError if `table` is none of ours, or if `rows` has a column, or `key` a name, that the table lacks.
    """
    _check_names(table, rows=rows.column_names, key=key)
    if rows.num_rows == 0:
        return
    with _handed_over(spark, rows, home=home) as new:
        if key:
            new = new.join(spark.table(table).select(*key), on=list(key), how="left_anti")
            # A commit without rows would still be a version, and a retrain that is run again another release.
            if new.isEmpty():
                return
        new.select(*rows.column_names).write.format("delta").mode("append").saveAsTable(table)


def replace(spark: SparkSession, table: str, rows: pa.Table, *, home: Home, column: str, value: str) -> None:
    """Put `rows`, whose `column` is `value` throughout, in place of all such rows of one of our tables, in one commit.

    Raises ValueError as `append` does, and if some row has another value.
    """
    _check_names(table, rows=rows.column_names, column=[column])
    others = set(rows[column].unique().to_pylist()) - {value}
    if others:
        raise ValueError(f"rows have {sorted(map(str, others))} in {column}; all must have {value!r}")
    with _handed_over(spark, rows, home=home) as new:
        chosen = new.select(*rows.column_names).write.format("delta").mode("overwrite")
        chosen.option("replaceWhere", f"{column} = {_quoted(value)}").saveAsTable(table)


@contextmanager
def _handed_over(spark: SparkSession, rows: pa.Table, *, home: Home) -> Iterator[DataFrame]:
    """Rows as the lake server reads them, from a parquet file that is deleted afterwards."""
    home.exchange.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=home.exchange, suffix=".parquet") as file:
        # Spark knows no nanoseconds.
        pq.write_table(rows, file.name, coerce_timestamps="us")
        yield spark.read.parquet(file.name)


def _check_names(table: str, **names: Sequence[str]) -> None:
    if table not in TABLES:
        raise ValueError(f"table is {table!r}; it must be one of {sorted(TABLES)}")
    allowed = [column.name for column in TABLES[table].columns]
    for argument, given in names.items():
        unknown = set(given) - set(allowed)
        if unknown:
            raise ValueError(f"{argument} names {sorted(unknown)}; {table} has the columns {allowed}")


def _quoted(text: str) -> str:
    """A SQL string literal.

    >>> _quoted("the line's bytes")
    "'the line\\\\'s bytes'"
    """
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
