"""What an ingest did: the lines of each stream by fate, and every file that was not loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lakehouse.ingest.scan import LeftOut


@dataclass(frozen=True, kw_only=True)
class StreamReport:
    """Counts of one stream; `reasons` splits `quarantined`. `waiting`: files that came or changed during the load."""

    stream: str
    files: int = 0
    landed: int = 0
    loaded: int = 0
    duplicate: int = 0
    quarantined: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class IngestReport:
    """One report per stream, and paths under landing/ that belong to no stream."""

    streams: tuple[StreamReport, ...]
    strangers: tuple[LeftOut, ...] = ()

    @property
    def landed(self) -> int:
        return sum(report.landed for report in self.streams)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        return (*self.strangers, *(left_out for report in self.streams for left_out in report.left_out))

    def stream(self, name: str) -> StreamReport:
        for report in self.streams:
            if report.stream == name:
                return report
        raise ValueError(f"name is {name!r}; the report covers {[report.stream for report in self.streams]}")

    def to_json(self) -> dict[str, Any]:
        """Plain values for printing and for run metadata."""
        return {
            "streams": [
                {
                    "stream": report.stream,
                    "files": report.files,
                    "landed": report.landed,
                    "loaded": report.loaded,
                    "duplicate": report.duplicate,
                    "quarantined": report.quarantined,
                    "reasons": dict(report.reasons),
                    "waiting": list(report.waiting),
                }
                for report in self.streams
            ],
            "left_out": [{"path": left_out.path, "reason": left_out.reason} for left_out in self.left_out],
        }
