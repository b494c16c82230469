"""Small releases that differ by what a test says, and are otherwise the same."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import Input, Lineage, Registry

Build = Callable[..., tuple[dict[str, bytes], Lineage]]


def tensors(value: int) -> bytes:
    """A safetensors file with one byte tensor."""
    header = json.dumps({"weight": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes([value])


def build_release(partition: str = "1998-01-05", value: int = 1, **extra: bytes) -> tuple[dict[str, bytes], Lineage]:
    files = {
        "teacher.safetensors": tensors(value),
        "serving.safetensors": tensors(value + 1),
        "calibrator.json": b'{"slope": 1.0}',
        "spec.json": b"{}",
        "config.json": b"{}",
        "metrics.json": b'{"auc": 0.71}',
        "reliability.png": b"\x89PNG\r\n\x1a\n picture",
        **extra,
    }
    lineage = Lineage(
        partition=partition,
        windows={"train": ("1997-12-01", "1997-12-28")},
        inputs=(
            Input(
                relation="marts.training_examples",
                path="marts.db/training_examples",
                table_id="4f5e",
                version=3,
                rows=900,
                content_hash="ab",
            ),
        ),
        recipe="balanced",
        teacher=None,
        code_version="git:1",
        seeds={"fit": 7},
        environment={"python": "3.11"},
    )
    return files, lineage


@pytest.fixture
def build() -> Build:
    return build_release


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "releases")
