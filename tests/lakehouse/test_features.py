"""The feature spec read from small manifests."""

from typing import Any

import pytest

from lakehouse.features import feature_spec
from ranker.spec import FeatureSpec


def column(**ranker: Any) -> dict[str, Any]:
    return {"config": {"meta": {"ranker": ranker}}}


COLUMNS: dict[str, dict[str, Any]] = {
    "event_id": column(role="event"),
    "request_id": column(role="request"),
    "user_id": column(role=["user", "feature"], kind="categorical", cardinality=8),
    "item_id": column(role="item"),
    "served_at": column(role="time"),
    "day": {},
    "acted": column(role="acted"),
    "clicked": column(role="label", action="click"),
    "hidden": column(role="label", action="hide"),
    "country": column(role=["segment", "feature"], kind="categorical", cardinality=4),
    "categories": column(role="feature", kind="sequence", cardinality=16, max_length=3),
    "recent_users": column(role="feature", kind="sequence", of="user_id", max_length=5),
    "age": column(role="feature", kind="numeric"),
}


def model(name: str = "examples", *, columns: dict[str, dict[str, Any]], version: int = 1) -> dict[str, Any]:
    return {
        "resource_type": "model",
        "name": name,
        "schema": "marts",
        "alias": f"{name}_v{version}",
        "version": version,
        "latest_version": 2,
        "columns": columns,
    }


def manifest(columns: dict[str, dict[str, Any]]) -> dict[str, Any]:
    sampled = {**columns, "keep": column(role="negative_keep_probability")}
    return {
        "nodes": {
            "model.examples.v1": model(columns={}, version=1),
            "model.examples.v2": model(columns=columns, version=2),
            "model.sampled": model("sampled", columns=sampled, version=2),
            "test.something": {"resource_type": "test", "name": "examples"},
        }
    }


def test_the_spec_of_the_latest_version_holds_every_role_in_the_order_of_the_contract() -> None:
    assert feature_spec(manifest(COLUMNS)) == {
        "relation": "marts.examples_v2",
        "event": "event_id",
        "request": "request_id",
        "user": "user_id",
        "item": "item_id",
        "time": "served_at",
        "acted": "acted",
        "negative_keep_probability": "keep",
        "labels": [{"name": "clicked", "action": "click"}, {"name": "hidden", "action": "hide"}],
        "segments": ["country"],
        "features": [
            {"name": "user_id", "kind": "categorical", "cardinality": 8},
            {"name": "country", "kind": "categorical", "cardinality": 4},
            {"name": "categories", "kind": "sequence", "cardinality": 16, "max_length": 3},
            {"name": "recent_users", "kind": "sequence", "of": "user_id", "max_length": 5},
            {"name": "age", "kind": "numeric"},
        ],
    }


def test_the_ranker_reads_the_spec() -> None:
    spec = FeatureSpec.from_json(feature_spec(manifest(COLUMNS)))
    assert spec.actions == ("click", "hide")
    assert spec.position is None


@pytest.mark.parametrize(
    ("name", "broken", "said"),
    [
        ("age", column(role="faeture", kind="numeric"), "column age of examples has role 'faeture'"),
        ("age", column(kind="numeric"), "column age of examples has role None"),
        ("age", column(role="feature", kind="text"), "feature age is of kind 'text'"),
        ("age", column(role="feature"), "column age is a feature and lacks 'kind'"),
        ("country", column(role="feature", kind="categorical"), "column country is a feature and lacks 'cardinality'"),
        ("clicked", column(role="label"), "column clicked is a label and lacks 'action'"),
        ("acted", {}, "columns \\[\\] of examples have the role acted"),
        ("day", column(role="time"), "columns \\['served_at', 'day'\\] of examples have the role time"),
        ("day", column(role="negative_keep_probability"), "'day', 'keep'"),
    ],
)
def test_a_column_that_is_described_wrongly_is_named(name: str, broken: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        feature_spec(manifest({**COLUMNS, name: broken}))


def test_an_unknown_model_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="model is 'exmples'; the manifest has \\['examples', 'sampled'\\]"):
        feature_spec(manifest(COLUMNS), model="exmples")
