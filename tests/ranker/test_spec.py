import json
from typing import Any

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
        ({"features": [{"name": "clicked", "kind": "numeric"}]}, "labels and features at once"),
        ({"labels": [{"name": "acted", "action": "acted"}]}, "taken by the head"),
        ({"extra": 1}, "unknown keys"),
    ],
)
def test_a_spec_that_cannot_be_right_is_refused(spec: FeatureSpec, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureSpec.from_json({**spec.to_json(), **change})
