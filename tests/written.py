"""All that is written under a folder, as text: what is compressed or packed is taken apart first."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

# No value of a test is longer, compressed.
MOST_VALUE = 1 << 20


def written(root: Path) -> Iterator[tuple[Path, str]]:
    """Each file below `root`, links not followed, with its bytes as text and, where it is packed, what is in it."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            text = content.decode("utf-8", errors="replace")
            yield path, text
            # JSON may write any character as its number.
            if "\\u" in text:
                yield path, text.encode("ascii", errors="backslashreplace").decode("unicode_escape", errors="replace")
            if path.name == "data.mdb":
                yield path, _feature_log(content)
            elif content.startswith(b"PAR1"):
                yield path, _plainly(pq.read_table(path, partitioning=None))
            elif content.startswith(b"ARROW1"):
                yield path, _plainly(pa.ipc.open_file(pa.BufferReader(content)).read_all())


def _feature_log(content: bytes) -> str:
    """Every compressed value that stands in the pages of an LMDB environment, given back or not."""
    values, at = [], content.find(zstandard.FRAME_HEADER)
    while at >= 0:
        with contextlib.suppress(zstandard.ZstdError):
            values.append(_said(zstandard.ZstdDecompressor().decompressobj().decompress(content[at : at + MOST_VALUE])))
        at = content.find(zstandard.FRAME_HEADER, at + 1)
    return "\n".join(values)


def _said(value: bytes) -> str:
    try:
        return json.dumps(msgspec.to_builtins(msgspec.msgpack.decode(value)), ensure_ascii=False)
    except msgspec.DecodeError:
        return value.decode("utf-8", errors="replace")


def _plainly(table: pa.Table) -> str:
    return "\n".join(str(table[name].to_pylist()) for name in table.column_names)
