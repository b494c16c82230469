"""What must hold for every model, whoever adds the next: read from the manifest."""

from typing import Any

import pytest

from lakehouse.features import feature_spec
from lakehouse.ops import TABLES
from ranker.spec import FeatureSpec


@pytest.fixture(scope="session")
def models(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]


def test_every_model_is_a_view_or_a_delta_table_and_none_overwrites_partitions(models: list[dict[str, Any]]) -> None:
    for model in models:
        config = model["config"]
        assert config["materialized"] in ("view", "table", "incremental"), model["name"]
        assert config["file_format"] == "delta", model["name"]
        assert config.get("incremental_strategy") != "insert_overwrite", model["name"]


def test_every_incremental_model_replaces_its_days_or_says_what_else(models: list[dict[str, Any]]) -> None:
    incremental = [model for model in models if model["config"]["materialized"] == "incremental"]
    assert len(incremental) > 15
    for model in incremental:
        assert model["config"]["incremental_strategy"] == "replace_where", model["name"]
        predicates = model["config"].get("incremental_predicates")
        assert ("day" in model["columns"]) != (predicates == ["true"]), model["name"]


def test_every_table_keeps_its_versions_for_a_year_without_deletion_vectors(models: list[dict[str, Any]]) -> None:
    for model in models:
        properties = model["config"]["tblproperties"]
        assert properties["delta.logRetentionDuration"] == "interval 365 days", model["name"]
        assert properties["delta.deletedFileRetentionDuration"] == "interval 365 days", model["name"]
        assert properties["delta.enableDeletionVectors"] == "false", model["name"]
        # Spark would cut the log after a year, and with it versions that releases pin.
        assert properties["delta.enableExpiredLogCleanup"] == "false", model["name"]


def test_no_two_models_share_an_alias(models: list[dict[str, Any]]) -> None:
    # dbt's temporary views carry no schema: one alias in two schemas once wrote rows into each other's table.
    aliases = [model["alias"] for model in models]
    assert len(aliases) == len(set(aliases))


def test_production_schemas_are_the_layers_themselves(models: list[dict[str, Any]]) -> None:
    assert {model["schema"] for model in models} == {"staging", "intermediate", "marts", "monitoring"}
    for model in models:
        assert model["path"].split("/")[0] == model["schema"], model["name"]


def test_every_published_table_has_an_enforced_contract_that_types_every_column(models: list[dict[str, Any]]) -> None:
    marts = [model for model in models if model["schema"] == "marts" and model["config"]["materialized"] != "view"]
    assert {model["alias"] for model in marts} >= {"examples_v1", "training_examples", "random_slice"}
    for model in marts:
        assert model["config"]["contract"]["enforced"], model["name"]
        assert all(column["data_type"] for column in model["columns"].values()), model["name"]


def test_every_description_begins_with_the_grain_and_every_column_has_one(models: list[dict[str, Any]]) -> None:
    for model in models:
        assert model["description"].startswith("One row per "), model["name"]
        assert model["columns"], model["name"]
        for column in model["columns"].values():
            assert column["description"], f"{model['name']}.{column['name']}"


def test_tables_that_no_model_builds_are_described_as_the_lake_describes_them(manifest: dict[str, Any]) -> None:
    described = [source for source in manifest["sources"].values() if source["columns"]]
    assert {source["name"] for source in described} >= {"quarantine", "gate_decisions", "releases"}
    for source in described:
        table = TABLES[f"{source['schema']}.{source['name']}"]
        assert source["description"] == table.comment
        columns = {name: column["description"] for name, column in source["columns"].items()}
        assert columns == {column.name: column.comment for column in table.columns}, table.name


def test_every_model_has_an_owner(models: list[dict[str, Any]], manifest: dict[str, Any]) -> None:
    owned = {group["name"] for group in manifest["groups"].values() if group["owner"]["name"]}
    assert {model["config"]["group"] for model in models} == owned


def test_the_training_set_has_every_column_of_the_examples(models: list[dict[str, Any]]) -> None:
    columns = {model["alias"]: list(model["columns"]) for model in models}
    shared = columns["examples_v1"]
    assert columns["training_examples"] == [
        *shared,
        "recipe",
        "stratum",
        "keep_probability",
        "negative_keep_probability",
    ]


def test_the_ranker_reads_the_spec_of_the_examples(manifest: dict[str, Any]) -> None:
    spec = FeatureSpec.from_json(feature_spec(manifest))
    assert spec.relation == "marts.examples_v1"
    assert spec.actions == ("click", "long_click", "save", "hide")
    assert {"user_click_rate", "item_click_rate"} <= {feature.name for feature in spec.numeric}
    assert spec.negative_keep_probability == "negative_keep_probability"
