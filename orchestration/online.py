"""What the lake hands to the online half, as an asset."""

import dagster as dg

from lakehouse import snapshot
from lakehouse.home import home
from orchestration.models import pinned_input

STATES = [dg.AssetKey(relation.split(".")) for relation, _ in snapshot.TABLES.values()]


@dg.asset(
    key=["online", "feature_snapshot"], deps=STATES, group_name="online", kinds={"arrow"}, owners=["team:ranking"]
)
def feature_snapshot(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """What is known of every user and item after the last day that was built; ranking servers take it at once."""
    pins = [pinned_input(context, key) for key in STATES]
    folder = snapshot.publish(home(), inputs=pins)
    size = sum(path.stat().st_size for path in folder.iterdir())
    return dg.MaterializeResult(
        metadata={
            "folder": dg.MetadataValue.path(str(folder)),
            "bytes": size,
            **{pin.relation: pin.data_version for pin in pins},
        },
        data_version=dg.DataVersion(folder.name),
    )
