"""What lies beside landing zone and tables: a simulated world's truth, leftovers of killed work, and traces."""

import mmap
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from lakehouse import server, spark_settings
from lakehouse.forget.landing import drafts
from lakehouse.forget.names import Names
from lakehouse.home import Home
from lakehouse.ingest.ledger import sync_folder

# A shorter id, such as 17, stands in many a file that tells of something else: it is looked for in quotes only.
PLAIN_ID = 6
PACKED = (".parquet", ".arrow", ".mdb", ".safetensors", ".png")


def cut_truth(home: Home, names: Names) -> int:
    """Take what is true of their events out of the truth of a simulated world; how many rows that were."""
    num_rows = 0
    for file in sorted(home.truth.glob("*.parquet")):
        theirs = pads.field("event_id").isin(pa.array(sorted(names.events), pa.string()))
        rows = pq.read_table(file, partitioning=None)
        kept = rows.filter(~theirs)
        if kept.num_rows < rows.num_rows:
            num_rows += rows.num_rows - kept.num_rows
            draft = file.with_name(f".{file.name}.draft")
            pq.write_table(kept, draft)
            with draft.open("rb") as written:
                os.fsync(written.fileno())
            draft.rename(file)
            sync_folder(file.parent)
    return num_rows


def clear_leftovers(home: Home) -> None:
    """Delete what was on its way when somebody was killed, and what a lake server that is down worked with."""
    for file in [*drafts(home), *home.exchange.glob("*.parquet")]:
        file.unlink()
    folders = [home.lake / "segments", home.lake / "set-aside"]
    if server.status(home) is None:
        folders.append(spark_settings.scratch_folder(home))
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def traces(home: Home, names: Names) -> Iterator[Path]:
    """Files that still name one of the users in plain bytes: logs, say, that somebody wrote ids to.

    Downloads, the source of a public log, are not looked into; neither are tables and snapshots, which are read.
    """
    pattern = re.compile(b"|".join(map(_pattern, sorted(names.users, key=len, reverse=True))))
    for folder, folders, files in os.walk(home.root):
        if Path(folder) == home.root:
            folders[:] = [name for name in folders if home.root / name != home.downloads]
        for file in (Path(folder) / name for name in files):
            if not file.name.endswith(PACKED) and file.is_file() and file.stat().st_size and _finds(pattern, file):
                yield file


def _pattern(user: str) -> bytes:
    word = re.escape(user.encode())
    return rb"(?<![\w-])" + word + rb"(?![\w-])" if len(user) >= PLAIN_ID else rb"[\"']" + word + rb"[\"'\\]"


def _finds(pattern: re.Pattern[bytes], file: Path) -> bool:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return pattern.search(content) is not None
