"""Landing files into raw.*: each file version exactly once, every line loaded, a duplicate, or in quarantine."""

from lakehouse.ingest.ingest import IngestError, ingest
from lakehouse.ingest.report import IngestReport, StreamReport

__all__ = ["IngestError", "IngestReport", "StreamReport", "ingest"]
