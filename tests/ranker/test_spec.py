import json
from typing import Any

import pyarrow as pa
import pytest

from ranker import FeatureSpec


def test_a_spec_survives_json(spec: FeatureSpec) -> None:
    assert FeatureSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_columns_name_every_column_once(spec: FeatureSpec) -> None:
    columns = spec.columns()
    assert len(columns) == len(set(columns))
    assert {"event_id", "clicked", "affinity", "categories", "negative_keep_probability"} <= set(columns)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": []}, "features is empty"),
        ({"features": [{"name": "x", "kind": "text"}]}, "kind of feature 'x'"),
        ({"features": [{"name": "x", "kind": "categorical"}]}, "cardinality of categorical feature 'x'"),
        ({"features": [{"name": "x", "kind": "sequence", "cardinality": 4}]}, "max_length of sequence feature 'x'"),
        ({"features": [{"name": "x", "kind": "numeric", "size": 4}]}, "size"),
        ({"features": [{"name": "x", "kind": "numeric", "of": "y"}]}, "only a sequence holds"),
        ({"features": [{"name": "x", "kind": "sequence", "of": "y", "max_length": 2}]}, "which is no categorical"),
        ({"features": [{"name": "clicked", "kind": "numeric"}]}, "labels and features at once"),
        ({"labels": [{"name": "acted", "action": "acted"}]}, "taken by the head"),
        ({"extra": 1}, "unknown keys"),
    ],
)
def test_a_spec_that_cannot_be_right_is_refused(spec: FeatureSpec, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureSpec.from_json({**spec.to_json(), **change})


def test_a_plain_table_s_roles_are_read_off_its_columns() -> None:
    ids = [pa.field(name, pa.string()) for name in ("event_id", "request_id", "user_id", "item_id")]
    schema = pa.schema(
        [
            *ids,
            pa.field("served_at", pa.timestamp("us", "UTC")),
            pa.field("position", pa.int32()),
            pa.field("surface", pa.dictionary(pa.int32(), pa.string())),
            pa.field("clicked", pa.int8()),
            pa.field("hour", pa.int32()),
            pa.field("age", pa.float32()),
            pa.field("tags", pa.list_(pa.string())),
            pa.field("note", pa.binary()),
        ]
    )
    spec = FeatureSpec.from_schema(schema, labels={"clicked": "click"}, categorical=["hour"], ignore=["note"])
    kinds = {feature.name: feature.kind for feature in spec.features}
    assert kinds == {
        "user_id": "categorical",
        "item_id": "categorical",
        "surface": "categorical",
        "hour": "categorical",
        "age": "numeric",
        "tags": "sequence",
    }
    assert (spec.position, spec.surface, spec.acted, spec.negative_keep_probability) == (
        "position",
        "surface",
        None,
        None,
    )
    assert FeatureSpec.from_json(spec.to_json()) == spec
    with pytest.raises(ValueError, match=r"note \(binary\) can be no feature"):
        FeatureSpec.from_schema(schema, labels={"clicked": "click"})
    with pytest.raises(ValueError, match=r"the table lacks \['bought'\]"):
        FeatureSpec.from_schema(schema, labels={"bought": "buy"})
