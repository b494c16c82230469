"""The raw tables as assets: one ingest loads whatever has landed since the last."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from lakehouse.home import home
from lakehouse.ingest import IngestReport, ingest
from lakehouse.landing import STREAMS
from lakehouse.versions import pin
from orchestration.models import pin_metadata
from orchestration.progress import progress
from orchestration.retries import retried

DESCRIPTIONS = {stream.table.removeprefix("raw."): stream.grain for stream in STREAMS.values()} | {
    "quarantine": "One row per landed line that does not fit the contract, with its bytes and the reason."
}


@dg.multi_asset(
    name="landed",
    specs=[
        dg.AssetSpec(
            ["raw", table], group_name="raw", kinds={"deltalake"}, owners=["team:data"], description=description
        )
        for table, description in DESCRIPTIONS.items()
    ],
    pool="lake",
)
@retried
def landed() -> Iterator[dg.MaterializeResult[None]]:
    """Landing files → raw.*: every line is loaded, a duplicate, or in quarantine with a reason."""
    report = ingest(home(), progress=progress)
    for table in DESCRIPTIONS:
        pinned = pin(f"raw.{table}", home=home())
        yield dg.MaterializeResult(
            asset_key=["raw", table],
            metadata={**pin_metadata(pinned), **stream_metadata(report, table)},
            data_version=dg.DataVersion(pinned.data_version),
        )


def stream_metadata(report: IngestReport, table: str) -> dict[str, Any]:
    """What the load did to one stream; the quarantine table belongs to all."""
    if table not in STREAMS:
        return {"quarantined": sum(stream.quarantined for stream in report.streams)}
    stream = report.stream(table)
    return {
        "landed": stream.landed,
        "loaded": stream.loaded,
        "duplicate": stream.duplicate,
        "quarantined": stream.quarantined,
        "reasons": dg.MetadataValue.json(dict(stream.reasons)),
        "left_out": dg.MetadataValue.json([f"{file.path}: {file.reason}" for file in stream.left_out]),
    }
