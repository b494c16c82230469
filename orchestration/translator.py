"""What an asset of a dbt model is called, and when its code counts as changed."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import dagster as dg
import yaml
from dagster_dbt import DagsterDbtTranslator

from lakehouse.home import PROJECT


class RelationTranslator(DagsterDbtTranslator):
    """An asset's key is its relation in the lake: `marts/examples_v1` is the table marts.examples_v1."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        name = dbt_resource_props.get("alias") or dbt_resource_props.get("identifier") or dbt_resource_props["name"]
        return dg.AssetKey([dbt_resource_props["schema"], name])

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        """What the UI shows as kinds: a model that is no view is a Delta table."""
        is_view = dbt_resource_props.get("config", {}).get("materialized") == "view"
        return {**super().get_tags(dbt_resource_props), **({} if is_view else {"dagster/kind/deltalake": ""})}

    def get_code_version(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """A model's SQL together with the project's vars: a changed recipe is a changed model."""
        sql = dbt_resource_props.get("raw_code", "")
        return hashlib.sha256((sql + project_vars()).encode()).hexdigest()[:12]


def project_vars() -> str:
    content = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())
    return json.dumps(content.get("vars", {}), sort_keys=True)
