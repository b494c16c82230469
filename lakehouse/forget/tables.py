"""Delta tables without some people's rows, in no version: rows, data files and what the log says of these files.

The newest version loses the rows by a commit of the lake server. Every data file of any version that holds one of them
is then deleted, whoever pins it, and its statistics, which name the smallest and largest id in it, are cut out of the
log. Versions that never held a row of theirs stay readable.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from deltalake import DeltaTable

from lakehouse.delta_log import Log
from lakehouse.errors import LakeError
from lakehouse.forget.names import Names
from lakehouse.ingest.ledger import sync_folder
from lakehouse.landing import STREAMS
from lakehouse.versions import data_files

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

QUARANTINE = "raw.quarantine"
# Columns by which a row is known to be theirs, the first that a table has; ids of requests and events where it has no
# user.
ROW_KEYS = ("user_id", "event_id", "request_id")
# Feature values as rows: of the feature user_id, each value is a user.
VALUES = ("feature", "value")


@dataclass(frozen=True, kw_only=True)
class Held:
    """A Delta table with rows of theirs: where `column` has one of `values`, and `feature` its value if there is one.

    `files` are the data files of any version that hold such a row, `num_rows` those of the newest one.
    """

    relation: str
    path: Path
    column: str
    values: frozenset[str]
    feature: str | None
    files: frozenset[Path]
    num_rows: int

    @property
    def where(self) -> pads.Expression:
        return _where(self.column, self.values, self.feature)

    @property
    def names_others(self) -> bool:
        """Whether its rows tell which requests and events are theirs: it must be the last to lose them."""
        return self.column == "user_id"


def find(tables: Iterable[tuple[str, Path]], names: Names) -> tuple[list[Held], Names]:
    """The tables, given by relation and folder, that hold rows of theirs, and their names with those found on the way.

    Those whose rows no user names come first: whoever is killed between two tables and begins again finds the others.
    raw.* comes last, from which all others could be told again.
    """
    tables = list(tables)
    found: list[Held] = []
    by_user = {path for _, path in tables if "user_id" in _columns(path)}
    for relation, path in tables:
        if path in by_user:
            held, theirs = _look(relation, path, names, column="user_id", values=names.users)
            found += held
            names |= theirs
    for relation, path in tables:
        if path not in by_user:
            found += _without_user(relation, path, names)
    return sorted(found, key=lambda held: (held.names_others, held.relation.startswith("raw."))), names


def _without_user(relation: str, path: Path, names: Names) -> list[Held]:
    columns = _columns(path)
    if relation == QUARANTINE:
        return _look(relation, path, names, column="payload_sha256", values=_payloads(path, names))[0]
    if columns.issuperset(VALUES):
        return _look(relation, path, names, column="value", values=names.users, feature="user_id")[0]
    for column, values in (("event_id", names.events), ("request_id", names.requests)):
        if column in columns:
            return _look(relation, path, names, column=column, values=values)[0]
    return []


def _look(
    relation: str, path: Path, names: Names, *, column: str, values: frozenset[str], feature: str | None = None
) -> tuple[list[Held], Names]:
    """A list of one table or none, and of theirs the requests and events in it."""
    if not values:
        return [], names
    where, theirs = _where(column, values, feature), {}
    for file in pads.dataset([str(file) for file in _files(path)], format="parquet").get_fragments():
        # Files of older versions may lack a column.
        schema = file.physical_schema
        if column in schema.names:
            told = [name for name in ROW_KEYS if name in schema.names]
            rows = file.to_table(schema=schema, columns=told, filter=where)
            if rows.num_rows:
                theirs[Path(file.path)] = rows
    if not theirs:
        return [], names
    newest = set(data_files(DeltaTable(path), path))
    held = Held(
        relation=relation,
        path=path,
        column=column,
        values=values,
        feature=feature,
        files=frozenset(theirs),
        num_rows=sum(rows.num_rows for file, rows in theirs.items() if file in newest),
    )
    requests, events = (_values(theirs.values(), name) for name in ("request_id", "event_id"))
    return [held], Names(names.users, requests=requests, events=events)


def _values(tables: Iterable[pa.Table], column: str) -> frozenset[str]:
    found = (pc.unique(table[column]).to_pylist() for table in tables if column in table.column_names)
    return frozenset(value for values in found for value in values if value is not None)


def _where(column: str, values: frozenset[str], feature: str | None) -> pads.Expression:
    named = pc.field(column).cast(pa.string()).isin(pa.array(sorted(values), pa.string()))
    return named if feature is None else named & (pc.field("feature") == feature)


def _payloads(path: Path, names: Names) -> frozenset[str]:
    """The hashes of the quarantined lines that are theirs."""
    found = set()
    for file in _files(path):
        rows = pq.read_table(file, columns=["stream", "payload", "payload_sha256"], partitioning=None)
        for row in rows.to_pylist():
            if names.are_in_line(row["payload"] or b"", STREAMS[row["stream"]]):
                found.add(row["payload_sha256"])
    return frozenset(found)


def _files(path: Path) -> list[Path]:
    """Every data file in the folder of a table, of whatever version, committed or not."""
    return sorted(file for file in path.rglob("*.parquet") if "_delta_log" not in file.relative_to(path).parts)


def _columns(path: Path) -> set[str]:
    return {name for file in _files(path) for name in pq.read_schema(file).names}


def delete(spark: "SparkSession", held: Held) -> None:
    """Delete their rows from the newest version.

    No statement holds an id: Delta keeps the conditions of statements in its log. By users it is a DELETE, which keeps
    the order of the rows that stay, and examples are read by it; of events there are too many for that.
    """
    schema, _, name = held.relation.partition(".")
    table = f"`{schema}`.`{name}`"
    theirs = f"cast(rows.{held.column} as string)"
    # As marts.examples have them; elsewhere they do no harm.
    spark.sql("set parquet.block.row.count.limit = 20000")
    spark.createDataFrame(pa.table({held.column: sorted(held.values)})).createOrReplaceTempView("forgotten")
    try:
        if held.column in ("user_id", "value"):
            spark.sql("declare or replace variable forgotten array<string>")
            spark.sql(f"set variable forgotten = (select collect_list({held.column}) from forgotten)")
            of_feature = f"feature = '{held.feature}' and " if held.feature else ""
            spark.sql(f"delete from {table} as rows where {of_feature}array_contains(session.forgotten, {theirs})")
            spark.sql("drop temporary variable forgotten")
        else:
            spark.sql(
                f"merge into {table} as rows using forgotten on {theirs} = forgotten.{held.column} "
                "when matched then delete"
            )
    finally:
        spark.catalog.dropTempView("forgotten")


def purge(held: Held) -> None:
    """Cut the files that hold their rows out of the log's statistics, and delete them.

    The newest version must have lost the rows, and no server may have the log in its memory. Killed and run again, it
    goes on: files are deleted last, and as long as one is there it is found.

    Raises LakeError, before anything is changed, if the newest version still needs one of them, or if a checkpoint
    names one and the commits that it stands for are gone.
    """
    newest = DeltaTable(held.path)
    if needed := held.files & set(data_files(newest, held.path)):
        raise LakeError(f"{held.relation}: {len(needed)} data files hold rows that are to be forgotten; run it again")
    gone = {file.name for file in held.files}
    log = Log.of(held.path)
    naming = {version for version in log.checkpoints if _names_any(_checkpoint_paths(log, version), gone)}
    if not log.can_rebuild(newest.version(), without=naming):
        raise LakeError(
            f"{held.relation}: a checkpoint in {log.folder} names files that are to be forgotten, and the commits "
            "before it are gone; nothing was deleted. Build the table anew, and drop this one"
        )
    for version in sorted(naming):
        for file in log.folder.glob(f"{version:020}.checkpoint*"):
            _unlink(file)
    if naming:
        _unlink(log.folder / "_last_checkpoint")
    for version in log.commits:
        _cut_statistics(log.commit(version), gone)
        checksum = log.folder / f"{version:020}.crc"
        if checksum.exists() and _names_any(_checksum_paths(checksum), gone):
            _unlink(checksum)
    sync_folder(log.folder)
    for file in held.files:
        _unlink(file)


def _checkpoint_paths(log: Log, version: int) -> Iterable[str]:
    for file in log.folder.glob(f"{version:020}.checkpoint*.parquet"):
        for action in ("add", "remove"):
            if action in pq.read_schema(file).names:
                for value in pq.ParquetFile(file).read(columns=[f"{action}.path"])[action].to_pylist():
                    yield (value or {}).get("path") or ""


def _checksum_paths(file: Path) -> Iterable[str]:
    """The files that a version's checksum lists, with the statistics of each."""
    return (entry["path"] for entry in orjson.loads(file.read_bytes()).get("allFiles") or ())


def _names_any(paths: Iterable[str], names: set[str]) -> bool:
    return any(_name(path) in names for path in paths)


def _name(path: str) -> str:
    """The name of a file by its path in a log, where what is special is escaped."""
    return unquote(path).rpartition("/")[2]


def _cut_statistics(commit: Path, gone: set[str]) -> None:
    """Of the files that go, leave no statistics in a commit. It keeps its time, by which Spark finds versions."""
    lines = [orjson.loads(line) for line in commit.read_bytes().splitlines() if line.strip()]
    cut = [_without_statistics(action, gone) for action in lines]
    if cut == lines:
        return
    status = commit.stat()
    draft = commit.with_name(f".{commit.name}.forgetting.tmp")
    with draft.open("wb") as file:
        file.write(b"".join(orjson.dumps(action) + b"\n" for action in cut))
        file.flush()
        os.fsync(file.fileno())
    os.utime(draft, ns=(status.st_atime_ns, status.st_mtime_ns))
    draft.replace(commit)
    # Hadoop's own checksum of what was there before.
    commit.with_name(f".{commit.name}.crc").unlink(missing_ok=True)


def _without_statistics(action: Mapping[str, Any], gone: set[str]) -> dict[str, Any]:
    return {
        kind: {name: value for name, value in entry.items() if name != "stats"}
        if kind in ("add", "remove") and _name(entry["path"]) in gone
        else entry
        for kind, entry in action.items()
    }


def _unlink(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.with_name(f".{file.name}.crc").unlink(missing_ok=True)


def restate_loads(spark: "SparkSession", held: Sequence[Held]) -> None:
    """Let ops.ingest_loads say what of each load will be left in raw.* and in quarantine.

    landed = loaded + duplicate + quarantined goes on to hold: lines of theirs that were loaded or quarantined count no
    more. Duplicates were never kept, so nobody knows whose they were: they stay counted.
    """
    counts = [_left(one) for one in held if one.relation == QUARANTINE or one.relation in _RAW]
    if not counts:
        return
    spark.createDataFrame(pa.concat_tables(counts)).createOrReplaceTempView("restated")
    # Of a load, what was loaded and what was quarantined are counted in two tables.
    spark.sql(
        """
        merge into ops.ingest_loads as loads
        using (
            select stream, load_id, max(loaded) as loaded, max(quarantined) as quarantined, max_by(reasons, quarantined)
                as reasons
            from restated group by stream, load_id
        ) as restated
        on loads.stream = restated.stream and loads.load_id = restated.load_id
        when matched then update set
            loaded = coalesce(restated.loaded, loads.loaded),
            quarantined = coalesce(restated.quarantined, loads.quarantined),
            reasons = coalesce(restated.reasons, loads.reasons),
            landed = coalesce(restated.loaded, loads.loaded) + loads.duplicate
                + coalesce(restated.quarantined, loads.quarantined)
        """
    )
    spark.catalog.dropTempView("restated")


_RAW = {stream.table: stream.name for stream in STREAMS.values()}


_COUNTS = pa.schema(
    [
        ("stream", pa.string()),
        ("load_id", pa.int64()),
        ("loaded", pa.int64()),
        ("quarantined", pa.int64()),
        ("reasons", pa.map_(pa.string(), pa.int64())),
    ]
)


def _left(held: Held) -> pa.Table:
    """Of the loads that brought rows of theirs, what is left without them: loaded, or quarantined with its reasons."""
    is_quarantine = held.relation == QUARANTINE
    names = [held.column, "load_id", *(("stream", "reason") if is_quarantine else ())]
    files = [str(file) for file in data_files(DeltaTable(held.path), held.path)]
    rows = pads.dataset(files, format="parquet").to_table(columns=names)
    theirs = pc.is_in(rows[held.column], pa.array(sorted(held.values), pa.string()))
    counts: dict[tuple[str, int], Counter[str]] = {}
    for of_them in (True, False):
        for row in (
            rows.filter(pc.equal(theirs, of_them)).group_by(names[1:]).aggregate([([], "count_all")]).to_pylist()
        ):
            load = row.get("stream") or _RAW[held.relation], row["load_id"]
            if of_them:
                counts[load] = Counter()
            elif load in counts:
                counts[load][row.get("reason", "")] += row["count_all"]
    return pa.Table.from_pylist(
        [
            {"stream": stream, "load_id": load_id, "quarantined": left.total(), "reasons": [*left.items()]}
            if is_quarantine
            else {"stream": stream, "load_id": load_id, "loaded": left.total()}
            for (stream, load_id), left in counts.items()
        ],
        schema=_COUNTS,
    )
