"""Which files a release may hold: safetensors, JSON, PNG and HTML, each looking like what its name says.

Nothing here builds a tensor or runs code; a pickle under any name is refused.
"""

import json
import re
import struct

from registry.errors import ReleaseError

FILE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,80}\.(safetensors|json|png|html)")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def check_name(name: str) -> None:
    """Raises ReleaseError unless `name` is a plain file name of a permitted kind (no folder, no dot in front)."""
    if not FILE_NAME.fullmatch(name):
        raise ReleaseError(
            f"{name!r} cannot be a file of a release: it must be a plain lower-case name that ends in "
            ".safetensors, .json, .png or .html"
        )


def check_content(name: str, content: bytes) -> None:
    """Raises ReleaseError unless `content` is what the ending of `name` says."""
    kind = name.rpartition(".")[2]
    if kind == "json":
        try:
            json.loads(content, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ReleaseError(f"{name} is not JSON: {error}") from error
    elif kind == "png" and not content.startswith(PNG_SIGNATURE):
        raise ReleaseError(f"{name} is not a PNG picture: its first bytes are {content[:8]!r}")
    elif kind == "html":
        try:
            content.decode()
        except UnicodeDecodeError as error:
            raise ReleaseError(f"{name} is not a UTF-8 page: {error}") from error
    elif kind == "safetensors":
        _check_safetensors(name, content)


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number; write null where a figure is undefined")


def _check_safetensors(name: str, content: bytes) -> None:
    """8 bytes of header length, a JSON header of tensors, and data that every tensor's offsets lie within."""
    if len(content) < 8:
        raise ReleaseError(f"{name} is not a safetensors file: it has {len(content)} bytes")
    (header_bytes,) = struct.unpack("<Q", content[:8])
    if header_bytes > len(content) - 8:
        raise ReleaseError(f"{name} is not a safetensors file: its header would be {header_bytes} bytes long")
    try:
        header = json.loads(content[8 : 8 + header_bytes])
        spans = [tensor["data_offsets"] for key, tensor in header.items() if key != "__metadata__"]
        data_bytes = len(content) - 8 - header_bytes
        sound = all(0 <= start <= end <= data_bytes for start, end in spans)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ReleaseError(f"{name} is not a safetensors file: its header cannot be read") from error
    if not sound:
        raise ReleaseError(f"{name} is not a safetensors file: a tensor lies outside its {data_bytes} bytes of data")
